package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import java.util.Arrays;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/**
 * Features that are computed together, and the strips of neighbouring elements that they are read
 * in.
 *
 * <p>A batch is a matrix of {@code batch*before} rows of {@code features*after} elements. Where a
 * feature's run in a row is long, a tile is one feature and its runs are cut into strips. Where runs
 * are short (channels-last, short signals), a tile is as many features as fill a strip: one by one,
 * their elements would be strewn over the memory. Either way a lane, a place in the strip, always
 * belongs to the same feature.
 */
final class Tile {
  /** Lanes of a strip: their parameters and sums stay in the first-level cache. */
  private static final int LANES = 256;

  /** Below this many elements, handing work to other threads costs more than it saves. */
  private static final long PARALLEL_SIZE = 1 << 15;

  final int firstFeature;
  final int features;
  private final int rowLength;
  private final int run;
  private final int span;

  private Tile(Geometry geometry, int firstFeature, int features) {
    this.firstFeature = firstFeature;
    this.features = features;
    run = (int) geometry.after();
    rowLength = (int) geometry.features() * run;
    span = features * run;
  }

  /** Runs {@code work} on every tile of a batch, in parallel where that is worth while. */
  static void forEach(Geometry geometry, Consumer<Tile> work) {
    int features = (int) geometry.features();
    int width = (int) Math.max(1, LANES / geometry.after());
    IntStream tiles = IntStream.range(0, (features + width - 1) / width);
    if (geometry.size() >= PARALLEL_SIZE) {
      tiles = tiles.parallel();
    }
    tiles.forEach(tile -> {
      int first = tile * width;
      work.accept(new Tile(geometry, first, Math.min(width, features - first)));
    });
  }

  /** Lanes of a full strip over {@code rows} rows. */
  int lanes(int rows) {
    int most = features == 1 ? LANES : LANES / span * span;
    return Math.min(most, segment(rows));
  }

  /** Lanes of the strip that is left at the end of a segment; 0 if none is. */
  int restLanes(int rows) {
    return segment(rows) % lanes(rows);
  }

  /** Elements without a gap: a tile that is as wide as the batch goes on in the next row. */
  private int segment(int rows) {
    return span == rowLength ? rows * span : span;
  }

  private int segments(int rows) {
    return span == rowLength ? 1 : rows;
  }

  /** Does something with the strip that starts at an index. */
  interface StripAction {
    void accept(int at);
  }

  /** Visits the full strips of {@code rows} rows. */
  void forEachStrip(int firstRow, int rows, StripAction action) {
    int lanes = lanes(rows);
    int full = segment(rows) - restLanes(rows);
    for (int i = 0; i < segments(rows); i++) {
      int start = start(firstRow + i);
      for (int done = 0; done < full; done += lanes) {
        action.accept(start + done);
      }
    }
  }

  /** Visits the strips that are left. */
  void forEachRest(int firstRow, int rows, StripAction action) {
    int rest = restLanes(rows);
    if (rest > 0) {
      int full = segment(rows) - rest;
      for (int i = 0; i < segments(rows); i++) {
        action.accept(start(firstRow + i) + full);
      }
    }
  }

  private int start(int row) {
    return row * rowLength + firstFeature * run;
  }

  /** Does something with neighbouring lanes of one feature. */
  interface LanesOfFeature {
    void accept(int feature, int from, int to);
  }

  /** Visits the lanes of a strip, run by run; {@code feature} counts within the tile. */
  void forEachRun(int lanes, LanesOfFeature action) {
    if (features == 1) {
      action.accept(0, 0, lanes);
      return;
    }
    for (int from = 0, feature = 0; from < lanes; from += run) {
      action.accept(feature, from, from + run);
      feature = feature + 1 == features ? 0 : feature + 1;
    }
  }

  /** Gives every lane its feature's value. */
  void spread(double[] values, double[] lanes) {
    forEachRun(lanes.length, (feature, from, to) -> Arrays.fill(lanes, from, to, values[feature]));
  }
}
