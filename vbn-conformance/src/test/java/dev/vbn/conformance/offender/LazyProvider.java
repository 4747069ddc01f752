package dev.vbn.conformance.offender;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;

/** Opens the backend that computes when a tensor is looked at. */
public final class LazyProvider implements VbnProvider<UnusualBackendsTest.Lazy> {
  @Override
  public String name() {
    return "lazy";
  }

  @Override
  public int priority() {
    return -1;
  }

  @Override
  public TensorType<UnusualBackendsTest.Lazy> tensorType() {
    return TensorType.of(UnusualBackendsTest.Lazy.class);
  }

  @Override
  public Availability probe() {
    return Availability.available("CPU, when looked at");
  }

  @Override
  public Kernels<UnusualBackendsTest.Lazy> open(BackendOptions options) {
    return new UnusualBackendsTest.LazyKernels();
  }
}
