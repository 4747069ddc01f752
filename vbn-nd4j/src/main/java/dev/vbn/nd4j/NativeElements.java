package dev.vbn.nd4j;

import dev.vbn.kernels.Elements;
import dev.vbn.tensor.DType;
import java.nio.ByteBuffer;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * Elements of a dense row-major array as they lie in native memory. The caller keeps the array
 * reachable.
 *
 * <p>A Java buffer reaches 2 GiB. Larger arrays get several, each longer than its part by one copy,
 * so that whatever is copied at a time lies in one of them.
 */
final class NativeElements {
  private static final int PART_BITS = 27;
  private static final long PART = 1L << PART_BITS;

  private NativeElements() {}

  static Elements<?> of(INDArray array) {
    Pointer memory = array.data().pointer();
    return switch (array.dataType()) {
      case FLOAT -> floats(array, new FloatPointer(memory));
      case DOUBLE -> doubles(array, new DoublePointer(memory));
      case HALF -> new Halves(array, new ShortPointer(memory));
      case BFLOAT16 -> new Bfloat16s(array, new ShortPointer(memory));
      default -> throw new IllegalArgumentException("array is " + array.dataType());
    };
  }

  private static Elements<?> floats(INDArray array, Pointer memory) {
    return array.length() <= PART
        ? Elements.of(part(array, 0, memory).asFloatBuffer())
        : new Floats(array, memory);
  }

  private static Elements<?> doubles(INDArray array, Pointer memory) {
    return array.length() <= PART
        ? Elements.of(part(array, 0, memory).asDoubleBuffer())
        : new Doubles(array, memory);
  }

  private static int parts(INDArray array) {
    return (int) ((array.length() + PART - 1) / PART);
  }

  private static ByteBuffer part(INDArray array, int part, Pointer memory) {
    long from = part * PART;
    long to = Math.min(array.length(), from + PART + Elements.LONGEST_COPY);
    return memory.limit(array.offset() + to).position(array.offset() + from).asByteBuffer();
  }

  private static int partOf(long at) {
    return (int) (at >>> PART_BITS);
  }

  private static int within(long at) {
    return (int) (at & PART - 1);
  }

  private static final class Floats extends Elements<float[]> {
    private final FloatBuffer[] parts;

    Floats(INDArray array, Pointer memory) {
      parts = new FloatBuffer[parts(array)];
      for (int i = 0; i < parts.length; i++) {
        parts[i] = part(array, i, memory).asFloatBuffer();
      }
    }

    @Override
    public DType dtype() {
      return DType.FLOAT32;
    }

    @Override
    public void load(long at, int count, float[] into, int to) {
      parts[partOf(at)].get(within(at), into, to, count);
    }

    @Override
    public void store(long at, int count, float[] from, int first) {
      parts[partOf(at)].put(within(at), from, first, count);
    }

    @Override
    public void read(long at, int count, double[] into) {
      FloatBuffer part = parts[partOf(at)];
      for (int i = 0, from = within(at); i < count; i++) {
        into[i] = part.get(from + i);
      }
    }

    @Override
    public void write(long at, int count, double[] from) {
      FloatBuffer part = parts[partOf(at)];
      for (int i = 0, to = within(at); i < count; i++) {
        part.put(to + i, (float) from[i]);
      }
    }
  }

  private static final class Doubles extends Elements<double[]> {
    private final DoubleBuffer[] parts;

    Doubles(INDArray array, Pointer memory) {
      parts = new DoubleBuffer[parts(array)];
      for (int i = 0; i < parts.length; i++) {
        parts[i] = part(array, i, memory).asDoubleBuffer();
      }
    }

    @Override
    public DType dtype() {
      return DType.FLOAT64;
    }

    @Override
    public void load(long at, int count, double[] into, int to) {
      parts[partOf(at)].get(within(at), into, to, count);
    }

    @Override
    public void store(long at, int count, double[] from, int first) {
      parts[partOf(at)].put(within(at), from, first, count);
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

  /** Numbers of 16 bits, computed in 32. */
  private abstract static class Shorts extends Elements<float[]> {
    private final ShortBuffer[] parts;

    Shorts(INDArray array, Pointer memory) {
      parts = new ShortBuffer[parts(array)];
      for (int i = 0; i < parts.length; i++) {
        parts[i] = part(array, i, memory).asShortBuffer();
      }
    }

    abstract float widen(short bits);

    abstract short round(float value);

    @Override
    public void load(long at, int count, float[] into, int to) {
      ShortBuffer part = parts[partOf(at)];
      for (int i = 0, from = within(at); i < count; i++) {
        into[to + i] = widen(part.get(from + i));
      }
    }

    @Override
    public void store(long at, int count, float[] from, int first) {
      ShortBuffer part = parts[partOf(at)];
      for (int i = 0, to = within(at); i < count; i++) {
        part.put(to + i, round(from[first + i]));
      }
    }

    @Override
    public void read(long at, int count, double[] into) {
      ShortBuffer part = parts[partOf(at)];
      for (int i = 0, from = within(at); i < count; i++) {
        into[i] = widen(part.get(from + i));
      }
    }

    @Override
    public void write(long at, int count, double[] from) {
      ShortBuffer part = parts[partOf(at)];
      for (int i = 0, to = within(at); i < count; i++) {
        part.put(to + i, round((float) from[i]));
      }
    }
  }

  private static final class Halves extends Shorts {
    Halves(INDArray array, Pointer memory) {
      super(array, memory);
    }

    @Override
    public DType dtype() {
      return DType.FLOAT16;
    }

    @Override
    float widen(short bits) {
      return HalfBits.fromHalf(bits);
    }

    @Override
    short round(float value) {
      return HalfBits.toHalf(value);
    }
  }

  private static final class Bfloat16s extends Shorts {
    Bfloat16s(INDArray array, Pointer memory) {
      super(array, memory);
    }

    @Override
    public DType dtype() {
      return DType.BFLOAT16;
    }

    @Override
    float widen(short bits) {
      return HalfBits.fromBfloat16(bits);
    }

    @Override
    short round(float value) {
      return HalfBits.toBfloat16(value);
    }
  }
}
