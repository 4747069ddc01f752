package dev.vbn.kernels;

import dev.vbn.spi.Mixture;

/**
 * The straight lines that outputs lie on, {@code factor*(x - center) + offset} or {@code factor*dy +
 * (slope*(x - center) + offset)}, for each feature of a tile.
 */
final class Lines {
  double[] center = {};
  double[] factor = {};
  double[] slope = {};
  double[] offset = {};

  /** The same in 32 bits, where they fit. */
  float[] center32 = {};

  float[] factor32 = {};
  float[] slope32 = {};
  float[] offset32 = {};

  /** Beyond these, 32 bits would overflow, or lose digits to underflow. */
  private static final double LARGE = 0x1p100;

  private static final double SMALL = 0x1p-100;

  /** Turns gamma and beta, stored as factor and offset, into the line of a feature's output. */
  void normalize(int feature, Mixture mixture) {
    center[feature] = mixture.mean();
    factor[feature] /= mixture.deviation();
  }

  /** Makes room for the lines of {@code features} features. */
  void clear(int features) {
    if (center.length < features) {
      int length = features + 24;
      center = new double[length];
      factor = new double[length];
      slope = new double[length];
      offset = new double[length];
      center32 = new float[length];
      factor32 = new float[length];
      slope32 = new float[length];
      offset32 = new float[length];
    }
  }

  /**
   * Rounds the lines to 32 bits, and says whether all of them fit. What rounding cuts off a center
   * goes into the offset, so that a mean far from 0 costs no accuracy.
   *
   * @param derivative whether they are those of a gradient, with slopes
   */
  boolean round(int features, boolean derivative) {
    double[] ofX = derivative ? slope : factor;
    boolean fit = true;
    for (int i = 0; i < features; i++) {
      float c = (float) center[i];
      center32[i] = c;
      factor32[i] = (float) factor[i];
      offset32[i] = (float) (offset[i] - ofX[i] * (center[i] - c));
      fit &= Math.abs(center[i]) < LARGE && Math.abs(offset[i]) < LARGE && inRange(factor[i]);
    }
    if (derivative) {
      for (int i = 0; i < features; i++) {
        slope32[i] = (float) slope[i];
        fit &= inRange(slope[i]);
      }
    }
    return fit;
  }

  boolean fits(int i, boolean derivative) {
    return Math.abs(center[i]) < LARGE
        && Math.abs(offset[i]) < LARGE
        && inRange(factor[i])
        && (!derivative || inRange(slope[i]));
  }

  private static boolean inRange(double value) {
    double size = Math.abs(value);
    return size == 0 || (size > SMALL && size < LARGE);
  }
}
