package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.Layout.Part;
import dev.vbn.kernels.Loops.Strip;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Sums over the elements of one call.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
final class Summing<A> extends Kernel<A> {
  /** Elements of a feature whose mean is its first shift. */
  private static final int ESTIMATE = 16;

  /** So small that the squares of the largest numbers do not overflow, nor do 2^31 of them. */
  private static final double SCALE = 0x1p-540;

  /** Whether all elements are in arrays. */
  private final boolean arrays;

  Summing(Loops<A> loops, Elements<A> x, @Nullable Elements<A> upstream) {
    super(loops, x, upstream);
    arrays = x.array != null && (upstream == null || upstream.array != null);
  }

  /** The same over what counts of a group, copied together. */
  Summing<A> of(Packed<A> packed) {
    return new Summing<>(
        loops, packed.copyOf(x), upstream == null ? null : packed.copyOf(upstream));
  }

  /** Whether a group has few elements, which are summed in 64 bits. */
  boolean sumsFew(Layout layout) {
    return loops.isFew(layout);
  }

  /** Sets the shifts of a tile's features, each a mean over some elements spread over the group. */
  void estimate(Layout layout, int tile, long at, Sums sums, Scratch<A> scratch) {
    long first = layout.firstFeature(tile);
    int features = layout.features(tile);
    if (loops.isFew(layout)) {
      int run = (int) layout.run();
      x.read(at, features * run, scratch.wideWindow);
      for (int i = 0; i < features; i++) {
        sums.shift[i] = finite(scratch.wideWindow[i * run]);
      }
      return;
    }
    if (layout.longRuns()) {
      for (int i = 0; i < features; i++) {
        sums.shift[i] = finite(estimate(layout, at + (first + i) * layout.run(), scratch));
      }
      return;
    }
    int run = (int) layout.run();
    int rows = (int) Math.min(layout.rows(), Math.max(4, ESTIMATE / run));
    Strip strip = new Strip(0, features, run, 1);
    Sums few = scratch.sums;
    few.clear(features, elements(layout, rows), false);
    Arrays.fill(few.shift, 0, features, 0);
    loops.beginStrips(strip, few, false, scratch);
    long from = at + first * layout.run();
    if (layout.counts() == null) {
      long stride = layout.rows() / rows * layout.rowLength();
      addStrips(null, from, rows, stride, strip.lanes(), scratch);
    } else {
      for (int i = 0; i < rows; i++) {
        long row = layout.countingRow(layout.rows() / rows * i);
        long start = from + row * layout.rowLength();
        if (layout.blends()) {
          loadCounting(layout, row, x, start, strip.lanes(), scratch.zero, scratch.xWindow, 0);
          loops.addStrips(scratch.xWindow, null, 0, 1, 0, strip.lanes(), scratch);
        } else {
          addStrips(null, start, 1, 0, strip.lanes(), scratch);
        }
      }
    }
    loops.foldStrips(strip, strip.lanes(), false, scratch, few);
    loops.endStrips(strip, false, scratch, few);
    few.finish(features);
    for (int i = 0; i < features; i++) {
      sums.shift[i] = finite((float) few.mean[i]);
    }
  }

  /** The elements of a feature that count in the rows that its shift is estimated from. */
  private static double elements(Layout layout, int rows) {
    Counts counts = layout.counts();
    if (counts == null || !layout.blends()) {
      return (double) rows * layout.run();
    }
    double elements = 0;
    for (int i = 0; i < rows; i++) {
      elements += counts.elementsOf(layout.countingRow(layout.rows() / rows * i));
    }
    return elements;
  }

  private double estimate(Layout layout, long at, Scratch<A> scratch) {
    int rows = (int) Math.min(layout.rows(), ESTIMATE);
    int count = 0;
    double sum = 0;
    for (int i = 0; i < rows; i++) {
      long row = layout.countingRow(layout.rows() / rows * i);
      long begin = layout.counts() == null ? 0 : layout.counts().from(row);
      long length = layout.counts() == null ? layout.run() : layout.counts().to(row) - begin;
      int positions = (int) Math.min(length, ESTIMATE / rows);
      for (int k = 0; k < positions; k++) {
        long from = at + row * layout.rowLength() + begin + length / positions * k;
        x.read(from, 1, scratch.wideX);
        sum += scratch.wideX[0];
      }
      count += positions;
    }
    return (float) (sum / count);
  }

