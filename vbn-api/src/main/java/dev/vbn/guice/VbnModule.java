package dev.vbn.guice;

import static java.util.Objects.requireNonNull;

import com.google.inject.AbstractModule;
import com.google.inject.Key;
import com.google.inject.Provider;
import com.google.inject.TypeLiteral;
import com.google.inject.multibindings.MapBinder;
import com.google.inject.util.Types;
import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * Binds the backends found: {@code Map<String, VbnProvider>} by name, {@link VbnBackend
 * VbnBackend&lt;?&gt;} to the one that {@link VbnBackends#open()} chooses, and {@code
 * VbnBackend<X>} to the best one for each tensor type {@code X}. Backends are singletons, opened
 * (and native code loaded) when first injected; whoever owns the injector closes them.
 */
public final class VbnModule extends AbstractModule {
  private final VbnBackends backends;

  /** Binds the backends beside the API, {@link VbnBackends#find()}. */
  public VbnModule() {
    this(VbnBackends.find());
  }

  /** Binds {@code backends}. */
  public VbnModule(VbnBackends backends) {
    this.backends = requireNonNull(backends, "backends is null; expected VbnBackends.find()");
  }

  @Override
  protected void configure() {
    bind(VbnBackends.class).toInstance(backends);
    bind(new TypeLiteral<VbnBackend<?>>() {}).toProvider(new Once<>(backends::open));
    MapBinder<String, VbnProvider> providers =
        MapBinder.newMapBinder(binder(), String.class, VbnProvider.class);
    Set<Class<?>> tensorTypes = new LinkedHashSet<>();
    for (BackendCandidate candidate : backends.list()) {
      VbnProvider provider = candidate.provider();
      Class<?> tensorType = candidate.tensorType();
      if (provider != null) {
        providers.addBinding(candidate.name()).toInstance(provider);
      }
      if (tensorType != null) {
        tensorTypes.add(tensorType);
      }
    }
    tensorTypes.forEach(this::bindBackend);
  }

  private <T> void bindBackend(Class<T> tensorType) {
    @SuppressWarnings("unchecked") // the parameterized type is built from the class itself
    Key<VbnBackend<T>> key =
        (Key<VbnBackend<T>>) Key.get(Types.newParameterizedType(VbnBackend.class, tensorType));
    bind(key).toProvider(new Once<>(() -> backends.open(tensorType)));
  }

  /** A singleton that stays unopened until asked for: Guice's own is eager in production. */
  private static final class Once<B> implements Provider<B> {
    private final Supplier<B> open;
    private @Nullable B opened;

    Once(Supplier<B> open) {
      this.open = open;
    }

    @Override
    public synchronized B get() {
      B backend = opened;
      if (backend == null) {
        backend = open.get();
        opened = backend;
      }
      return backend;
    }
  }
}
