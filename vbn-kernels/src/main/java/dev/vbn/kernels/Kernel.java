package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.Layout.Part;
import dev.vbn.kernels.Loops.Strip;
import org.jspecify.annotations.Nullable;

/**
 * What one call goes through, part by part. There are two ways through a part:
 *
 * <ul>
 *   <li>Long runs: row by row, and in each row run by run, with the shift and the line of a feature;
 *       scalar loops have one feature at a time.
 *   <li>Short runs and channels-last: strip by strip, with a shift, sums and a line for every lane, a
 *       place in the strip. One run by itself would be too short for vectors.
 * </ul>
 *
 * <p>Arrays are used as they are; other memory through windows that fit the first-level cache.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
abstract class Kernel<A> {
  /** Fewest strips to leave where one is several rows: few vectorise badly. */
  private static final int STRIPS = 16;

  final Loops<A> loops;
  final Elements<A> x;
  final @Nullable Elements<A> upstream;

  Kernel(Loops<A> loops, Elements<A> x, @Nullable Elements<A> upstream) {
    this.loops = loops;
    this.x = x;
    this.upstream = upstream;
  }

  final boolean withUpstream() {
    return upstream != null;
  }

  /** Where the features are whole rows, a strip may be several of them. */
  static Strip strip(Layout layout, Part part) {
    int rows = part.features() == layout.features() && !layout.blends()
        ? (int) Math.max(1, Math.min(Scratch.LANES / layout.rowLength(), part.rows() / STRIPS))
        : 1;
    return new Strip(part.feature(), part.features(), (int) layout.run(), rows);
  }

  final void load(@Nullable Elements<A> dy, long at, int count, int to, Scratch<A> scratch) {
    x.load(at, count, scratch.xWindow, to);
    if (dy != null) {
      dy.load(at, count, scratch.dyWindow, to);
    }
  }

  interface WindowAction {
    /** Takes {@code length} neighbours of each of {@code features} features. */
    void accept(long at, int feature, int features, int length);
  }

  /** A row of a part in windows: some whole runs, or pieces of one. */
  static void forWindows(Layout layout, Part part, long at, WindowAction action) {
    int length = Math.min(part.length(), Scratch.WINDOW);
    int width = length == part.length() ? Scratch.WINDOW / length : 1;
    for (int f = 0; f < part.features(); f += width) {
      int features = Math.min(width, part.features() - f);
      for (int i = 0; i < part.length(); i += length) {
        action.accept(
            at + f * layout.run() + i,
            part.feature() + f,
            features,
            Math.min(length, part.length() - i));
      }
    }
  }

  /** Loads runs of features, which lie one after the other in the window. */
  final void loadRuns(Layout layout, long at, int features, int length, Scratch<A> scratch) {
    if (length == layout.run()) {
      load(upstream, at, features * length, 0, scratch);
      return;
    }
    for (int f = 0; f < features; f++) {
      load(upstream, at + f * layout.run(), length, f * length, scratch);
    }
  }

  /**
   * Copies a strip of a row that is blended, with something else in place of what does not count.
   */
  final void select(
      Layout layout, long row, A from, int at, int count, A otherwise, A to, int first) {
    Counts counts = requireNonNull(layout.counts());
    int run = (int) layout.run();
    loops.select(from, at, count, run, counts.counting(), counts.place(row), otherwise, to, first);
  }

  /** Copies a run of it, or some positions from one on, likewise. */
  final void select(
      Layout layout,
      long row,
      int position,
      A from,
      int at,
      int count,
      double otherwise,
      A to,
      int first) {
    Counts counts = requireNonNull(layout.counts());
    int place = counts.place(row) + position;
    loops.select(from, at, count, counts.counting(), place, otherwise, to, first);
  }
}