  private static double finite(double shift) {
    return Math.abs(shift) <= Float.MAX_VALUE ? shift : 0;
  }

  /** Adds the sums over a part. */
  void sum(Layout layout, Part part, long at, Scratch<A> scratch, Sums into) {
    if (loops.isFew(layout)) {
      sumFew(layout, at, scratch, into);
    } else if (layout.longRuns()) {
      sumRuns(layout, part, at, scratch, into);
    } else {
      sumStrips(layout, part, at, scratch, into);
    }
  }

  /** For a group that is one part and fits a window. */
  private void sumFew(Layout layout, long at, Scratch<A> scratch, Sums into) {
    int rows = (int) layout.rows();
    int features = (int) layout.features();
    int run = (int) layout.run();
    if (arrays) {
      A dy = upstream == null ? null : upstream.array;
      loops.addFew(requireNonNull(x.array), dy, (int) at, rows, features, run, into);
    } else {
      load(upstream, at, rows * features * run, 0, scratch);
      A dy = upstream == null ? null : scratch.dyWindow;
      loops.addFew(scratch.xWindow, dy, 0, rows, features, run, into);
    }
  }

  private void sumStrips(Layout layout, Part part, long at, Scratch<A> scratch, Sums into) {
    Strip strip = strip(layout, part);
    loops.beginStrips(strip, into, withUpstream(), scratch);
    if (layout.blends()) {
      addBlended(layout, strip, part, at, scratch, into);
    } else {
      layout.forEachCounting(
          part, piece -> addStrips(layout, strip, piece, at, scratch, into), null);
    }
    if (scratch.pending > 0) {
      fold(strip, scratch, into);
    }
    loops.endStrips(strip, withUpstream(), scratch, into);
  }

  private void addStrips(
      Layout layout, Strip strip, Part part, long at, Scratch<A> scratch, Sums into) {
    long stride = strip.rows() * layout.rowLength();
    int strips = part.rows() / strip.rows();
    int rest = (int) (part.rows() % strip.rows() * layout.rowLength());
    long from = at + part.at();
    int few;
    for (int i = 0; i < strips; i += few) {
      few = Math.min(loops.stripsOfFold() - scratch.pending, strips - i);
      addStrips(upstream, from + i * stride, few, stride, strip.lanes(), scratch);
      foldWhenDue(few, strip, scratch, into);
    }
    if (rest > 0) {
      addStrips(upstream, from + strips * stride, 1, 0, rest, scratch);
      foldWhenDue(1, strip, scratch, into);
    }
  }

  /** Some rows at a time, with the shift in place of what does not count. */
  private void addBlended(
      Layout layout, Strip strip, Part part, long at, Scratch<A> scratch, Sums into) {
    Counts counts = requireNonNull(layout.counts());
    int count = strip.lanes();
    int few = 0;
    for (int i = 0; i < part.rows(); i++) {
      long row = part.row() + i;
      if (!counts.isEmpty(row)) {
        long from = at + part.at() + i * layout.rowLength();
        int to = few * count;
        loadCounting(layout, row, x, from, count, scratch.shift, scratch.xWindow, to);
        if (upstream != null) {
          loadCounting(layout, row, upstream, from, count, scratch.zero, scratch.dyWindow, to);
        }
        few++;
      }
      int most = Math.min(Scratch.STRIPS, loops.stripsOfFold() - scratch.pending);
      if (few == most || (few > 0 && i == part.rows() - 1)) {
        A dy = upstream == null ? null : scratch.dyWindow;
        loops.addStrips(scratch.xWindow, dy, 0, few, count, count, scratch);
        foldWhenDue(few, strip, scratch, into);
        few = 0;
      }
    }
  }

