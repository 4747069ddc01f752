package dev.vbn.tensor;

import static java.util.Objects.requireNonNull;

import java.util.Arrays;

/**
 * A dense, row-major tensor over a plain Java array: the neutral tensor, for code without a
 * framework's. It wraps its array; it does not copy it.
 */
public final class HostTensor {
  private final DType dtype;
  private final Object array;
  private final long[] shape;

  private HostTensor(DType dtype, Object array, int length, long[] shape) {
    this.dtype = dtype;
    this.array = array;
    this.shape =
        requireNonNull(shape, "shape is null; expected the lengths of the axes").clone();
    long size = size(this.shape);
    if (size != length) {
      throw new IllegalArgumentException("array has " + length + " elements; expected " + size
          + " for shape " + Arrays.toString(shape));
    }
  }

  /**
   * A {@link DType#FLOAT32} tensor over {@code array}.
   *
   * @param shape lengths of the axes, outermost first; no axis makes a scalar
   * @throws IllegalArgumentException if the shape does not hold exactly the array's elements
   * @throws NullPointerException if an argument is null
   */
  public static HostTensor of(float[] array, long... shape) {
    requireNonNull(array, "array is null; expected float[]");
    return new HostTensor(DType.FLOAT32, array, array.length, shape);
  }

  /**
   * A {@link DType#FLOAT64} tensor over {@code array}.
   *
   * @param shape lengths of the axes, outermost first; no axis makes a scalar
   * @throws IllegalArgumentException if the shape does not hold exactly the array's elements
   * @throws NullPointerException if an argument is null
   */
  public static HostTensor of(double[] array, long... shape) {
    requireNonNull(array, "array is null; expected double[]");
    return new HostTensor(DType.FLOAT64, array, array.length, shape);
  }

  /**
   * A new tensor of zeros.
   *
   * @throws IllegalArgumentException if {@code dtype} is a 16-bit type, or the shape has a negative
   *     length or more elements than a Java array can hold
   */
  public static HostTensor zeros(DType dtype, long... shape) {
    long size = size(shape);
    if (size > Integer.MAX_VALUE - 8) {
      throw new IllegalArgumentException("shape " + Arrays.toString(shape) + " has " + size
          + " elements; expected at most " + (Integer.MAX_VALUE - 8));
    }
    return switch (dtype) {
      case FLOAT32 -> of(new float[(int) size], shape);
      case FLOAT64 -> of(new double[(int) size], shape);
      case FLOAT16, BFLOAT16 ->
        throw new IllegalArgumentException(
            "a host tensor of " + dtype + " was asked for; expected FLOAT32 or FLOAT64");
    };
  }

  static long size(long[] shape) {
    requireNonNull(shape, "shape is null; expected the lengths of the axes");
    long size = 1;
    for (long length : shape) {
      if (length < 0) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(shape) + " has a negative length; expected 0 or more");
      }
      try {
        size = Math.multiplyExact(size, length);
      } catch (ArithmeticException e) {
        throw new IllegalArgumentException(
            "shape " + Arrays.toString(shape)
                + " has more elements than a long counts; expected at most "
                + (Integer.MAX_VALUE - 8),
            e);
      }
    }
    return size;
  }

  /** {@link DType#FLOAT32} or {@link DType#FLOAT64}. */
  public DType dtype() {
    return dtype;
  }

  /** Lengths of the axes, outermost first; a copy. */
  public long[] shape() {
    return shape.clone();
  }

  /** Number of elements. */
  public int size() {
    return array instanceof float[] floats ? floats.length : ((double[]) array).length;
  }

  /**
   * The array itself, not a copy.
   *
   * @throws IllegalStateException if this is not {@link DType#FLOAT32}
   */
  public float[] floats() {
    if (array instanceof float[] floats) {
      return floats;
    }
    throw new IllegalStateException("tensor is " + dtype + "; expected FLOAT32");
  }

  /**
   * The array itself, not a copy.
   *
   * @throws IllegalStateException if this is not {@link DType#FLOAT64}
   */
  public double[] doubles() {
    if (array instanceof double[] doubles) {
      return doubles;
    }
    throw new IllegalStateException("tensor is " + dtype + "; expected FLOAT64");
  }

  /** Element {@code index} in row-major order. */
  public double get(int index) {
    return array instanceof float[] floats ? floats[index] : ((double[]) array)[index];
  }

  /** The elements in row-major order, as a new array. */
  public double[] toDoubles() {
    if (array instanceof double[] doubles) {
      return doubles.clone();
    }
    float[] floats = (float[]) array;
    double[] copy = new double[floats.length];
    for (int i = 0; i < copy.length; i++) {
      copy[i] = floats[i];
    }
    return copy;
  }

  /**
   * A copy with every element rounded to {@code dtype}; a 16-bit type gives a {@link DType#FLOAT32}
   * tensor of values that the type can hold.
   */
  public HostTensor to(DType dtype) {
    if (dtype == DType.FLOAT64) {
      return of(toDoubles(), shape);
    }
    return of(dtype == DType.FLOAT32 ? toFloats() : rounded(dtype), shape);
  }

  private float[] toFloats() {
    if (array instanceof float[] floats) {
      return floats.clone();
    }
    double[] doubles = (double[]) array;
    float[] copy = new float[doubles.length];
    for (int i = 0; i < copy.length; i++) {
      copy[i] = (float) doubles[i];
    }
    return copy;
  }

  private float[] rounded(DType dtype) {
    float[] rounded = new float[size()];
    for (int i = 0; i < rounded.length; i++) {
      rounded[i] = (float) dtype.round(get(i));
    }
    return rounded;
  }

  /** Type and shape, not the elements. */
  @Override
  public String toString() {
    return "HostTensor " + dtype + " " + Arrays.toString(shape);
  }
}
