package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/** {@code NDArray} as a tensor: new ones belong to the backend's own manager. */
final class DjlTensors implements TensorAccess<NDArray> {
  private final NDManager manager;

  DjlTensors(NDManager manager) {
    this.manager = manager;
  }

  @Override
  public long[] shape(NDArray tensor) {
    requireNotFreed(tensor);
    return tensor.getShape().getShape().clone();
  }

  @Override
  public DType dtype(NDArray tensor) {
    requireNotFreed(tensor);
    return switch (tensor.getDataType()) {
      case FLOAT32 -> DType.FLOAT32;
      case FLOAT64 -> DType.FLOAT64;
      case FLOAT16 -> DType.FLOAT16;
      case BFLOAT16 -> DType.BFLOAT16;
      default ->
        throw new IllegalArgumentException("array is " + tensor.getDataType()
            + "; expected FLOAT32 or " + DjlKernels.CAPABILITIES);
    };
  }

  /** Arrays remember shape and type, and would report them even after their memory is gone. */
  private static void requireNotFreed(NDArray tensor) {
    if (tensor.isReleased()) {
      throw new IllegalStateException(
          "array has been closed, or its NDManager has; expected an open one");
    }
  }

  @Override
  public NDArray fromHost(HostTensor host, DType dtype) {
    Shape shape = new Shape(host.shape());
    return switch (dtype) {
      case FLOAT32 -> {
        requireBytes(host.size(), Float.BYTES);
        yield Workspace.copyOf(manager, host.to(dtype).floats(), shape);
      }
      case FLOAT64 -> {
        requireBytes(host.size(), Double.BYTES);
        yield Workspace.copyOf(manager, host.toDoubles(), shape, DataType.FLOAT64);
      }
      case FLOAT16 -> {
        requireBytes(host.size(), Float.BYTES);
        try (NDArray wide = Workspace.copyOf(manager, host.to(dtype).floats(), shape)) {
          yield wide.toType(DataType.FLOAT16, false);
        }
      }
      // Using such an array aborts the JVM: it must not come into being.
      case BFLOAT16 ->
        throw new IllegalArgumentException(
            "dtype is BFLOAT16; expected FLOAT32 or " + DjlKernels.CAPABILITIES);
    };
  }

  @Override
  public HostTensor toHost(NDArray tensor) {
    long[] shape = shape(tensor);
    return switch (tensor.getDataType()) {
      case FLOAT32 -> {
        requireBytes(tensor.size(), Float.BYTES);
        yield HostTensor.of(tensor.toFloatArray(), shape);
      }
      case FLOAT64 -> {
        requireBytes(tensor.size(), Double.BYTES);
        yield HostTensor.of(tensor.toDoubleArray(), shape);
      }
      default -> {
        requireBytes(tensor.size(), Float.BYTES);
        try (NDArray wide = tensor.toType(DataType.FLOAT32, true)) {
          yield HostTensor.of(wide.toFloatArray(), shape);
        }
      }
    };
  }

  /** DJL copies through one Java buffer, and counts its bytes in an unchecked int. */
  static void requireBytes(long elements, int width) {
    if (elements > Integer.MAX_VALUE / width) {
      throw new IllegalArgumentException(elements + " elements of " + width
          + " bytes are to be copied between Java and DJL; expected at most "
          + Integer.MAX_VALUE / width);
    }
  }

  @Override
  public void release(NDArray tensor) {
    tensor.close();
  }
}