  /** Loads a strip of a row, with something else in place of what does not count. */
  private void loadCounting(
      Layout layout,
      long row,
      Elements<A> from,
      long at,
      int count,
      A otherwise,
      A window,
      int to) {
    if (from.array != null) {
      select(layout, row, from.array, (int) at, count, otherwise, window, to);
    } else {
      from.load(at, count, window, to);
      select(layout, row, window, to, count, otherwise, window, to);
    }
  }

  private void foldWhenDue(int added, Strip strip, Scratch<A> scratch, Sums into) {
    scratch.pending += loops.additions(added);
    if (scratch.pending >= loops.stripsOfFold()) {
      fold(strip, scratch, into);
    }
  }

  private void fold(Strip strip, Scratch<A> scratch, Sums into) {
    loops.foldStrips(strip, strip.lanes(), withUpstream(), scratch, into);
    scratch.pending = 0;
  }

  private void addStrips(
      @Nullable Elements<A> dy, long at, int strips, long stride, int count, Scratch<A> scratch) {
    if (arrays) {
      loops.addStrips(
          requireNonNull(x.array),
          dy == null ? null : dy.array,
          (int) at,
          strips,
          (int) stride,
          count,
          scratch);
      return;
    }
    for (int i = 0; i < strips; i += Scratch.STRIPS) {
      int few = Math.min(Scratch.STRIPS, strips - i);
      for (int k = 0; k < few; k++) {
        load(dy, at + (i + k) * stride, count, k * count, scratch);
      }
      loops.addStrips(
          scratch.xWindow, dy == null ? null : scratch.dyWindow, 0, few, count, count, scratch);
    }
  }

  private void sumRuns(Layout layout, Part part, long at, Scratch<A> scratch, Sums into) {
    loops.beginRuns(part.feature(), part.features(), withUpstream(), scratch);
    if (layout.blends()) {
      addRows(layout, part, at, scratch, into);
    } else {
      layout.forEachCounting(part, piece -> addRows(layout, piece, at, scratch, into), null);
    }
    loops.endRuns(part.feature(), part.features(), withUpstream(), scratch, into);
  }

  private void addRows(Layout layout, Part part, long at, Scratch<A> scratch, Sums into) {
    int feature = part.feature();
    int features = part.features();
    for (int row = 0; row < part.rows(); row++) {
      long from = at + part.at() + row * layout.rowLength();
      long blended = layout.blends() ? part.row() + row : -1;
      if (blended >= 0 && requireNonNull(layout.counts()).isEmpty(blended)) {
        continue;
      }
      loops.beginRow(feature, features, part.length(), withUpstream(), scratch);
      if (arrays && blended < 0) {
        loops.addRow(
            requireNonNull(x.array),
            upstream == null ? null : upstream.array,
            (int) from,
            feature,
            features,
            (int) layout.run(),
            part.length(),
            scratch,
            into);
      } else {
        forWindows(layout, part, from, (start, first, count, length) -> {
          if (blended < 0) {
            loadRuns(layout, start, count, length, scratch);
          } else {
            int position = (int) (part.from() + (start - from) % layout.run());
            loadCounting(layout, blended, position, start, first, count, length, scratch, into);
          }
          loops.addRow(
              scratch.xWindow,
              upstream == null ? null : scratch.dyWindow,
              0,
              first,
              count,
              length,
              length,
              scratch,
              into);
          if (length < part.length()) {
            loops.foldRuns(first, count, withUpstream(), scratch);
          }
        });
      }
    }
  }

  /** Loads runs of features, with the shift of each in place of what does not count. */
  private void loadCounting(
      Layout layout,
      long row,
      int position,
      long at,
      int feature,
      int features,
      int length,
      Scratch<A> scratch,
      Sums into) {
    for (int f = 0; f < features; f++) {
      long from = at + f * layout.run();
      int to = f * length;
      double shift = into.shift[feature + f];
      loadCounting(layout, row, position, x, from, length, shift, scratch.xWindow, to);
      if (upstream != null) {
        loadCounting(layout, row, position, upstream, from, length, 0, scratch.dyWindow, to);
      }
    }
  }

