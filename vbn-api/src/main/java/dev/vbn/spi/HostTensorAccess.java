package dev.vbn.spi;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/** Plain arrays as tensors, for backends that compute on them. */
public final class HostTensorAccess implements TensorAccess<HostTensor> {
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
        ? MemoryRange.dense(tensor.doubles(), 0, Double.BYTES, tensor.size())
        : MemoryRange.dense(tensor.floats(), 0, Float.BYTES, tensor.size());
  }
}
