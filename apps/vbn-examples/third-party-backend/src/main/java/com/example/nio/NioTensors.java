package com.example.nio;

import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** How VBN looks at a {@link NioTensor}, and makes one. */
final class NioTensors implements TensorAccess<NioTensor> {
  @Override
  public long[] shape(NioTensor tensor) {
    return tensor.shape().clone();
  }

  @Override
  public DType dtype(NioTensor tensor) {
    return tensor.dtype();
  }

  @Override
  public NioTensor fromHost(HostTensor host, DType dtype) {
    return NioTensor.of(dtype, host.shape(), host::get);
  }

  @Override
  public HostTensor toHost(NioTensor tensor) {
    double[] values = new double[tensor.size()];
    Arrays.setAll(values, tensor::get);
    return HostTensor.of(values, tensor.shape()).to(tensor.dtype());
  }
}