  private void loadCounting(
      Layout layout,
      long row,
      int position,
      Elements<A> from,
      long at,
      int count,
      double otherwise,
      A window,
      int to) {
    if (from.array != null) {
      select(layout, row, position, from.array, (int) at, count, otherwise, window, to);
    } else {
      from.load(at, count, window, to);
      select(layout, row, position, window, to, count, otherwise, window, to);
    }
  }

  /**
   * Finishes sums. What the sums of a feature cannot tell is first summed again in 64 bits, over
   * the whole group.
   */
  void finish(Layout layout, int tile, long at, Sums sums, Scratch<A> scratch) {
    int features = layout.features(tile);
    if (loops.areTrusted(sums, features, withUpstream())) {
      sums.finish(features);
      return;
    }
    boolean[] trusted = new boolean[features];
    for (int i = 0; i < features; i++) {
      trusted[i] = loops.isTrusted(sums, i, withUpstream());
    }
    sums.finish(features);
    for (int i = 0; i < features; i++) {
      if (!trusted[i]) {
        long first = at + (layout.firstFeature(tile) + i) * layout.run();
        moments(layout, first, i, sums, scratch);
        if (upstream != null) {
          sumUpstream(layout, first, i, sums, scratch);
        }
      }
    }
  }

  /** Mean and variance of a feature, around a mean that is known. */
  private void moments(Layout layout, long at, int feature, Sums sums, Scratch<A> scratch) {
    double mean = sumWide(layout, at, sums.shift[feature], 1, scratch).mean();
    Wide wide = sumWide(layout, at, mean, 1, scratch);
    double scale = 1;
    if (!(wide.squares <= Double.MAX_VALUE)) {
      // Squares, or differences, have overflowed; or there are no elements.
      mean = sumWide(layout, at, 0, SCALE, scratch).mean();
      Wide scaled = sumWide(layout, at, mean, SCALE, scratch);
      if (scaled.squares <= Double.MAX_VALUE) {
        wide = scaled;
        scale = SCALE;
      }
    }
    sums.mean[feature] = wide.mean() / scale;
    sums.variance[feature] = wide.variance() / scale / scale;
  }

  /** Sums over {@code count} elements, of d = scale*x - shift and of d*d. */
  private record Wide(double shift, double sum, double squares, double count) {
    double mean() {
      return shift + sum / count;
    }

    double variance() {
      double d = sum / count;
      return Math.max(0, squares / count - d * d);
    }
  }

  private Wide sumWide(Layout layout, long at, double shift, double scale, Scratch<A> scratch) {
    double[] values = scratch.wideX;
    double[] sums = new double[2];
    layout.forEachRun(at, values.length, (from, count) -> {
      x.read(from, count, values);
      double sum = 0;
      double squares = 0;
      for (int i = 0; i < count; i++) {
        double d = values[i] * scale - shift;
        sum += d;
        squares += d * d;
      }
      sums[0] += sum;
      sums[1] += squares;
    });
    return new Wide(shift, sums[0], sums[1], (double) layout.elements());
  }

  private void sumUpstream(Layout layout, long at, int feature, Sums sums, Scratch<A> scratch) {
    double center = sums.center[feature];
    double[] values = scratch.wideX;
    double[] gradients = scratch.wideDy;
    double[] wide = new double[2];
    layout.forEachRun(at, values.length, (from, count) -> {
      x.read(from, count, values);
      requireNonNull(upstream).read(from, count, gradients);
      double sum = 0;
      double deviation = 0;
      for (int i = 0; i < count; i++) {
        sum += gradients[i];
        deviation += gradients[i] * (values[i] - center);
      }
      wide[0] += sum;
      wide[1] += deviation;
    });
    sums.deviation[feature] = wide[1];
    // Whatever x holds, the sum of dy has the same bits.
    if (!(Math.abs(sums.upstream[feature]) <= Double.MAX_VALUE)) {
      sums.upstream[feature] = wide[0];
    }
  }
}
