package dev.vbn.cuda;

import static java.lang.foreign.ValueLayout.JAVA_DOUBLE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_SHORT;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.lang.foreign.MemorySegment;

/** Elements of a host tensor as the device has them, a range at a time. */
final class HostElements {
  private final DType dtype;
  private final HostTensor host;

  private HostElements(DType dtype, HostTensor host) {
    this.dtype = dtype;
    this.host = host;
  }

  /** The elements of {@code host}, to be written as {@code dtype}. */
  static HostElements of(HostTensor host, DType dtype) {
    // From 64 bits to 16 by way of 32 would round twice; to() rounds once.
    return new HostElements(dtype, host.dtype() == dtype.hostType() ? host : host.to(dtype));
  }

  /** New ones, to be read from {@code dtype}. */
  static HostElements zeros(DType dtype, long[] shape) {
    return new HostElements(dtype, HostTensor.zeros(dtype.hostType(), shape));
  }

  HostTensor host() {
    return host;
  }

  /** Writes elements {@code start} to {@code start + count}, rounded to nearest even. */
  void write(int start, int count, MemorySegment to) {
    switch (dtype) {
      case FLOAT32 -> MemorySegment.copy(host.floats(), start, to, JAVA_FLOAT, 0, count);
      case FLOAT64 -> MemorySegment.copy(host.doubles(), start, to, JAVA_DOUBLE, 0, count);
      case FLOAT16 -> {
        float[] from = host.floats();
        for (int i = 0; i < count; i++) {
          to.setAtIndex(JAVA_SHORT, i, Float.floatToFloat16(from[start + i]));
        }
      }
      case BFLOAT16 -> {
        float[] from = host.floats();
        for (int i = 0; i < count; i++) {
          to.setAtIndex(JAVA_SHORT, i, bfloat16(from[start + i]));
        }
      }
    }
  }

  /** Reads elements {@code start} to {@code start + count}. */
  void read(MemorySegment from, int start, int count) {
    switch (dtype) {
      case FLOAT32 -> MemorySegment.copy(from, JAVA_FLOAT, 0, host.floats(), start, count);
      case FLOAT64 -> MemorySegment.copy(from, JAVA_DOUBLE, 0, host.doubles(), start, count);
      case FLOAT16 -> {
        float[] to = host.floats();
        for (int i = 0; i < count; i++) {
          to[start + i] = Float.float16ToFloat(from.getAtIndex(JAVA_SHORT, i));
        }
      }
      case BFLOAT16 -> {
        float[] to = host.floats();
        for (int i = 0; i < count; i++) {
          to[start + i] = Float.intBitsToFloat(from.getAtIndex(JAVA_SHORT, i) << 16);
        }
      }
    }
  }

  private static short bfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) ((bits >>> 16) | 0x40); // quiet, so that no cut bit makes it infinite
    }
    return (short) ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16);
  }
}
