package com.example.tensorflow;

import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.tensorflow.ndarray.Shape;
import org.tensorflow.ndarray.buffer.DataBuffers;
import org.tensorflow.types.TFloat32;
import org.tensorflow.types.TFloat64;
import org.tensorflow.types.family.TFloating;

/** How VBN looks at a tensor of TensorFlow, makes one and frees it. */
final class TensorFlowTensors implements TensorAccess<TFloating> {
  @Override
  public long[] shape(TFloating tensor) {
    dtype(tensor);
    return tensor.shape().asArray();
  }

  /** Asks for the size too: a closed tensor still tells all else. */
  @Override
  public DType dtype(TFloating tensor) {
    tensor.numBytes(); // or IllegalStateException
    if (tensor instanceof TFloat32) {
      return DType.FLOAT32;
    }
    if (tensor instanceof TFloat64) {
      return DType.FLOAT64;
    }
    throw new IllegalArgumentException(
        "tensor is " + tensor.dataType() + "; expected DT_FLOAT or DT_DOUBLE");
  }

  @Override
  public TFloating fromHost(HostTensor host, DType dtype) {
    Shape shape = Shape.of(host.shape());
    return dtype == DType.FLOAT32
        ? TFloat32.tensorOf(shape, DataBuffers.of(host.to(dtype).floats()))
        : TFloat64.tensorOf(shape, DataBuffers.of(host.to(dtype).doubles()));
  }

  @Override
  public HostTensor toHost(TFloating tensor) {
    HostTensor host = HostTensor.zeros(dtype(tensor), shape(tensor));
    if (tensor instanceof TFloat32 floats) {
      floats.copyTo(DataBuffers.of(host.floats()));
    } else if (tensor instanceof TFloat64 doubles) {
      doubles.copyTo(DataBuffers.of(host.doubles()));
    }
    return host;
  }

  @Override
  public void release(TFloating tensor) {
    tensor.close();
  }
}
