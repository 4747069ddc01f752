package dev.vbn.kernels;

import dev.vbn.kernels.Layout.Order;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The innermost loops, over arrays of one type.
 *
 * <p>Where an upstream gradient is given, the gradient is summed too, and outputs are dx. What is
 * summed in 32 bits is carried over into 64 bits every {@value #FOLD} additions: with 32, results
 * were off by 8 units in the last place where the mean is 1e4 standard deviations.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
abstract class Loops<A> {
  static final int FOLD = 8;

  /** The order in which runs of this many neighbours are processed if all of them count. */
  abstract Order order(long run);

  /** Mean length of counting spans from which on they are processed where they lie. */
  abstract int longSpan();

  /**
   * Whether rows of a masked batch are better processed whole.
   *
   * @param span mean length of counting spans
   * @param share of all elements that counts
   */
  boolean blends(double span, double share) {
    return false;
  }

  /** Positions after a run that {@link #select} reads. */
  int behind() {
    return 0;
  }

  /**
   * Copies a strip, with something else in place of what does not count.
   *
   * @param run positions after which {@code counting} repeats
   * @param place of the first position in {@code counting}
   * @param otherwise what stands in its place, for each lane
   */
  abstract void select(
      A from,
      int at,
      int count,
      int run,
      boolean[] counting,
      int place,
      A otherwise,
      A to,
      int first);

  /** Copies a run, with one number in place of what does not count. */
  abstract void select(
      A from, int at, int count, boolean[] counting, int place, double otherwise, A to, int first);

  abstract A array(int length);

  abstract Elements<A> elements(A array);

  /** Copies the shifts of features to the lanes of a strip. */
  abstract void beginStrips(Strip strip, Sums sums, boolean withUpstream, Scratch<A> scratch);

  /** Adds strips of {@code count} lanes. */
  abstract void addStrips(
      A x, @Nullable A dy, int at, int strips, int stride, int count, Scratch<A> scratch);

  /** Strips, all in one call, after which {@link #foldStrips} is due. */
  abstract int stripsOfFold();

  /** How many of {@link #stripsOfFold} these strips take when added in one call. */
  int additions(int strips) {
    return strips;
  }

  /** Carries the sums of lanes over into 64 bits. */
  abstract void foldStrips(
      Strip strip, int count, boolean withUpstream, Scratch<A> scratch, Sums into);

  /** Adds the sums of lanes to those of their features, where folding has not. */
  final void endStrips(Strip strip, boolean withUpstream, Scratch<A> scratch, Sums into) {
    if (strip.features() < strip.lanes()) {
      total(strip, scratch.wideSum, into.sum);
      total(strip, scratch.wideSquares, into.squares);
      if (withUpstream) {
        total(strip, scratch.wideUpstream, into.upstream);
        total(strip, scratch.wideDeviation, into.deviation);
      }
    }
  }

  /** Adds the sums of lanes to those of features, and clears them. */
  private static void total(Strip strip, double[] lanes, double[] into) {
    int run = strip.run();
    int features = strip.features();
    for (int row = 0; row < strip.lanes(); row += features * run) {
      if (run == 1) {
        for (int i = 0; i < features; i++) {
          into[strip.feature() + i] += lanes[row + i];
        }
      } else {
        for (int i = 0; i < features; i++) {
          into[strip.feature() + i] += total(lanes, row + i * run, run);
        }
      }
    }
    Arrays.fill(lanes, 0, strip.lanes(), 0);
  }

  /** The sum of lanes, which are cleared. */
  static double take(double[] lanes, int count) {
    double total = total(lanes, 0, count);
    Arrays.fill(lanes, 0, count, 0);
    return total;
  }

  /** In four sums, so that fewer additions wait for the one before. */
  private static double total(double[] lanes, int from, int count) {
    double a = 0;
    double b = 0;
    double c = 0;
    double d = 0;
    int end = from + count;
    int i = from;
    for (; i <= end - 4; i += 4) {
      a += lanes[i];
      b += lanes[i + 1];
      c += lanes[i + 2];
      d += lanes[i + 3];
    }
    for (; i < end; i++) {
      a += lanes[i];
    }
    return a + b + (c + d);
  }

  /**
   * Whether there are so few elements that they are summed in 64 bits, around any shift:
   * {@link #addFew} then adds their rows to the sums of features, and no shift is ever far.
   */
  boolean isFew(Layout layout) {
    return false;
  }

  /** Adds rows of a run of each feature. */
  void addFew(A x, @Nullable A dy, int at, int rows, int features, int run, Sums into) {
    throw new UnsupportedOperationException();
  }

  /** Makes room for the sums of the runs of features. */
  void beginRuns(int feature, int features, boolean withUpstream, Scratch<A> scratch) {}

  /**
   * Adds a row: a run of each feature.
   *
   * @param stride from one feature's first element to the next one's
   * @param length of each run
   */
  abstract void addRow(
      A x,
      @Nullable A dy,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Scratch<A> scratch,
      Sums into);

  /** Begins a row of runs of {@code length} elements; folds those before when that is due. */
  void beginRow(int feature, int features, int length, boolean withUpstream, Scratch<A> scratch) {}

  /** Ends a piece of a run that is added in several. */
  void foldRuns(int feature, int features, boolean withUpstream, Scratch<A> scratch) {}

  /** Adds the sums of runs to those of features. */
  void endRuns(int feature, int features, boolean withUpstream, Scratch<A> scratch, Sums into) {}

  /** Rounds the lines of features to the type computed in, and says whether all of them fit. */
  abstract boolean prepare(Lines lines, int features, boolean derivative);

  abstract boolean fits(Lines lines, int feature, boolean derivative);

  /** Copies the lines of features to the lanes of a strip. */
  abstract void spread(Strip strip, Lines lines, boolean derivative, Scratch<A> scratch);

  abstract void writeStrips(
      A x, @Nullable A dy, A out, int at, int strips, int stride, int count, Scratch<A> scratch);

  /** Writes a row: a run of each feature. */
  abstract void writeRow(
      A x,
      @Nullable A dy,
      A out,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Lines lines);

  /**
   * Copies what counts of some runs, which lie one after the other.
   *
   * @param stride from what counts of one run to what counts of the next
   * @param step from one element of a run that counts to the next; 1 with spans
   */
  abstract void gather(
      A batch,
      int at,
      int runs,
      int run,
      Packed.Spans spans,
      A packed,
      int first,
      int stride,
      int step);

  /** Copies it back. */
  abstract void scatter(
      A packed,
      int first,
      int stride,
      int step,
      Packed.Spans spans,
      A batch,
      int at,
      int runs,
      int run);

  /** Whether the sums of a feature have lost nothing to overflow or underflow. */
  abstract boolean isTrusted(Sums sums, int feature, boolean withUpstream);

  /** Whether all of them have. */
  boolean areTrusted(Sums sums, int features, boolean withUpstream) {
    for (int i = 0; i < features; i++) {
      if (!isTrusted(sums, i, withUpstream)) {
        return false;
      }
    }
    return true;
  }

  /**
   * The lanes of a strip: runs of some features, once or, where a strip is several whole rows, once
   * per row.
   */
  record Strip(int feature, int features, int run, int rows) {
    int lanes() {
      return rows * features * run;
    }
  }
}
