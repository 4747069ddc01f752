package dev.vbn.examples;

import com.google.inject.Guice;
import com.google.inject.Inject;
import com.google.inject.Injector;
import com.google.inject.Key;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.guice.VbnModule;
import dev.vbn.tensor.HostTensor;

/** A network that gets its backend injected. */
public final class GuiceWiring {
  private GuiceWiring() {}

  static final class Discriminator {
    private final VirtualBatchNorm<HostTensor> norm;

    @Inject
    Discriminator(VbnBackend<HostTensor> backend) {
      norm = VirtualBatchNorm.of(backend, VbnConfig.of(64));
    }

    @Override
    public String toString() {
      return "Discriminator with " + norm;
    }
  }

  /** Builds the network, prints its layer and closes the backend. */
  public static void main(String[] args) {
    Injector injector = Guice.createInjector(new VbnModule());
    try (VbnBackend<HostTensor> backend = injector.getInstance(new Key<>() {})) {
      System.out.println(injector.getInstance(Discriminator.class) + " on " + backend.name());
    }
  }
}
