package dev.vbn.nd4j;

import dev.vbn.spi.Geometry;
import java.util.Arrays;
import java.util.function.Consumer;

/**
 * Features that are computed together. A batch is a matrix of {@code batch*before} rows of {@code
 * features*after} elements; a tile is one feature where its run in a row is long, and else as many
 * as fill a strip. Either way a lane, a place in the strip, always belongs to the same feature.
 */
final class Tile {
  /** Below this many elements, handing work to other threads costs more than it saves. */
  private static final long PARALLEL_SIZE = 1 << 15;

  final int firstFeature;
  final int features;

  /** Lanes of a full strip. */
  final int lanes;

  private final long rows;
  private final long rowLength;
  private final long run;
  private final long span;

  private Tile(Geometry geometry, long rows, int firstFeature, int features) {
    this.rows = rows;
    this.firstFeature = firstFeature;
    this.features = features;
    run = geometry.after();
    rowLength = geometry.features() * run;
    span = features * run;
    long most = features == 1 ? Elements.STRIP : Elements.STRIP / span * span;
    lanes = (int) Math.min(most, segment());
  }

  /**
   * Runs {@code work} on every tile of a batch, on several threads where that is worth while; one
   * thread computes a tile, so that results do not depend on their number.
   *
   * @param groups groups of a feature
   * @param parallelism threads at most
   */
  static void forEach(Geometry geometry, long groups, int parallelism, Consumer<Tile> work) {
    long rows = geometry.batch() * geometry.before() / groups;
    int features = Math.toIntExact(geometry.features());
    int width = (int) Math.max(1, Elements.STRIP / geometry.after());
    long tiles = ((long) features + width - 1) / width;
    int threads = geometry.size() < PARALLEL_SIZE ? 1 : parallelism;
    Workers.forEach(tiles, threads, tile -> {
      int first = (int) (tile * width);
      work.accept(new Tile(geometry, rows, first, Math.min(width, features - first)));
    });
  }

  /** Elements without a gap: a tile that is as wide as the batch goes on in the next row. */
  private long segment() {
    return span == rowLength ? rows * span : span;
  }

  /** Does something with the strip that starts at an index. */
  interface StripAction {
    void accept(long at, int lanes);
  }

  /** Visits the strips of a group, a full one first. */
  void forEachStrip(long group, StripAction action) {
    long segment = segment();
    long end = (group + 1) * rows * rowLength;
    long step = span == rowLength ? rows * rowLength : rowLength;
    for (long start = group * rows * rowLength + firstFeature * run; start < end; start += step) {
      for (long done = 0; done < segment; done += lanes) {
        action.accept(start + done, (int) Math.min(lanes, segment - done));
      }
    }
  }

  /** Does something with neighbouring lanes of one feature, which counts within the tile. */
  interface RunAction {
    void accept(int feature, int from, int to);
  }

  /** Visits the lanes of a full strip, run by run. */
  void forEachRun(RunAction action) {
    if (features == 1) {
      action.accept(0, 0, lanes);
      return;
    }
    for (int from = 0, i = 0; from < lanes; from += (int) run, i++) {
      action.accept(i % features, from, from + (int) run);
    }
  }

  /** Gives every lane its feature's value. */
  void spread(double[] values, double[] toLanes) {
    forEachRun((feature, from, to) -> Arrays.fill(toLanes, from, to, values[feature]));
  }
}
