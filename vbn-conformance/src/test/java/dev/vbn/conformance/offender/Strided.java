package dev.vbn.conformance.offender;

import dev.vbn.spi.MemoryRange;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Tensor of the plain backend: values already rounded to {@code dtype}, and where in {@code data}
 * they are.
 *
 * @param size number of elements, counted once: every element is asked for it
 * @param dense whether they are all of {@code data}, in row-major order
 * @param ends who ends it: its release, and the end of its backend
 */
record Strided(
    DType dtype,
    long[] shape,
    double[] data,
    int offset,
    int[] strides,
    int size,
    boolean dense,
    Ends ends) {

  /** What makes a tensor unreadable. */
  record Ends(AtomicBoolean released, AtomicBoolean backend) {
    static Ends never() {
      return new Ends(new AtomicBoolean(), new AtomicBoolean());
    }
  }

  Strided(DType dtype, long[] shape, double[] data, int offset, int[] strides) {
    this(dtype, shape, data, offset, strides, size(shape), Ends.never());
  }

  private Strided(
      DType dtype, long[] shape, double[] data, int offset, int[] strides, int size, Ends ends) {
    this(dtype, shape, data, offset, strides, size, offset == 0 && data.length == size, ends);
  }

  /** A new tensor of zeros, dense and row-major. */
  static Strided zeros(DType dtype, long... shape) {
    int[] strides = new int[shape.length];
    int stride = 1;
    for (int i = shape.length - 1; i >= 0; i--) {
      strides[i] = stride;
      stride *= (int) shape[i];
    }
    return new Strided(dtype, shape.clone(), new double[stride], 0, strides);
  }

  static Strided of(HostTensor host, DType dtype) {
    Strided tensor = zeros(dtype, host.shape());
    System.arraycopy(host.to(dtype).toDoubles(), 0, tensor.data, 0, tensor.size);
    return tensor;
  }

  /** The same elements, every second one of a larger array, from its fourth on. */
  static Strided view(HostTensor host, DType dtype) {
    Strided dense = of(host, dtype);
    double[] data = new double[2 * dense.data.length + 3];
    Arrays.fill(data, 12345);
    for (int i = 0; i < dense.data.length; i++) {
      data[3 + 2 * i] = dense.data[i];
    }
    int[] strides = Arrays.stream(dense.strides).map(stride -> 2 * stride).toArray();
    return new Strided(dense.dtype, dense.shape, data, 3, strides);
  }

  /** One tensor's places along an axis but the last, and but the first. */
  static List<Strided> parts(HostTensor host, DType dtype, int axis) {
    Strided whole = of(host, dtype);
    long[] shape = whole.shape.clone();
    shape[axis]--;
    return List.of(
        new Strided(whole.dtype, shape, whole.data, 0, whole.strides),
        new Strided(whole.dtype, shape, whole.data, whole.strides[axis], whole.strides));
  }

  /** This tensor, readable until its backend ends. */
  Strided endingWith(AtomicBoolean backend) {
    return new Strided(
        dtype, shape, data, offset, strides, size, dense, new Ends(new AtomicBoolean(), backend));
  }

  private static int size(long[] shape) {
    int size = 1;
    for (long length : shape) {
      size *= (int) length;
    }
    return size;
  }

  /** Element {@code index} in row-major order. */
  double get(int index) {
    return data[place(index)];
  }

  /** Writes all elements. */
  static boolean overwrite(Object tensor, HostTensor host) {
    for (int i = 0; i < host.size(); i++) {
      ((Strided) tensor).set(i, host.get(i));
    }
    return true;
  }

  void set(int index, double value) {
    data[place(index)] = dtype == DType.FLOAT32 ? (float) value : dtype.round(value);
  }

  private int place(int index) {
    if (dense) {
      return index;
    }
    int place = offset;
    int rest = index;
    for (int axis = shape.length - 1; axis >= 0; axis--) {
      int length = (int) shape[axis];
      place += rest % length * strides[axis];
      rest /= length;
    }
    return place;
  }

  HostTensor toHost() {
    double[] values = data;
    if (!dense) {
      values = new double[size];
      for (int i = 0; i < size; i++) {
        values[i] = get(i);
      }
    }
    return HostTensor.of(values, shape).to(dtype.hostType());
  }

  /** Fails as a library does whose memory is gone. */
  void requireReadable() {
    if (ends.released.get() || ends.backend.get()) {
      throw new IllegalStateException("tensor used after it was freed");
    }
  }

  MemoryRange memory() {
    long[] bytes =
        Arrays.stream(strides).mapToLong(stride -> (long) stride * Double.BYTES).toArray();
    return MemoryRange.of(data, (long) offset * Double.BYTES, Double.BYTES, shape, bytes);
  }
}
