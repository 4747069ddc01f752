package dev.vbn.conformance.offender;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import java.util.function.Supplier;

/** Opens the plain backend, or an offender in its place. */
public class PlainProvider implements VbnProvider<Strided> {
  private final Availability availability;
  private final Supplier<? extends Kernels<Strided>> backend;

  /** For ServiceLoader. */
  public PlainProvider() {
    this(PlainBackend::new);
  }

  PlainProvider(Supplier<? extends Kernels<Strided>> backend) {
    this(Availability.available("CPU, plain loops"), backend);
  }

  PlainProvider(Availability availability, Supplier<? extends Kernels<Strided>> backend) {
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
  public TensorType<Strided> tensorType() {
    return TensorType.of(Strided.class);
  }

  @Override
  public Availability probe() {
    return availability;
  }

  @Override
  public Kernels<Strided> open(BackendOptions options) {
    return backend.get();
  }
}
