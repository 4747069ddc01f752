package dev.vbn.cuda;

import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/** The tensors of one stream, as the layer looks at them. */
final class CudaTensors implements TensorAccess<CudaTensor> {
  /** The driver addresses all devices in one space. */
  private static final Object ADDRESSES = "addresses of CUDA";

  private final DeviceStream stream;
  private final Staging staging;

  CudaTensors(DeviceStream stream, Staging staging) {
    this.stream = stream;
    this.staging = staging;
  }

  @Override
  public long[] shape(CudaTensor tensor) {
    stream.requireOwn(tensor);
    return tensor.shape();
  }

  @Override
  public DType dtype(CudaTensor tensor) {
    stream.requireOwn(tensor);
    return tensor.dtype();
  }

  @Override
  public CudaTensor fromHost(HostTensor host, DType dtype) {
    HostElements elements = HostElements.of(host, dtype);
    try (DeviceStream.Call call = stream.call()) {
      CudaTensor tensor = call.tensor(dtype, host.shape());
      staging.toDevice(elements, tensor);
      return call.done(tensor);
    }
  }

  @Override
  public HostTensor toHost(CudaTensor tensor) {
    try (DeviceStream.Call call = stream.call()) {
      call.pointer(tensor);
      HostElements elements = HostElements.zeros(tensor.dtype(), tensor.shape());
      staging.toHost(tensor, elements);
      return call.done(elements.host());
    }
  }

  @Override
  public void release(CudaTensor tensor) {
    tensor.close();
  }

  @Override
  public MemoryRange memory(CudaTensor tensor) {
    return MemoryRange.dense(
        ADDRESSES, tensor.pointer(), CudaTensor.elementBytes(tensor.dtype()), tensor.size());
  }
}
