package dev.vbn.spi;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/** Plain arrays as tensors, for backends that compute on them. */
public final class HostTensorAccess implements TensorAccess<HostTensor> {
  private static final long[] WHOLE = {};

  /** Without state: one is as good as another. */
  public HostTensorAccess() {}

  @Override
  public long[] shape(HostTensor tensor) {
    return tensor.shape();
  }

  @Override
  public DType dtype(HostTensor tensor) {
    return tensor.dtype();
  }

  @Override
  public HostTensor fromHost(HostTensor host, DType dtype) {
    return host.to(dtype);
  }

  @Override
  public HostTensor toHost(HostTensor tensor) {
    return tensor.to(tensor.dtype());
  }

  /** The whole array, which a host tensor always is. */
  @Override
  public MemoryRange memory(HostTensor tensor) {
    return tensor.dtype() == DType.FLOAT64
        ? new MemoryRange(tensor.doubles(), 0, (long) tensor.size() * Double.BYTES, WHOLE)
        : new MemoryRange(tensor.floats(), 0, (long) tensor.size() * Float.BYTES, WHOLE);
  }
}
