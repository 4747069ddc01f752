package dev.vbn.testing;

import dev.vbn.spi.Kernels;
import dev.vbn.tensor.TensorType;

/** A provider on tensors that are no plain arrays. */
public class BoxedProvider extends StubProvider<Boxed> {
  /** A provider without fault. */
  public BoxedProvider(String name, int priority) {
    super(name, priority);
  }

  @Override
  public TensorType<Boxed> tensorType() {
    return TensorType.of(Boxed.class);
  }

  @Override
  protected Kernels<Boxed> over(RecordingKernels kernels) {
    return new BoxedKernels(kernels);
  }
}
