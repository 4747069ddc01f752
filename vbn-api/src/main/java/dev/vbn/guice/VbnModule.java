package dev.vbn.guice;

import static java.util.Objects.requireNonNull;

import com.google.inject.AbstractModule;
import com.google.inject.Key;
import com.google.inject.Provider;
import com.google.inject.TypeLiteral;
import com.google.inject.multibindings.MapBinder;
import com.google.inject.name.Names;
import com.google.inject.util.Types;
import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.LinkedHashSet;
import java.util.Set;

/**
 * Binds the backends found: {@link VbnBackend VbnBackend&lt;?&gt;} to the one that {@link
 * VbnBackends#open()} chooses, {@code VbnBackend<X>} to the one that {@link
 * VbnBackends#open(TensorType)} chooses, for each tensor type {@code X} there is and for {@link
 * HostTensor}; both also {@code @Named} by a provider's name; and {@code Map<String,
 * VbnProvider<?>>} by name.
 *
 * <p>A backend is opened, and native code loaded, when it is first injected. Each is one instance,
 * whichever way it is injected; whoever owns the injector closes them.
 */
public final class VbnModule extends AbstractModule {
  private static final TypeLiteral<VbnBackend<?>> ANY = new TypeLiteral<>() {};

  private final VbnBackends backends;

  /** Binds the backends next to the API, {@link VbnBackends#find()}. */
  public VbnModule() {
    this(VbnBackends.find());
  }

  /** Binds {@code backends}. */
  public VbnModule(VbnBackends backends) {
    this.backends = requireNonNull(backends, "backends is null; expected VbnBackends.find()")
        .shared();
  }

  @Override
  protected void configure() {
    bind(VbnBackends.class).toInstance(backends);
    bind(ANY).toProvider(backends::open);
    MapBinder<String, VbnProvider<?>> providers = MapBinder.newMapBinder(
        binder(), new TypeLiteral<String>() {}, new TypeLiteral<VbnProvider<?>>() {});
    TensorType<HostTensor> arrays = TensorType.of(HostTensor.class);
    Set<TensorType<?>> tensorTypes = new LinkedHashSet<>();
    tensorTypes.add(arrays);
    for (BackendCandidate candidate : backends.list()) {
      VbnProvider<?> provider = candidate.provider();
      if (provider != null) {
        String name = candidate.name();
        providers.addBinding(name).toInstance(provider);
        bind(Key.get(ANY, Names.named(name))).toProvider(() -> backends.open(name));
        bindNamed(name, arrays);
        TensorType<?> tensorType = candidate.tensorType();
        if (tensorType != null && tensorTypes.add(tensorType)) {
          bindType(tensorType);
        }
        if (tensorType != null && !tensorType.equals(arrays)) {
          bindNamed(name, tensorType);
        }
      }
    }
    bindType(arrays);
  }

  private <T> void bindType(TensorType<T> tensorType) {
    Provider<VbnBackend<T>> open = () -> backends.open(tensorType);
    bind(Key.get(backendOf(tensorType))).toProvider(open);
  }

  private <T> void bindNamed(String name, TensorType<T> tensorType) {
    Provider<VbnBackend<T>> open = () -> backends.open(name, tensorType);
    bind(Key.get(backendOf(tensorType), Names.named(name))).toProvider(open);
  }

  private static <T> TypeLiteral<VbnBackend<T>> backendOf(TensorType<T> tensorType) {
    @SuppressWarnings("unchecked") // the parameterized type is built from the type itself
    TypeLiteral<VbnBackend<T>> type = (TypeLiteral<VbnBackend<T>>)
        TypeLiteral.get(Types.newParameterizedType(VbnBackend.class, tensorType.type()));
    return type;
  }
}
