package dev.vbn.examples;

import com.google.inject.Guice;
import com.google.inject.Inject;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.guice.VbnModule;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.HostTensor;

/** A network that gets its backend injected. */
public final class GuiceWiring {
  private GuiceWiring() {}

  static final class Discriminator {
    private final VirtualBatchNorm<HostTensor> norm;

    @Inject
    Discriminator(VbnBackend<HostTensor> backend) {
      VbnConfig config = VbnConfig.of(64).withScale(false).withCenter(false);
      norm = VirtualBatchNorm.of(backend, config, null, null);
    }

    @Override
    public String toString() {
      return "Discriminator with " + norm;
    }
  }

  /** Builds the network and prints its layer. */
  public static void main(String[] args) {
    System.out.println(Guice.createInjector(new VbnModule()).getInstance(Discriminator.class));
  }
}
