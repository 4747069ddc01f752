package dev.vbn.bench;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;

/** A backend that takes its JVM down, as one with a fault in native code does. */
public final class HaltingProvider implements VbnProvider<HostTensor> {
  static final String NAME = "halting";
  static final int EXIT_CODE = 66;

  /** For the service loader. */
  public HaltingProvider() {}

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int priority() {
    return Integer.MIN_VALUE;
  }

  @Override
  public TensorType<HostTensor> tensorType() {
    return TensorType.of(HostTensor.class);
  }

  @Override
  public Availability probe() {
    return Availability.available("ends the JVM");
  }

  @Override
  public Kernels<HostTensor> open(BackendOptions options) {
    Runtime.getRuntime().halt(EXIT_CODE);
    throw new IllegalStateException("the JVM goes on; expected its end");
  }
}
