package dev.vbn.reference;

/** Parameters of each feature of a tile, and the passes over a group that use them. */
final class Affine {
  final double[] center;
  final double[] factor;
  final double[] slope;
  final double[] offset;
  private final Tile tile;
  private final int lanes;
  private final int restLanes;
  private final double[] laneCenter;
  private final double[] laneFactor;
  private final double[] laneSlope;
  private final double[] laneOffset;

  /** For groups of {@code rows} rows. */
  Affine(Tile tile, int rows) {
    this.tile = tile;
    lanes = tile.lanes(rows);
    restLanes = tile.restLanes(rows);
    center = new double[tile.features];
    factor = new double[tile.features];
    slope = new double[tile.features];
    offset = new double[tile.features];
    laneCenter = new double[lanes];
    laneFactor = new double[lanes];
    laneSlope = new double[lanes];
    laneOffset = new double[lanes];
  }

  /** {@code factor*(x - center) + offset}. */
  void normalize(Strips strips, int firstRow, int rows) {
    spread();
    tile.forEachStrip(
        firstRow, rows, at -> strips.normalize(at, lanes, laneCenter, laneFactor, laneOffset));
    tile.forEachRest(
        firstRow, rows, at -> strips.normalize(at, restLanes, laneCenter, laneFactor, laneOffset));
  }

  /** {@code factor*dy - slope*(x - center) - offset}. */
  void differentiate(Strips strips, int firstRow, int rows) {
    spread();
    tile.forEachStrip(
        firstRow,
        rows,
        at -> strips.differentiate(at, lanes, laneCenter, laneFactor, laneSlope, laneOffset));
    tile.forEachRest(
        firstRow,
        rows,
        at -> strips.differentiate(at, restLanes, laneCenter, laneFactor, laneSlope, laneOffset));
  }

  /** {@code factor*dy}, whatever x: NaN in it stays out of the gradient where the weight is 0. */
  void scaleUpstream(Strips strips, int firstRow, int rows) {
    spread();
    tile.forEachStrip(firstRow, rows, at -> strips.scaleUpstream(at, lanes, laneFactor));
    tile.forEachRest(firstRow, rows, at -> strips.scaleUpstream(at, restLanes, laneFactor));
  }

  private void spread() {
    tile.spread(center, laneCenter);
    tile.spread(factor, laneFactor);
    tile.spread(slope, laneSlope);
    tile.spread(offset, laneOffset);
  }
}
