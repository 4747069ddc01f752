package dev.vbn.reference;

import java.util.Arrays;

/** Sums in 32 bits for each lane of a strip: of d = x - shift, d*d, dy and dy*(x - center). */
final class FloatLanes {
  final float[] shift;
  final float[] center;
  final float[] sum;
  final float[] squares;
  final float[] upstream;
  final float[] deviation;

  FloatLanes(int lanes) {
    shift = new float[lanes];
    center = new float[lanes];
    sum = new float[lanes];
    squares = new float[lanes];
    upstream = new float[lanes];
    deviation = new float[lanes];
  }

  /** The sums of d and d*d. */
  void clear(int lanes) {
    Arrays.fill(sum, 0, lanes, 0);
    Arrays.fill(squares, 0, lanes, 0);
  }

  /** The sums of dy and dy*(x - center). */
  void clearUpstream(int lanes) {
    Arrays.fill(upstream, 0, lanes, 0);
    Arrays.fill(deviation, 0, lanes, 0);
  }
}
