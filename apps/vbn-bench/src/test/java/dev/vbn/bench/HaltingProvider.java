package dev.vbn.bench;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;

/** A backend that takes its JVM down, as one with a fault in native code does. */
public final class HaltingProvider implements VbnProvider {
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
  public Class<?> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Availability probe() {
    return Availability.available("ends the JVM");
  }

  @Override
  public VbnBackend<?> open() {
    Runtime.getRuntime().halt(EXIT_CODE);
    throw new IllegalStateException("the JVM goes on; expected its end");
  }
}
