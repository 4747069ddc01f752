package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import java.util.ArrayList;
import java.util.List;

/**
 * Features that are computed together, and the boxes that their elements of one group lie in.
 *
 * <p>A batch is a matrix of {@code batch*before} rows of {@code features*after} elements; a group is
 * a number of neighbouring rows.
 */
final class Tile {
  /** Lanes of a strip at most: their parameters and sums stay near the first-level cache. */
  static final int LANES = 1024;

  /** Neighbouring elements of one feature that make a tile of their own. */
  private static final int LONG_RUN = 64;

  /** Lanes of the strips that long runs are cut into: few, because each is carried over by itself. */
  private static final int CUT = 64;

  /** The same for features of few elements, where carrying over weighs more. */
  private static final int SHORT_CUT = 32;

  final int firstFeature;
  final int features;
  final Box[] boxes;
  private final int run;

  private Tile(int firstFeature, int features, int run, Box... boxes) {
    this.firstFeature = firstFeature;
    this.features = features;
    this.run = run;
    this.boxes = boxes;
  }

  /** The tiles of a batch, for groups of {@code rows} rows. */
  static Tile[] of(Geometry geometry, int rows) {
    int features = (int) geometry.features();
    int run = (int) geometry.after();
    if (features == 1 && rows > 1) {
      return new Tile[] {longRuns(0, 1, rows * run, rows * run)};
    }
    List<Tile> tiles = new ArrayList<>();
    int width = run >= LONG_RUN ? 1 : Math.max(1, LANES / run);
    for (int first = 0; first < features; first += width) {
      tiles.add(
          run >= LONG_RUN
              ? longRuns(first, rows, run, features * run)
              : shortRuns(first, Math.min(width, features - first), rows, run, features * run));
    }
    return tiles.toArray(new Tile[0]);
  }

  /**
   * Long runs: one feature, whose runs are cut into strips. All lanes are the same feature's, and
   * there are as few as vectors need.
   */
  private static Tile longRuns(int feature, int rows, int run, int rowLength) {
    int lanes = Math.min(run, (long) rows * run >= 128 * CUT ? CUT : SHORT_CUT);
    int cut = run / lanes;
    int at = feature * run;
    Box strips = new Box(at, rows, rowLength, cut, lanes, lanes);
    int rest = run - cut * lanes;
    return rest == 0
        ? new Tile(feature, 1, run, strips)
        : new Tile(feature, 1, run, strips, new Box(at + cut * lanes, 1, 0, rows, rowLength, rest));
  }

  /**
   * Short runs and channels-last: as many features as fill a strip, since one by one their elements
   * would be strewn over the memory. Where that takes in whole rows, a strip may be several of them.
   */
  private static Tile shortRuns(int first, int features, int rows, int run, int rowLength) {
    int span = features * run;
    int joined = span == rowLength ? Math.max(1, Math.min(LANES / span, rows / Box.BLOCK)) : 1;
    int at = first * run;
    Box strips = new Box(at, 1, 0, rows / joined, joined * rowLength, joined * span);
    int rest = rows % joined;
    return rest == 0
        ? new Tile(first, features, run, strips)
        : new Tile(
            first,
            features,
            run,
            strips,
            new Box(at + (rows - rest) * rowLength, 1, 0, 1, rest * span, rest * span));
  }

  /** Lanes of the widest strip. */
  int lanes() {
    int lanes = 0;
    for (Box box : boxes) {
      lanes = Math.max(lanes, box.lanes());
    }
    return lanes;
  }

  /** Neighbouring lanes that are the same feature's. */
  int lanesOfRun(int lanes) {
    return features == 1 ? lanes : run;
  }

  /** The feature, counted within the tile, that a lane belongs to. */
  int feature(int lane) {
    return features == 1 ? 0 : lane / run % features;
  }

  /** Chunks that are summed by themselves, in whatever order. */
  int chunks() {
    int chunks = 0;
    for (Box box : boxes) {
      chunks += box.chunks();
    }
    return chunks;
  }

  /** The box that a chunk belongs to. */
  Box boxOf(int chunk) {
    return chunk < boxes[0].chunks() ? boxes[0] : boxes[1];
  }

  /** A chunk's number within its box. */
  int chunkOfBox(int chunk) {
    return chunk < boxes[0].chunks() ? chunk : chunk - boxes[0].chunks();
  }
}
