package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import org.jspecify.annotations.Nullable;

/** What one thread computes with, kept from call to call: a call allocates its result only. */
final class Workspace {
  final LaneSums lanes = new LaneSums(Tile.LANES + 24);
  final GroupSums chunk = new GroupSums(Tile.LANES + 24);
  final GroupSums group = new GroupSums(Tile.LANES + 24);
  final Mixture mixture = new Mixture(Tile.LANES + 24);

  /** Of the features of a tile. */
  final Lines lines = new Lines(Tile.LANES + 24);

  /** Of the lanes of a strip. */
  final Lines ofLanes = new Lines(Tile.LANES + 24);

  /** What the SIMD kernel holds in 32 bits, and what it computes again in 64. */
  final FloatLanes floats = new FloatLanes(Tile.LANES + 24);

  final FloatLines floatLines = new FloatLines(Tile.LANES + 24);
  final double[] held = new double[4];
  final float[] strip = new float[Tile.LANES];
  final LaneSums wide = new LaneSums(Tile.LANES + 24);

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
