package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import org.jspecify.annotations.Nullable;

/** What one thread computes with, kept from call to call: a small call allocates its result only. */
final class Workspace {
  final Kernel kernel;
  final FloatSums floats = new FloatSums(Tile.LANES);
  final LaneSums lanes = new LaneSums(Tile.LANES);
  final GroupSums chunk = new GroupSums(Tile.LANES);
  final GroupSums group = new GroupSums(Tile.LANES);
  final Lines lines = new Lines(Tile.LANES);
  final double[] strip = new double[Tile.LANES];
  final double[] gradient = new double[Tile.LANES];
  private @Nullable Geometry geometry;
  private int rows;
  private Tile[] tiles = {};

  Workspace(Kernel kernel) {
    this.kernel = kernel;
  }

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
