package dev.vbn.reference;

import dev.vbn.HostTensor;
import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;

/** The backend {@code reference}: always available, and opened where nothing better is. */
public final class ReferenceProvider implements VbnProvider {

  /** For {@link java.util.ServiceLoader}. */
  public ReferenceProvider() {}

  @Override
  public String name() {
    return "reference";
  }

  @Override
  public int priority() {
    return 0;
  }

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Availability probe() {
    return Availability.available("CPU, plain Java " + Runtime.version().feature() + ", "
        + Runtime.getRuntime().availableProcessors() + " threads");
  }

  @Override
  public VbnBackend<HostTensor> open() {
    return new ReferenceBackend();
  }
}
