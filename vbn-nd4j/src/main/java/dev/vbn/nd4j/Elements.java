package dev.vbn.nd4j;

import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.nio.ShortBuffer;
import org.bytedeco.javacpp.DoublePointer;
import org.bytedeco.javacpp.FloatPointer;
import org.bytedeco.javacpp.Pointer;
import org.bytedeco.javacpp.ShortPointer;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * Elements of a dense row-major array as they lie in native memory, copied in strips to and from
 * Java arrays of 64 bits: there the JIT vectorises what is done with them.
 *
 * <p>A buffer of Java reaches 2 GiB. Larger arrays get several, each a strip longer than its part,
 * so that every strip lies in one of them. The caller keeps the array reachable.
 */
abstract class Elements {
  /** Elements of the longest strip. */
  static final int STRIP = 512;

  private static final int PART_BITS = 27;
  private static final long PART = 1L << PART_BITS;

  static Elements of(INDArray array) {
    Pointer memory = array.data().pointer();
    return switch (array.dataType()) {
      case FLOAT -> new Floats(array, memory);
      case DOUBLE -> new Doubles(array, memory);
      case HALF, BFLOAT16 -> new Shorts(array, memory);
      default -> throw new IllegalArgumentException("array is " + array.dataType());
    };
  }

  /** The same memory, for one more thread. */
  abstract Elements fork();

  abstract void read(long at, int count, double[] into);

  abstract void write(long at, int count, double[] from);

  private static int parts(INDArray array) {
    return (int) ((array.length() + PART - 1) / PART);
  }

  private static Pointer part(INDArray array, int part, Pointer memory) {
    long from = part * PART;
    long to = Math.min(array.length(), from + PART + STRIP);
    return memory.limit(array.offset() + to).position(array.offset() + from);
  }

  private static int partOf(long at) {
    return (int) (at >>> PART_BITS);
  }

  private static int within(long at) {
    return (int) (at & PART - 1);
  }

  private static final class Floats extends Elements {
    private final FloatBuffer[] parts;
    private final float[] strip = new float[STRIP];

    Floats(INDArray array, Pointer memory) {
      parts = new FloatBuffer[parts(array)];
      for (int i = 0; i < parts.length; i++) {
        parts[i] = part(array, i, new FloatPointer(memory)).asByteBuffer().asFloatBuffer();
      }
    }

    private Floats(FloatBuffer[] parts) {
      this.parts = parts;
    }

    @Override
    Elements fork() {
      return new Floats(parts);
    }

    @Override
    void read(long at, int count, double[] into) {
      float[] floats = strip;
      parts[partOf(at)].get(within(at), floats, 0, count);
      for (int i = 0; i < count; i++) {
        into[i] = floats[i];
      }
    }

    @Override
    void write(long at, int count, double[] from) {
      float[] floats = strip;
      for (int i = 0; i < count; i++) {
        floats[i] = (float) from[i];
      }
      parts[partOf(at)].put(within(at), floats, 0, count);
    }
  }

  private static final class Doubles extends Elements {
    private final DoubleBuffer[] parts;

    Doubles(INDArray array, Pointer memory) {
      parts = new DoubleBuffer[parts(array)];
      for (int i = 0; i < parts.length; i++) {
        parts[i] = part(array, i, new DoublePointer(memory)).asByteBuffer().asDoubleBuffer();
      }
    }

    @Override
    Elements fork() {
      return this;
    }

    @Override
    void read(long at, int count, double[] into) {
      parts[partOf(at)].get(within(at), into, 0, count);
    }

    @Override
    void write(long at, int count, double[] from) {
      parts[partOf(at)].put(within(at), from, 0, count);
    }
  }

  private static final class Shorts extends Elements {
    private final ShortBuffer[] parts;
    private final boolean brain;
    private final short[] strip = new short[STRIP];

    Shorts(INDArray array, Pointer memory) {
      brain = array.dataType() == org.nd4j.linalg.api.buffer.DataType.BFLOAT16;
      parts = new ShortBuffer[parts(array)];
      for (int i = 0; i < parts.length; i++) {
        parts[i] = part(array, i, new ShortPointer(memory)).asByteBuffer().asShortBuffer();
      }
    }

    private Shorts(ShortBuffer[] parts, boolean brain) {
      this.parts = parts;
      this.brain = brain;
    }

    @Override
    Elements fork() {
      return new Shorts(parts, brain);
    }

    @Override
    void read(long at, int count, double[] into) {
      parts[partOf(at)].get(within(at), strip, 0, count);
      for (int i = 0; i < count; i++) {
        into[i] = brain ? Halves.fromBfloat16(strip[i]) : Halves.fromHalf(strip[i]);
      }
    }

    @Override
    void write(long at, int count, double[] from) {
      for (int i = 0; i < count; i++) {
        float value = (float) from[i];
        strip[i] = brain ? Halves.toBfloat16(value) : Halves.toHalf(value);
      }
      parts[partOf(at)].put(within(at), strip, 0, count);
    }
  }
}
