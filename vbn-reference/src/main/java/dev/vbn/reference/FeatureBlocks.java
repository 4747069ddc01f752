package dev.vbn.reference;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import dev.vbn.spi.Geometry;

/**
 * Reads and writes the elements of one feature in blocks of doubles. They are numbered example by
 * example, position by position, whatever the layout, so that all arithmetic is written once, on
 * dense blocks of one type.
 */
final class FeatureBlocks {
  /** Elements of a block: the blocks of a kernel together stay in the first-level cache. */
  static final int LENGTH = 1024;

  private final float[] floats;
  private final double[] doubles;
  private final boolean isFloat;
  private final int features;
  private final int run;

  FeatureBlocks(HostTensor tensor, Geometry geometry) {
    isFloat = tensor.dtype() == DType.FLOAT32;
    floats = isFloat ? tensor.floats() : new float[0];
    doubles = isFloat ? new double[0] : tensor.doubles();
    features = (int) geometry.features();
    run = (int) geometry.after();
  }

  /** Fills {@code block} with {@code length} elements of {@code feature}, from element {@code from}. */
  void read(int feature, int from, double[] block, int length) {
    int offset = from % run;
    int start = (from / run * features + feature) * run + offset;
    int filled = 0;
    while (filled < length) {
      int count = Math.min(run - offset, length - filled);
      if (isFloat) {
        for (int i = 0; i < count; i++) {
          block[filled + i] = floats[start + i];
        }
      } else {
        System.arraycopy(doubles, start, block, filled, count);
      }
      filled += count;
      start += count + (features - 1) * run;
      offset = 0;
    }
  }

  /** Writes what {@link #read} reads, rounded to the tensor's type. */
  void write(int feature, int from, double[] block, int length) {
    int offset = from % run;
    int start = (from / run * features + feature) * run + offset;
    int written = 0;
    while (written < length) {
      int count = Math.min(run - offset, length - written);
      if (isFloat) {
        for (int i = 0; i < count; i++) {
          floats[start + i] = (float) block[written + i];
        }
      } else {
        System.arraycopy(block, written, doubles, start, count);
      }
      written += count;
      start += count + (features - 1) * run;
      offset = 0;
    }
  }
}
