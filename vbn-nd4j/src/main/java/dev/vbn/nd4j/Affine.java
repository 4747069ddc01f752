package dev.vbn.nd4j;

/** Parameters of each feature of a tile, and the passes over a group that use them. */
final class Affine {
  final double[] center;
  final double[] factor;
  final double[] slope;
  final double[] offset;
  private final Tile tile;
  private final double[] laneCenter;
  private final double[] laneFactor;
  private final double[] laneSlope;
  private final double[] laneOffset;
  private final double[] x;
  private final double[] dy;

  Affine(Tile tile) {
    this.tile = tile;
    center = new double[tile.features];
    factor = new double[tile.features];
    slope = new double[tile.features];
    offset = new double[tile.features];
    laneCenter = new double[tile.lanes];
    laneFactor = new double[tile.lanes];
    laneSlope = new double[tile.lanes];
    laneOffset = new double[tile.lanes];
    x = new double[tile.lanes];
    dy = new double[tile.lanes];
  }

  /** {@code factor*(x - center) + offset}. */
  void normalize(Elements input, Elements output, long group) {
    spread();
    tile.forEachStrip(group, (at, lanes) -> {
      input.read(at, lanes, x);
      normalize(lanes, x, laneCenter, laneFactor, laneOffset);
      output.write(at, lanes, x);
    });
  }

  private static void normalize(
      int lanes, double[] x, double[] center, double[] factor, double[] offset) {
    for (int i = 0; i < lanes; i++) {
      x[i] = factor[i] * (x[i] - center[i]) + offset[i];
    }
  }

  /** {@code factor*dy - slope*(x - center) - offset}. */
  void differentiate(Elements input, Elements upstream, Elements output, long group) {
    spread();
    tile.forEachStrip(group, (at, lanes) -> {
      input.read(at, lanes, x);
      upstream.read(at, lanes, dy);
      differentiate(lanes, x, dy, laneCenter, laneFactor, laneSlope, laneOffset);
      output.write(at, lanes, x);
    });
  }

  private static void differentiate(
      int lanes,
      double[] x,
      double[] dy,
      double[] center,
      double[] factor,
      double[] slope,
      double[] offset) {
    for (int i = 0; i < lanes; i++) {
      x[i] = factor[i] * dy[i] - slope[i] * (x[i] - center[i]) - offset[i];
    }
  }

  /** {@code factor*dy}, whatever x: NaN in it stays out of the gradient where the weight is 0. */
  void scaleUpstream(Elements upstream, Elements output, long group) {
    spread();
    tile.forEachStrip(group, (at, lanes) -> {
      upstream.read(at, lanes, dy);
      for (int i = 0; i < lanes; i++) {
        dy[i] *= laneFactor[i];
      }
      output.write(at, lanes, dy);
    });
  }

  private void spread() {
    tile.spread(center, laneCenter);
    tile.spread(factor, laneFactor);
    tile.spread(slope, laneSlope);
    tile.spread(offset, laneOffset);
  }
}
