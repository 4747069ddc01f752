package dev.vbn.kernels;

import dev.vbn.tensor.DType;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Numbers in memory, one after the other: an array, a buffer over memory that another library holds,
 * or whatever a subclass reads and writes. They stay the caller's. Many threads read and write them
 * at once, each in its own places.
 *
 * @param <A> what they are computed in: {@code float[]} or {@code double[]}
 */
public abstract class Elements<A> {
  /** The most elements that are copied at once. */
  public static final int LONGEST_COPY = 4096;

  private static final double[] ZEROS = new double[LONGEST_COPY];
  private static final float[] ZEROS_32 = new float[LONGEST_COPY];

  /** Null where the numbers are not in an array. */
  final @Nullable A array;

  /** For numbers that are not in an array. */
  protected Elements() {
    this(null);
  }

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

  /** The elements of a new array, all 0, each to be written once or left so. */
  public static Elements<float[]> zeros(float[] array) {
    return new FloatArray(array) {
      @Override
      void clear(long at, long count) {}
    };
  }

  /** The elements of a new array, all 0, each to be written once or left so. */
  public static Elements<double[]> zeros(double[] array) {
    return new DoubleArray(array) {
      @Override
      void clear(long at, long count) {}
    };
  }

  /** The elements of a buffer from index 0 on, whatever its position. */
  public static Elements<float[]> of(FloatBuffer buffer) {
    return new Floats(buffer);
  }

  /** The elements of a buffer from index 0 on, whatever its position. */
  public static Elements<double[]> of(DoubleBuffer buffer) {
    return new Doubles(buffer);
  }

  /** The type of the elements: FLOAT64 if and only if they are computed in {@code double[]}. */
  public abstract DType dtype();

  /** Copies elements out. */
  public abstract void load(long at, int count, A into, int to);

  /** Copies elements in, rounded to their type. */
  public abstract void store(long at, int count, A from, int first);

  /** Copies elements out as numbers of 64 bits, from index 0 on. */
  public abstract void read(long at, int count, double[] into);

  /** Copies numbers of 64 bits in, rounded to the type of the elements. */
  public abstract void write(long at, int count, double[] from);

  /** Sets any number of elements to 0. */
  void clear(long at, long count) {
    for (long done = 0; done < count; done += LONGEST_COPY) {
      write(at + done, (int) Math.min(LONGEST_COPY, count - done), ZEROS);
    }
  }

  private static class FloatArray extends Elements<float[]> {
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
    public void load(long at, int count, float[] into, int to) {
      System.arraycopy(floats, (int) at, into, to, count);
    }

    @Override
    public void store(long at, int count, float[] from, int first) {
      System.arraycopy(from, first, floats, (int) at, count);
    }

    @Override
    void clear(long at, long count) {
      Arrays.fill(floats, (int) at, (int) (at + count), 0);
    }

    @Override
    public void read(long at, int count, double[] into) {
      for (int i = 0, from = (int) at; i < count; i++) {
        into[i] = floats[from + i];
      }
    }

    @Override
    public void write(long at, int count, double[] from) {
      for (int i = 0, to = (int) at; i < count; i++) {
        floats[to + i] = (float) from[i];
      }
    }
  }

  private static class DoubleArray extends Elements<double[]> {
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
    public void load(long at, int count, double[] into, int to) {
      System.arraycopy(doubles, (int) at, into, to, count);
    }

    @Override
    public void store(long at, int count, double[] from, int first) {
      System.arraycopy(from, first, doubles, (int) at, count);
    }

    @Override
    void clear(long at, long count) {
      Arrays.fill(doubles, (int) at, (int) (at + count), 0);
    }

    @Override
    public void read(long at, int count, double[] into) {
      load(at, count, into, 0);
    }

    @Override
    public void write(long at, int count, double[] from) {
      store(at, count, from, 0);
    }
  }

  private static final class Floats extends Elements<float[]> {
    private final FloatBuffer buffer;

    Floats(FloatBuffer buffer) {
      this.buffer = buffer;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT32;
    }

    @Override
    public void load(long at, int count, float[] into, int to) {
      buffer.get((int) at, into, to, count);
    }

    @Override
    public void store(long at, int count, float[] from, int first) {
      buffer.put((int) at, from, first, count);
    }

    @Override
    void clear(long at, long count) {
      for (long done = 0; done < count; done += LONGEST_COPY) {
        buffer.put((int) (at + done), ZEROS_32, 0, (int) Math.min(LONGEST_COPY, count - done));
      }
    }

    @Override
    public void read(long at, int count, double[] into) {
      for (int i = 0, from = (int) at; i < count; i++) {
        into[i] = buffer.get(from + i);
      }
    }

    @Override
    public void write(long at, int count, double[] from) {
      for (int i = 0, to = (int) at; i < count; i++) {
        buffer.put(to + i, (float) from[i]);
      }
    }
  }

  private static final class Doubles extends Elements<double[]> {
    private final DoubleBuffer buffer;

    Doubles(DoubleBuffer buffer) {
      this.buffer = buffer;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT64;
    }

    @Override
    public void load(long at, int count, double[] into, int to) {
      buffer.get((int) at, into, to, count);
    }

    @Override
    public void store(long at, int count, double[] from, int first) {
      buffer.put((int) at, from, first, count);
    }

    @Override
    public void read(long at, int count, double[] into) {
      load(at, count, into, 0);
    }

    @Override
    public void write(long at, int count, double[] from) {
      store(at, count, from, 0);
    }
  }
}
