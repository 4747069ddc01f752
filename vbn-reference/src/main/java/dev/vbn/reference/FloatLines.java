package dev.vbn.reference;

/**
 * {@link Lines} of lanes in 32 bits. What rounding cuts off a center goes into the offset, so that a
 * mean far from 0 costs no accuracy.
 */
final class FloatLines {
  /** Beyond these 32 bits would overflow, or lose digits to underflow. */
  private static final double LARGE = 0x1p100;

  private static final double SMALL = 0x1p-100;

  final float[] center;
  final float[] factor;
  final float[] slope;
  final float[] offset;

  FloatLines(int lanes) {
    center = new float[lanes];
    factor = new float[lanes];
    slope = new float[lanes];
    offset = new float[lanes];
  }

  /**
   * Takes the lines of a tile's features for each of its lanes, and says whether all of them fit.
   *
   * @param derivative whether they are those of a gradient, with slopes
   */
  boolean take(Lines lines, Tile tile, int lanes, boolean derivative) {
    boolean fit = true;
    int run = tile.run(lanes);
    for (int from = 0, feature = 0; from < lanes; from += run) {
      float c = center(lines, feature);
      float f = (float) lines.factor[feature];
      float k = (float) lines.slope[feature];
      float o = offset(lines, feature, derivative);
      for (int i = from; i < from + run; i++) {
        center[i] = c;
        factor[i] = f;
        slope[i] = k;
        offset[i] = o;
      }
      fit &= fits(lines, feature);
      feature = feature + 1 == tile.features ? 0 : feature + 1;
    }
    return fit;
  }

  static boolean fits(Lines lines, int i) {
    return Math.abs(lines.center[i]) < LARGE
        && Math.abs(lines.offset[i]) < LARGE
        && inRange(lines.factor[i])
        && inRange(lines.slope[i]);
  }

  private static boolean inRange(double value) {
    double size = Math.abs(value);
    return size == 0 || (size > SMALL && size < LARGE);
  }

  static float center(Lines lines, int i) {
    return (float) lines.center[i];
  }

  /** Of a line of x: {@code slope*(x - center) + offset}, or with the factor for slope. */
  static float offset(Lines lines, int i, boolean derivative) {
    double slope = derivative ? lines.slope[i] : lines.factor[i];
    return (float) (lines.offset[i] - slope * (lines.center[i] - center(lines, i)));
  }
}
