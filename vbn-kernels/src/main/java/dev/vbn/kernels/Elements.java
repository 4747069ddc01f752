package dev.vbn.kernels;

import dev.vbn.tensor.DType;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import org.jspecify.annotations.Nullable;

/**
 * Numbers in memory, one after the other: an array, or a buffer over memory that another library
 * holds. They stay the caller's.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
public abstract class Elements<A> {
  /** Null where the numbers are no array's. */
  final @Nullable A array;

  private Elements(@Nullable A array) {
    this.array = array;
  }

  /** The elements of an array of 32 bits. */
  public static Elements<float[]> of(float[] array) {
    return new FloatArray(array);
  }

  /** The elements of an array of 64 bits. */
  public static Elements<double[]> of(double[] array) {
    return new DoubleArray(array);
  }

  /** The elements of a buffer from index 0 on, whatever its position. */
  public static Elements<float[]> of(FloatBuffer buffer) {
    return new Floats(buffer);
  }

  /** The elements of a buffer from index 0 on, whatever its position. */
  public static Elements<double[]> of(DoubleBuffer buffer) {
    return new Doubles(buffer);
  }

  /** The type of the elements. */
  public abstract DType dtype();

  abstract double get(int at);

  abstract void set(int at, double value);

  abstract void load(int at, int count, A into, int to);

  abstract void store(int at, int count, A from, int first);

  /** Copies elements as numbers of 64 bits. */
  void read(int at, int count, double[] into) {
    for (int i = 0; i < count; i++) {
      into[i] = get(at + i);
    }
  }

  private static final class FloatArray extends Elements<float[]> {
    private final float[] floats;

    FloatArray(float[] floats) {
      super(floats);
      this.floats = floats;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT32;
    }

    @Override
    double get(int at) {
      return floats[at];
    }

    @Override
    void set(int at, double value) {
      floats[at] = (float) value;
    }

    @Override
    void load(int at, int count, float[] into, int to) {
      System.arraycopy(floats, at, into, to, count);
    }

    @Override
    void store(int at, int count, float[] from, int first) {
      System.arraycopy(from, first, floats, at, count);
    }

    @Override
    void read(int at, int count, double[] into) {
      for (int i = 0; i < count; i++) {
        into[i] = floats[at + i];
      }
    }
  }

  private static final class DoubleArray extends Elements<double[]> {
    private final double[] doubles;

    DoubleArray(double[] doubles) {
      super(doubles);
      this.doubles = doubles;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT64;
    }

    @Override
    double get(int at) {
      return doubles[at];
    }

    @Override
    void set(int at, double value) {
      doubles[at] = value;
    }

    @Override
    void load(int at, int count, double[] into, int to) {
      System.arraycopy(doubles, at, into, to, count);
    }

    @Override
    void store(int at, int count, double[] from, int first) {
      System.arraycopy(from, first, doubles, at, count);
    }

    @Override
    void read(int at, int count, double[] into) {
      System.arraycopy(doubles, at, into, 0, count);
    }
  }

  private static final class Floats extends Elements<float[]> {
    private final FloatBuffer buffer;

    Floats(FloatBuffer buffer) {
      super(null);
      this.buffer = buffer;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT32;
    }

    @Override
    double get(int at) {
      return buffer.get(at);
    }

    @Override
    void set(int at, double value) {
      buffer.put(at, (float) value);
    }

    @Override
    void load(int at, int count, float[] into, int to) {
      buffer.get(at, into, to, count);
    }

    @Override
    void store(int at, int count, float[] from, int first) {
      buffer.put(at, from, first, count);
    }
  }

  private static final class Doubles extends Elements<double[]> {
    private final DoubleBuffer buffer;

    Doubles(DoubleBuffer buffer) {
      super(null);
      this.buffer = buffer;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT64;
    }

    @Override
    double get(int at) {
      return buffer.get(at);
    }

    @Override
    void set(int at, double value) {
      buffer.put(at, value);
    }

    @Override
    void load(int at, int count, double[] into, int to) {
      buffer.get(at, into, to, count);
    }

    @Override
    void store(int at, int count, double[] from, int first) {
      buffer.put(at, from, first, count);
    }
  }
}
