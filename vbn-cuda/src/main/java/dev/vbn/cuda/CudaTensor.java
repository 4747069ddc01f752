package dev.vbn.cuda;

import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * A dense, row-major tensor in the memory of one device. {@link CudaBackend} makes them, with memory
 * of their own, or {@linkplain CudaBackend#wrap around} the caller's. Closing a tensor frees its
 * own memory once the device has done everything asked of it before.
 */
public final class CudaTensor implements AutoCloseable {
  private final Owner owner;
  private final long pointer;
  private final boolean wrapped;
  private final DType dtype;
  private final long[] shape;
  private final long size;
  private final AtomicBoolean closed = new AtomicBoolean();

  /** Where a tensor's memory comes from. */
  interface Owner {
    int device();

    /** Frees the memory of a tensor that has just been closed, unless it is wrapped. */
    void free(CudaTensor tensor);
  }

  CudaTensor(Owner owner, long pointer, boolean wrapped, DType dtype, long[] shape) {
    this.owner = owner;
    this.pointer = pointer;
    this.wrapped = wrapped;
    this.dtype = dtype;
    this.shape = shape.clone();
    this.size = size(shape);
  }

  /** Number of elements of a shape; refuses one that no tensor has. */
  static long size(long... shape) {
    long size = 1;
    for (long length : shape) {
      if (length < 0) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(shape) + " has a negative length; expected 0 or more");
      }
      // The bytes must fit too, at 8 per element.
      if (length != 0 && size > Long.MAX_VALUE / 8 / length) {
        throw new IllegalArgumentException("shape " + Arrays.toString(shape)
            + " has more bytes than a long counts; expected fewer than 2^63");
      }
      size *= length;
    }
    return size;
  }

  /** Type of the elements. */
  public DType dtype() {
    return dtype;
  }

  /** Lengths of the axes, outermost first; a copy. */
  public long[] shape() {
    return shape.clone();
  }

  /** Number of elements. */
  public long size() {
    return size;
  }

  /** Bytes of the elements. */
  public long bytes() {
    return size * elementBytes(dtype);
  }

  static int elementBytes(DType dtype) {
    return switch (dtype) {
      case FLOAT16, BFLOAT16 -> 2;
      case FLOAT32 -> 4;
      case FLOAT64 -> 8;
    };
  }

  /** Ordinal of the device that holds the elements. */
  public int device() {
    return owner.device();
  }

  /**
   * Address of the first element on the device: a {@code CUdeviceptr}. 0 where there are no
   * elements.
   *
   * @throws IllegalStateException after {@link #close}
   */
  public long pointer() {
    requireOpen();
    return pointer;
  }

  /** The pointer, also after {@link #close}. */
  long address() {
    return pointer;
  }

  /** Whether the memory is the caller's. */
  public boolean wrapped() {
    return wrapped;
  }

  Owner owner() {
    return owner;
  }

  void requireOpen() {
    if (closed.get()) {
      throw new IllegalStateException(this + " used after close; expected an open tensor");
    }
  }

  /** Frees the memory unless it is the caller's; harmless when repeated. */
  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      owner.free(this);
    }
  }

  /** Type, shape and device, not the elements. */
  @Override
  public String toString() {
    return "CudaTensor " + dtype + " " + Arrays.toString(shape) + " on device " + device();
  }
}
