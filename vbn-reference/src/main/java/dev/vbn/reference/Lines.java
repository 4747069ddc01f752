package dev.vbn.reference;

/**
 * The straight lines that the output of a tile's features lies on, {@code factor*(x - center) +
 * offset} or {@code factor*dy - (slope*(x - center) + offset)}, in 64 bits, and the same for every
 * lane of a strip of 32 bits.
 */
final class Lines {
  /** Beyond these, 32 bits would overflow or lose digits; other lines are computed in 64 bits. */
  private static final double LARGE = 0x1p100;

  private static final double SMALL = 0x1p-100;

  final double[] center;
  final double[] factor;
  final double[] slope;
  final double[] offset;
  final FloatLines floats;
  private final boolean[] wide;
  private boolean anyWide;

  Lines(int lanes) {
    center = new double[lanes];
    factor = new double[lanes];
    slope = new double[lanes];
    offset = new double[lanes];
    wide = new boolean[lanes];
    floats = new FloatLines(lanes);
  }

  /** The line of a feature, not yet with a slope. */
  void set(int feature, double center, double factor, double offset) {
    this.center[feature] = center;
    this.factor[feature] = factor;
    this.offset[feature] = offset;
  }

  /**
   * Gives every lane its feature's line in 32 bits. What rounding cuts off the center goes into the
   * offset.
   *
   * @param derivative whether the lines are those of the gradient, with a slope
   */
  void spread(Tile tile, boolean derivative) {
    anyWide = false;
    int lanes = tile.lanes();
    int length = tile.lanesOfRun(lanes);
    for (int from = 0, feature = 0; from < lanes; from += length) {
      float c = (float) center[feature];
      double rest = center[feature] - c;
      float s = derivative ? (float) slope[feature] : 0;
      float o = (float) (offset[feature] - (derivative ? slope[feature] : factor[feature]) * rest);
      float f = (float) factor[feature];
      wide[feature] = !(Math.abs(c) < LARGE
          && Math.abs(o) < LARGE
          && inRange(factor[feature])
          && (!derivative || inRange(slope[feature])));
      anyWide |= wide[feature];
      for (int i = from; i < from + length; i++) {
        floats.center[i] = c;
        floats.factor[i] = f;
        floats.offset[i] = o;
      }
      if (derivative) {
        for (int i = from; i < from + length; i++) {
          floats.slope[i] = s;
        }
      }
      feature = feature + 1 == tile.features ? 0 : feature + 1;
    }
  }

  private static boolean inRange(double value) {
    double size = Math.abs(value);
    return size == 0 || (size > SMALL && size < LARGE);
  }

  /** Whether some feature's line needs 64 bits. */
  boolean anyWide() {
    return anyWide;
  }

  /** Whether a feature's line needs 64 bits. */
  boolean wide(int feature) {
    return wide[feature];
  }
}
