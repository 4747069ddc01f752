package dev.vbn.state;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** The elements of a tensor as bytes, from and to streams. */
final class Elements {
  private static final int CHUNK_BYTES = 1 << 16;

  private Elements() {}

  /** The failure of a stream that ends too early. */
  interface Cut {
    IOException after(long bytes);
  }

  /** Bytes of an element. */
  static int bytes(DType dtype) {
    return switch (dtype) {
      case FLOAT16, BFLOAT16 -> Short.BYTES;
      case FLOAT32 -> Float.BYTES;
      case FLOAT64 -> Double.BYTES;
    };
  }

  /**
   * Reads elements; those of 16 bits as floats.
   *
   * @param certain whether that many exist for certain. Otherwise the array grows with the bytes that
   *     have arrived, so that a promise alone takes no memory.
   * @return a tensor of shape {@code [count]}
   */
  static HostTensor read(
      InputStream in, DType dtype, ByteOrder order, int count, boolean certain, Cut cut)
      throws IOException {
    int size = bytes(dtype);
    ByteBuffer chunk =
        ByteBuffer.allocate((int) Math.min(CHUNK_BYTES, (long) count * size)).order(order);
    boolean wide = dtype == DType.FLOAT64;
    int capacity = certain ? count : Math.min(count, CHUNK_BYTES);
    float[] floats = new float[wide ? 0 : capacity];
    double[] doubles = new double[wide ? capacity : 0];
    int length;
    for (int done = 0; done < count; done += length) {
      length = Math.min(CHUNK_BYTES / size, count - done);
      int got = in.readNBytes(chunk.array(), 0, length * size);
      if (got < length * size) {
        throw cut.after((long) done * size + got);
      }
      if (done + length > capacity) {
        capacity = (int) Math.min(count, 2L * capacity);
        floats = wide ? floats : Arrays.copyOf(floats, capacity);
        doubles = wide ? Arrays.copyOf(doubles, capacity) : doubles;
      }
      switch (dtype) {
        case FLOAT32 -> chunk.asFloatBuffer().get(floats, done, length);
        case FLOAT64 -> chunk.asDoubleBuffer().get(doubles, done, length);
        case FLOAT16 -> {
          for (int i = 0; i < length; i++) {
            floats[done + i] = ofFloat16(chunk.getShort(Short.BYTES * i));
          }
        }
        case BFLOAT16 -> {
          for (int i = 0; i < length; i++) {
            floats[done + i] = Float.intBitsToFloat(chunk.getShort(Short.BYTES * i) << 16);
          }
        }
      }
    }
    return wide ? HostTensor.of(doubles, count) : HostTensor.of(floats, count);
  }

  /** The value of an IEEE 754 binary16; Java has this only since version 20. */
  private static float ofFloat16(short bits) {
    int exponent = bits >> 10 & 0x1f;
    int significand = bits & 0x3ff;
    float magnitude = exponent == 0x1f
        ? Float.intBitsToFloat(0x7f800000 | significand << 13)
        : exponent == 0
            ? significand * 0x1p-24f
            : Math.scalb(1 + significand * 0x1p-10f, exponent - 15);
    return bits < 0 ? -magnitude : magnitude;
  }

  /** The same elements in a shape of as many. */
  static HostTensor shaped(HostTensor elements, long[] shape) {
    return elements.dtype() == DType.FLOAT64
        ? HostTensor.of(elements.doubles(), shape)
        : HostTensor.of(elements.floats(), shape);
  }

  /** Writes the elements in little endian. */
  static void write(OutputStream out, HostTensor tensor) throws IOException {
    int size = bytes(tensor.dtype());
    ByteBuffer chunk = ByteBuffer.allocate(CHUNK_BYTES).order(ByteOrder.LITTLE_ENDIAN);
    int count = tensor.size();
    int length;
    for (int done = 0; done < count; done += length) {
      length = Math.min(CHUNK_BYTES / size, count - done);
      if (tensor.dtype() == DType.FLOAT64) {
        chunk.asDoubleBuffer().put(tensor.doubles(), done, length);
      } else {
        chunk.asFloatBuffer().put(tensor.floats(), done, length);
      }
      out.write(chunk.array(), 0, length * size);
    }
  }

  /** What is wrong with more data than Java can hold; follows what they are of. */
  static String beyondHeap(long bytes) {
    return "data is " + bytes + " bytes; expected what fits into the heap, at most "
        + Runtime.getRuntime().maxMemory() + " bytes, which -Xmx raises";
  }
}
