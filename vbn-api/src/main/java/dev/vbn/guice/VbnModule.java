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
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Binds the backends found: {@link VbnBackend VbnBackend&lt;?&gt;} to the one that
 * {@link VbnBackends#open()} chooses, {@code VbnBackend<X>} to the one that
 * {@link VbnBackends#open(TensorType)} chooses, for each
 * {@link VbnBackends#tensorTypes() tensor type} X; both also {@code @Named} by a provider's name;
 * and {@code Map<String, VbnProvider<?>>} by name.
 *
 * <p>VBN's own backends, by name, and the tensor types that they compute on are bound even if they
 * were not found: injecting one then says what to put on the class path.
 *
 * <p>A backend is opened, and native code loaded, when it is first injected. Each is one instance,
 * whichever way it is injected; whoever owns the injector closes them.
 */
public final class VbnModule extends AbstractModule {
  private static final TypeLiteral<VbnBackend<?>> ANY = new TypeLiteral<>() {};

  private static final TensorType<HostTensor> ARRAYS = TensorType.of(HostTensor.class);
  private static final List<String> OURS = List.of("cuda", "djl", "nd4j", "reference");

  private final VbnBackends backends;
  private final Set<TensorType<?>> tensorTypes;

  /** Binds the backends next to the API, {@link VbnBackends#find()}. */
  public VbnModule() {
    this(VbnBackends.find());
  }

  /**
   * Binds {@code backends}.
   *
   * @param wanted tensor types of other backends, to be bound even if no provider has them
   */
  public VbnModule(VbnBackends backends, TensorType<?>... wanted) {
    this.backends = requireNonNull(backends, "backends is null; expected VbnBackends.find()")
        .shared();
    tensorTypes = new LinkedHashSet<>(backends.tensorTypes());
    tensorTypes.addAll(List.of(wanted));
  }

  @Override
  protected void configure() {
    bind(VbnBackends.class).toInstance(backends);
    bind(ANY).toProvider(backends::open);
    tensorTypes.forEach(this::bindType);
    MapBinder<String, VbnProvider<?>> providers = MapBinder.newMapBinder(
        binder(), new TypeLiteral<String>() {}, new TypeLiteral<VbnProvider<?>>() {});
    Set<String> absent = new LinkedHashSet<>(OURS);
    for (BackendCandidate candidate : backends.list()) {
      VbnProvider<?> provider = candidate.provider();
      if (provider != null) {
        providers.addBinding(candidate.name()).toInstance(provider);
        bindNamed(candidate.name(), candidate.tensorType());
        absent.remove(candidate.name());
      }
    }
    absent.forEach(name -> bindNamed(name, null));
  }

  private void bindNamed(String name, @Nullable TensorType<?> tensorType) {
    bind(Key.get(ANY, Names.named(name))).toProvider(() -> backends.open(name));
    bindTyped(name, ARRAYS);
    if (tensorType != null && !tensorType.equals(ARRAYS)) {
      bindTyped(name, tensorType);
    }
  }

  private <T> void bindType(TensorType<T> tensorType) {
    Provider<VbnBackend<T>> open = () -> backends.open(tensorType);
    bind(Key.get(backendOf(tensorType))).toProvider(open);
  }

  private <T> void bindTyped(String name, TensorType<T> tensorType) {
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
