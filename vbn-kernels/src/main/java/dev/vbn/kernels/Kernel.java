package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.Layout.Part;
import dev.vbn.kernels.Loops.Strip;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Sums and outputs over the elements of one call, part by part. There are two ways through a part:
 *
 * <ul>
 *   <li>Long runs: row by row, and in each row run by run, with the shift and the line of a feature;
 *       scalar loops have one feature at a time.
 *   <li>Short runs and channels-last: strip by strip, with a shift, sums and a line for every lane, a
 *       place in the strip. One run by itself would be too short for vectors.
 * </ul>
 *
 * <p>Arrays are computed with as they are; other memory through windows that fit the first-level
 * cache.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
final class Kernel<A> {
  /** Elements of a feature that its first shift is the mean of. */
  private static final int ESTIMATE = 16;

  /** Strips that a strip of several rows must leave: few vectorise badly. */
  private static final int STRIPS = 16;

  /** Elements of a run from which on it is written by itself, with no line for each lane. */
  private static final int WRITTEN_RUN = 64;

  /** So small that the squares of the largest numbers do not overflow, nor do 2^31 of them. */
  private static final double SCALE = 0x1p-540;

  private final Loops<A> loops;
  private final Elements<A> x;
  private final @Nullable Elements<A> upstream;
  private final @Nullable Elements<A> output;

  /** Whether all elements are arrays'. */
  private final boolean arrays;

  Kernel(
      Loops<A> loops, Elements<A> x, @Nullable Elements<A> upstream, @Nullable Elements<A> output) {
    this.loops = loops;
    this.x = x;
    this.upstream = upstream;
    this.output = output;
    arrays = x.array != null
        && (upstream == null || upstream.array != null)
        && (output == null || output.array != null);
  }

  /** The same over what counts of a group, copied together; it writes over a copy. */
  Kernel<A> of(Packed<A> packed) {
    Elements<A> packedX = packed.copyOf(x);
    Elements<A> packedUpstream = upstream == null ? null : packed.copyOf(upstream);
    return new Kernel<>(
        loops,
        packedX,
        packedUpstream,
        output == null ? null : packedUpstream != null ? packedUpstream : packedX);
  }

  Elements<A> output() {
    return requireNonNull(output);
  }

  /** Whether the sums of a group are those of few elements, in 64 bits. */
  boolean sumsFew(Layout layout) {
    return loops.isFew(layout);
  }

