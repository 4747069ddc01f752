package dev.vbn.conformance.offender;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import java.util.function.Supplier;

/** Opens the plain backend, or an offender in its place. */
public class PlainProvider implements VbnProvider {
  private final Availability availability;
  private final Supplier<? extends VbnBackend<?>> backend;

  /** For ServiceLoader. */
  public PlainProvider() {
    this(PlainBackend::new);
  }

  PlainProvider(Supplier<? extends VbnBackend<?>> backend) {
    this(Availability.available("CPU, plain loops"), backend);
  }

  PlainProvider(Availability availability, Supplier<? extends VbnBackend<?>> backend) {
    this.availability = availability;
    this.backend = backend;
  }

  @Override
  public String name() {
    return "plain";
  }

  @Override
  public int priority() {
    return -1;
  }

  @Override
  public Class<?> tensorType() {
    return Strided.class;
  }

  @Override
  public Availability probe() {
    return availability;
  }

  @Override
  public VbnBackend<?> open() {
    return backend.get();
  }
}
