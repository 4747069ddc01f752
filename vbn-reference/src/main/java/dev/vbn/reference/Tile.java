package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Features that are computed together, and where their elements of one group lie.
 *
 * <p>A batch is a matrix of {@code batch*before} rows of {@code features*after} elements; a group is
 * a number of neighbouring rows. There are two orders to go through it:
 *
 * <ul>
 *   <li>Long runs: a tile is one feature, and goes from run to run. Nothing but its sums is kept,
 *       and both passes over it find it in cache.
 *   <li>Short runs and channels-last: a tile is as many features as fill a strip. One by one, their
 *       elements would be strewn over the memory: a cache line of 64 bytes would be fetched for 4.
 *       Sums and parameters are kept for each lane, a place in the strip.
 * </ul>
 */
final class Tile {
  /** Lanes of a strip at most: their parameters and sums stay near the first-level cache. */
  static final int LANES = 1024;

  /** Neighbouring elements of one feature that make a tile of their own. */
  private static final int LONG_RUN = 64;

  /** Rows that a strip of several rows must still leave: few strips vectorise badly. */
  private static final int JOINED_ROWS = 64;

  /** Elements of a chunk, which one thread sums: enough for a hand-over, and 1 MiB of 32 bits. */
  private static final int CHUNK = 1 << 18;

  final int firstFeature;
  final int features;

  /** Neighbouring lanes that are the same feature's; all of them where runs are long. */
  private final int run;

  private final Block strips;
  private final @Nullable Block rest;

  private Tile(int firstFeature, int features, int run, Block strips, @Nullable Block rest) {
    this.firstFeature = firstFeature;
    this.features = features;
    this.run = run;
    this.strips = strips;
    this.rest = rest;
  }

  /** The tiles of a batch, for groups of {@code rows} rows. */
  static Tile[] of(Geometry geometry, int rows) {
    int features = (int) geometry.features();
    int run = (int) geometry.after();
    if (features == 1) {
      return new Tile[] {longRuns(0, 1, 0, rows * run)};
    }
    List<Tile> tiles = new ArrayList<>();
    int width = run >= LONG_RUN ? 1 : LANES / run;
    for (int tile = 0; tile < ceil(features, width); tile++) {
      int first = tile * width;
      tiles.add(
          run >= LONG_RUN
              ? longRuns(first, rows, features * run, run)
              : shortRuns(first, Math.min(width, features - first), rows, features * run, run));
    }
    return tiles.toArray(new Tile[0]);
  }

  private static Tile longRuns(int feature, int rows, int rowLength, int run) {
    return new Tile(feature, 1, run, new Block(feature * run, rows, rowLength, run), null);
  }

  /** Where the features are whole rows, a strip may be several of them. */
  private static Tile shortRuns(int first, int features, int rows, int rowLength, int run) {
    int span = features * run;
    int joined = span == rowLength ? Math.max(1, Math.min(LANES / span, rows / JOINED_ROWS)) : 1;
    Block strips = new Block(first * run, rows / joined, joined * rowLength, joined * span);
    int rest = rows % joined;
    return new Tile(
        first,
        features,
        run,
        strips,
        rest == 0 ? null : new Block((rows - rest) * rowLength, 1, 0, rest * span));
  }

  /** Whether the tile is one feature, all of whose lanes are alike. */
  boolean longRuns() {
    return features == 1;
  }

  /** Neighbouring lanes, of a strip of {@code lanes}, that are the same feature's. */
  int run(int lanes) {
    return features == 1 ? lanes : run;
  }

  /** Values of features, for every lane of a strip of {@code lanes}. */
  void spread(double[] ofFeatures, int lanes, double[] into) {
    int run = run(lanes);
    if (run == 1) {
      for (int from = 0; from < lanes; from += features) {
        System.arraycopy(ofFeatures, firstFeature, into, from, features);
      }
      return;
    }
    for (int from = 0, feature = 0; from < lanes; from += run) {
      Arrays.fill(into, from, from + run, ofFeatures[firstFeature + feature]);
      feature = feature + 1 == features ? 0 : feature + 1;
    }
  }

  /** Chunks that are summed by themselves, in whatever order. */
  int chunks() {
    return chunksOfStrips() + (rest == null ? 0 : 1);
  }

  private int chunksOfStrips() {
    return cuts() * ceil(strips.rows(), rowsOfChunk());
  }

  private int cuts() {
    return ceil(strips.length(), CHUNK);
  }

  private int rowsOfChunk() {
    return Math.max(1, CHUNK / strips.length());
  }

  Block chunk(int index) {
    if (rest != null && index == chunksOfStrips()) {
      return rest;
    }
    int row = index / cuts() * rowsOfChunk();
    int cut = index % cuts() * CHUNK;
    return new Block(
        strips.at() + row * strips.stride() + cut,
        Math.min(rowsOfChunk(), strips.rows() - row),
        strips.stride(),
        Math.min(CHUNK, strips.length() - cut));
  }

  /** Of the quotient of a and b, which are 1 or more. */
  static int ceil(int a, int b) {
    return (a - 1) / b + 1; // a + b overflows for the longest arrays
  }
}
