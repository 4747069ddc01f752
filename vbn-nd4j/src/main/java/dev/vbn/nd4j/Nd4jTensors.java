package dev.vbn.nd4j;

import dev.vbn.kernels.Elements;
import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.buffer.DataBuffer;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;

/** ND4J's arrays in main memory. Those that are made here belong to no workspace. */
final class Nd4jTensors implements TensorAccess<INDArray> {

  @Override
  public long[] shape(INDArray tensor) {
    requireLive(tensor);
    return tensor.shape().clone();
  }

  @Override
  public DType dtype(INDArray tensor) {
    requireLive(tensor);
    return switch (tensor.dataType()) {
      case FLOAT -> DType.FLOAT32;
      case DOUBLE -> DType.FLOAT64;
      case HALF -> DType.FLOAT16;
      case BFLOAT16 -> DType.BFLOAT16;
      default ->
        throw new IllegalArgumentException(
            "array is " + tensor.dataType() + "; expected FLOAT, DOUBLE, HALF or BFLOAT16");
    };
  }

  private static DataType dataType(DType dtype) {
    return switch (dtype) {
      case FLOAT32 -> DataType.FLOAT;
      case FLOAT64 -> DataType.DOUBLE;
      case FLOAT16 -> DataType.FLOAT16;
      case BFLOAT16 -> DataType.BFLOAT16;
    };
  }

  /** Refuses an array whose memory may hold something else by now. */
  static void requireLive(INDArray array) {
    if (array.wasClosed()) {
      throw new IllegalStateException("array used after close; expected an open one");
    }
    if (array.isAttached() && !isCurrent(array.data())) {
      throw new IllegalStateException(
          "array used after the workspace that it lies in was left or entered anew; expected a"
              + " detached array, or use inside the workspace");
    }
  }

  /** ND4J's own operations go by the same test. */
  private static boolean isCurrent(DataBuffer buffer) {
    MemoryWorkspace workspace = buffer.getParentWorkspace();
    return workspace == null
        || workspace.getWorkspaceType() == MemoryWorkspace.Type.CIRCULAR
        || (workspace.isScopeActive() && workspace.getGenerationId() == buffer.getGenerationId());
  }

  @Override
  public INDArray fromHost(HostTensor host, DType dtype) {
    if (host.size() == 0) {
      return Dense.empty(dataType(dtype), host.shape());
    }
    // Rounded here, from the original value: rounding to 32 and then to 16 bits may err.
    boolean half = dtype == DType.FLOAT16 || dtype == DType.BFLOAT16;
    try (Dense array = Dense.result(null, dataType(dtype), host.shape())) {
      Elements<?> elements = array.elements();
      double[] some = new double[Math.min(Elements.LONGEST_COPY, host.size())];
      for (int at = 0; at < host.size(); at += some.length) {
        int count = Math.min(some.length, host.size() - at);
        for (int i = 0; i < count; i++) {
          double value = host.get(at + i);
          some[i] = half ? dtype.round(value) : value;
        }
        elements.write(at, count, some);
      }
      return array.deliver();
    }
  }

  @Override
  public HostTensor toHost(INDArray tensor) {
    HostTensor host = HostTensor.zeros(dtype(tensor).hostType(), tensor.shape());
    if (host.size() == 0) {
      return host;
    }
    try (Dense array = Dense.of(tensor)) {
      Elements<?> elements = array.elements();
      double[] some = new double[Math.min(Elements.LONGEST_COPY, host.size())];
      for (int at = 0; at < host.size(); at += some.length) {
        int count = Math.min(some.length, host.size() - at);
        elements.read(at, count, some);
        if (host.dtype() == DType.FLOAT64) {
          System.arraycopy(some, 0, host.doubles(), at, count);
        } else {
          for (int i = 0; i < count; i++) {
            host.floats()[at + i] = (float) some[i];
          }
        }
      }
    }
    return host;
  }

  @Override
  public void release(INDArray tensor) {
    if (tensor.closeable()) {
      tensor.close();
    }
  }

  @Override
  public @Nullable MemoryRange memory(INDArray tensor) {
    if (tensor.isEmpty()) {
      return null;
    }
    requireLive(tensor);
    int width = tensor.data().getElementSize();
    long start = tensor.data().address() + tensor.offset() * width;
    if (Dense.isDense(tensor)) {
      return MemoryRange.dense(Nd4jTensors.class, start, width, tensor.length());
    }
    long[] strides = tensor.stride().clone();
    for (int axis = 0; axis < strides.length; axis++) {
      strides[axis] *= width;
    }
    return MemoryRange.of(Nd4jTensors.class, start, width, tensor.shape(), strides);
  }
}
