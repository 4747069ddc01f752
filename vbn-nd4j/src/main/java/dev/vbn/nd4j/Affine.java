package dev.vbn.nd4j;

/** Slopes of each feature of a tile, and the passes over a group that use them. */
final class Affine {
  final double[] center;
  final double[] factor;
  final double[] upstream;
  final double[] constant;
  private final Tile tile;
  private final double[] laneCenter;
  private final double[] laneFactor;
  private final double[] laneUpstream;
  private final double[] laneConstant;
  private final double[] x;
  private final double[] dy;

  Affine(Tile tile) {
    this.tile = tile;
    center = new double[tile.features];
    factor = new double[tile.features];
    upstream = new double[tile.features];
    constant = new double[tile.features];
    laneCenter = new double[tile.lanes];
    laneFactor = new double[tile.lanes];
    laneUpstream = new double[tile.lanes];
    laneConstant = new double[tile.lanes];
    x = new double[tile.lanes];
    dy = new double[tile.lanes];
  }

  /** {@code factor*(x - center) + constant}. */
  void apply(Elements input, Elements output, long group) {
    spread();
    tile.forEachStrip(group, (at, lanes) -> {
      input.read(at, lanes, x);
      apply(lanes, x, laneCenter, laneFactor, laneConstant);
      output.write(at, lanes, x);
    });
  }

  private static void apply(
      int lanes, double[] x, double[] center, double[] factor, double[] constant) {
    for (int i = 0; i < lanes; i++) {
      x[i] = factor[i] * (x[i] - center[i]) + constant[i];
    }
  }

  /** {@code upstream*dy + factor*(x - center) + constant}. */
  void apply(Elements input, Elements gradient, Elements output, long group) {
    spread();
    tile.forEachStrip(group, (at, lanes) -> {
      input.read(at, lanes, x);
      gradient.read(at, lanes, dy);
      apply(lanes, x, dy, laneCenter, laneFactor, laneUpstream, laneConstant);
      output.write(at, lanes, x);
    });
  }

  private static void apply(
      int lanes,
      double[] x,
      double[] dy,
      double[] center,
      double[] factor,
      double[] upstream,
      double[] constant) {
    for (int i = 0; i < lanes; i++) {
      x[i] = upstream[i] * dy[i] + factor[i] * (x[i] - center[i]) + constant[i];
    }
  }

  /** {@code upstream*dy}, whatever x: NaN in it stays out of the gradient where the weight is 0. */
  void scaleUpstream(Elements gradient, Elements output, long group) {
    spread();
    tile.forEachStrip(group, (at, lanes) -> {
      gradient.read(at, lanes, dy);
      for (int i = 0; i < lanes; i++) {
        dy[i] *= laneUpstream[i];
      }
      output.write(at, lanes, dy);
    });
  }

  private void spread() {
    tile.spread(center, laneCenter);
    tile.spread(factor, laneFactor);
    tile.spread(upstream, laneUpstream);
    tile.spread(constant, laneConstant);
  }
}