  private boolean withUpstream() {
    return upstream != null;
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
    few.clear(features, (double) rows * run, false);
    Arrays.fill(few.shift, 0, features, 0);
    loops.beginStrips(strip, few, false, scratch);
    long from = at + first * layout.run();
    if (layout.counts() == null) {
      long stride = layout.rows() / rows * layout.rowLength();
      addStrips(null, from, rows, stride, strip.lanes(), scratch);
    } else {
      for (int i = 0; i < rows; i++) {
        long row = layout.countingRow(layout.rows() / rows * i);
        addStrips(null, from + row * layout.rowLength(), 1, 0, strip.lanes(), scratch);
      }
    }
    loops.foldStrips(strip, strip.lanes(), false, scratch, few);
    loops.endStrips(strip, false, scratch, few);
    few.finish(features);
    for (int i = 0; i < features; i++) {
      sums.shift[i] = finite((float) few.mean[i]);
    }
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

  /** Of a group that is one part, and fits a window. */
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
    layout.forEachCounting(part, piece -> addStrips(layout, strip, piece, at, scratch, into), null);
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

  /** Where the features are whole rows, a strip may be several of them. */
  private static Strip strip(Layout layout, Part part) {
    int rows = part.features() == layout.features()
        ? (int) Math.max(1, Math.min(Scratch.LANES / layout.rowLength(), part.rows() / STRIPS))
        : 1;
    return new Strip(part.feature(), part.features(), (int) layout.run(), rows);
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

  private void load(@Nullable Elements<A> dy, long at, int count, int to, Scratch<A> scratch) {
    x.load(at, count, scratch.xWindow, to);
    if (dy != null) {
      dy.load(at, count, scratch.dyWindow, to);
    }
  }

  private void sumRuns(Layout layout, Part part, long at, Scratch<A> scratch, Sums into) {
    loops.beginRuns(part.feature(), part.features(), withUpstream(), scratch);
    layout.forEachCounting(part, piece -> addRows(layout, piece, at, scratch, into), null);
    loops.endRuns(part.feature(), part.features(), withUpstream(), scratch, into);
  }

  private void addRows(Layout layout, Part part, long at, Scratch<A> scratch, Sums into) {
    int feature = part.feature();
    int features = part.features();
    for (int row = 0; row < part.rows(); row++) {
      long from = at + part.at() + row * layout.rowLength();
      loops.beginRow(feature, features, part.length(), withUpstream(), scratch);
      if (arrays) {
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
          loadRuns(layout, start, count, length, scratch);
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

  private interface WindowAction {
    /** With {@code length} neighbours of each of {@code features} features. */
    void accept(long at, int feature, int features, int length);
  }

  /** A row of a part in windows: some whole runs, or pieces of one. */
  private static void forWindows(Layout layout, Part part, long at, WindowAction action) {
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
  private void loadRuns(Layout layout, long at, int features, int length, Scratch<A> scratch) {
    if (length == layout.run()) {
      load(upstream, at, features * length, 0, scratch);
      return;
    }
    for (int f = 0; f < features; f++) {
      load(upstream, at + f * layout.run(), length, f * length, scratch);
    }
  }

  /**
   * Finishes sums, after summing again in 64 bits, over the whole group, what cannot be told from the
   * sums of a feature.
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
      // Squares, or differences, have overflowed; or elements are none.
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

  /** Rounds lines to what is computed with, and says whether all of them fit. */
  boolean prepare(Lines lines, int features) {
    return loops.prepare(lines, features, withUpstream());
  }

  /** Writes the output of a part: 0 where nothing counts. */
  void write(Layout layout, Part part, long at, Lines lines, boolean fit, Scratch<A> scratch) {
    if (!fit) {
      layout.forEachCounting(
          part,
          piece -> writeWide(layout, piece, at, lines, scratch),
          gap -> clear(layout, gap, at));
    } else if (layout.run() < WRITTEN_RUN && layout.hasWholeRows()) {
      Strip strip = strip(layout, part);
      loops.spread(strip, lines, withUpstream(), scratch);
      layout.forEachCounting(
          part,
          piece -> writeStrips(layout, strip, piece, at, scratch),
          gap -> clear(layout, gap, at));
    } else {
      layout.forEachCounting(
          part,
          piece -> writeRows(layout, piece, at, lines, scratch),
          gap -> clear(layout, gap, at));
    }
  }

  private void clear(Layout layout, Part part, long at) {
    Elements<A> out = requireNonNull(output);
    long from = at + part.at();
    long row = layout.rowLength();
    if (part.length() < layout.run()) {
      for (int i = 0; i < part.rows(); i++) {
        for (int f = 0; f < part.features(); f++) {
          out.clear(from + i * row + f * layout.run(), part.length());
        }
      }
    } else if (part.features() < layout.features()) {
      for (int i = 0; i < part.rows(); i++) {
        out.clear(from + i * row, part.features() * layout.run());
      }
    } else {
      out.clear(from, part.rows() * row);
    }
  }

  private void writeStrips(Layout layout, Strip strip, Part part, long at, Scratch<A> scratch) {
    int lanes = strip.lanes();
    long stride = strip.rows() * layout.rowLength();
    int strips = part.rows() / strip.rows();
    int rest = (int) (part.rows() % strip.rows() * layout.rowLength());
    long from = at + part.at();
    if (rest > 0) {
      writeStrips(from + strips * stride, 1, 0, rest, scratch);
    }
    writeStrips(from, strips, stride, lanes, scratch);
  }

  private void writeStrips(long at, int strips, long stride, int count, Scratch<A> scratch) {
    Elements<A> out = requireNonNull(output);
    if (arrays) {
      loops.writeStrips(
          requireNonNull(x.array),
          upstream == null ? null : upstream.array,
          requireNonNull(out.array),
          (int) at,
          strips,
          (int) stride,
          count,
          scratch);
      return;
    }
    for (int i = strips - 1; i >= 0; i--) {
      load(upstream, at + i * stride, count, 0, scratch);
      A dy = upstream == null ? null : scratch.dyWindow;
      loops.writeStrips(scratch.xWindow, dy, scratch.xWindow, 0, 1, 0, count, scratch);
      out.store(at + i * stride, count, scratch.xWindow, 0);
    }
  }

  private void writeRows(Layout layout, Part part, long at, Lines lines, Scratch<A> scratch) {
    for (int row = part.rows() - 1; row >= 0; row--) {
      writeRow(layout, part, at + part.at() + row * layout.rowLength(), lines, scratch);
    }
  }

  private void writeRow(Layout layout, Part part, long at, Lines lines, Scratch<A> scratch) {
    Elements<A> out = requireNonNull(output);
    if (arrays) {
      loops.writeRow(
          requireNonNull(x.array),
          upstream == null ? null : upstream.array,
          requireNonNull(out.array),
          (int) at,
          part.feature(),
          part.features(),
          (int) layout.run(),
          part.length(),
          lines);
      return;
    }
    forWindows(layout, part, at, (start, feature, features, length) -> {
      loadRuns(layout, start, features, length, scratch);
      A dy = upstream == null ? null : scratch.dyWindow;
      A window = scratch.xWindow;
      loops.writeRow(window, dy, window, 0, feature, features, length, length, lines);
      if (length == layout.run()) {
        out.store(start, features * length, window, 0);
        return;
      }
      for (int f = 0; f < features; f++) {
        out.store(start + f * layout.run(), length, window, f * length);
      }
    });
  }

  /** Where some lines do not fit: what one feature holds changes no bit of another. */
  private void writeWide(Layout layout, Part part, long at, Lines lines, Scratch<A> scratch) {
    for (int row = part.rows() - 1; row >= 0; row--) {
      for (int f = 0; f < part.features(); f++) {
        int feature = part.feature() + f;
        long from = at + part.at() + row * layout.rowLength() + f * layout.run();
        if (loops.fits(lines, feature, withUpstream())) {
          writeRow(layout, part.of(feature), from, lines, scratch);
        } else {
          writeWide(from, part.length(), feature, lines, scratch);
        }
      }
    }
  }

  private void writeWide(long from, int length, int feature, Lines lines, Scratch<A> scratch) {
    double[] values = scratch.wideX;
    double[] gradients = scratch.wideDy;
    for (int done = 0; done < length; done += values.length) {
      int count = Math.min(values.length, length - done);
      x.read(from + done, count, values);
      if (upstream != null) {
        upstream.read(from + done, count, gradients);
      }
      for (int i = 0; i < count; i++) {
        double d = values[i] - lines.center[feature];
        values[i] = upstream == null
            ? lines.factor[feature] * d + lines.offset[feature]
            : lines.factor[feature] * gradients[i]
                + (lines.slope[feature] * d + lines.offset[feature]);
      }
      requireNonNull(output).write(from + done, count, values);
    }
  }
}
