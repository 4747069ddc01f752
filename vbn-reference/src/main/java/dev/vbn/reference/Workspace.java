package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import org.jspecify.annotations.Nullable;

/** What one thread computes with. {@link Workspaces} keeps it from call to call. */
final class Workspace {
  /**
   * A little more than there are, so that neighbouring arrays do not start a multiple of 4 KiB
   * apart: processors take a load from one for a load of what has just been stored to the other. The
   * scalar kernel's backward pass of (100, 1024, 8) took a sixth longer.
   */
  private static final int LANES = Tile.LANES + 24;

  final LaneSums lanes = new LaneSums(LANES);
  final GroupSums chunk = new GroupSums(LANES);
  final GroupSums group = new GroupSums(LANES);

  /** Of the features of a tile. */
  final Lines lines = new Lines(LANES);

  /** Of the lanes of a strip. */
  final Lines ofLanes = new Lines(LANES);

  /** What the SIMD kernel holds in 32 bits, and what it computes again in 64. */
  final FloatLanes floats = new FloatLanes(LANES);

  final FloatLines floatLines = new FloatLines(LANES);
  final double[] held = new double[4];
  final float[] vectors = new float[Tile.LANES];
  final LaneSums wide = new LaneSums(LANES);

  private @Nullable Geometry geometry;
  private int rows;
  private Tile[] tiles = {};

  /** As {@link Tile#of}; remembers those of the last geometry. */
  Tile[] tiles(Geometry geometry, int rows) {
    if (!geometry.equals(this.geometry) || rows != this.rows) {
      tiles = Tile.of(geometry, rows);
      this.geometry = geometry;
      this.rows = rows;
    }
    return tiles;
  }
}
