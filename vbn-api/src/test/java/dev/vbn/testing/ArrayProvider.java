package dev.vbn.testing;

import dev.vbn.spi.Kernels;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;

/** A provider on plain arrays. */
public class ArrayProvider extends StubProvider<HostTensor> {
  /** A provider without fault. */
  public ArrayProvider(String name, int priority) {
    super(name, priority);
  }

  @Override
  public TensorType<HostTensor> tensorType() {
    return TensorType.of(HostTensor.class);
  }

  @Override
  protected Kernels<HostTensor> over(RecordingKernels kernels) {
    return kernels;
  }
}
