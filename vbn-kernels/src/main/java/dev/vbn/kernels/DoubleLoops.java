package dev.vbn.kernels;

import dev.vbn.kernels.Layout.Order;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Arrays of 32 bits in plain Java. C2 vectorises a loop that goes through all its arrays at one
 * index; strips are copied to have one. Sums of a run are those of {@value #CUT} lanes it is cut
 * into: a plain sum along the run would wait for each addition.
 */
class DoubleLoops extends Loops<double[]> {
  /** Squares outside this range have overflowed, or lost digits to underflow. */
  static final double SMALL = 0x1p-80;

  static final double LARGE = 0x1p120;

  private static final int CUT = 256;

  @Override
  Order order(long run) {
    return run < 2 * CUT ? Order.STRIPS : Order.FEATURES;
  }

  @Override
  final double[] array(int length) {
    return new double[length];
  }

  @Override
  final void beginStrips(Strip strip, Sums sums, boolean withUpstream, Scratch<double[]> scratch) {
    spread(sums.shift, strip.feature(), strip, scratch.shift);
    if (withUpstream) {
      spread(sums.center, strip.feature(), strip, scratch.around);
    }
  }

  /** Copies numbers of features to the lanes of a strip. */
  private void spread(double[] ofFeatures, int first, Strip strip, double[] into) {
    int features = strip.features();
    if (strip.run() == 1) {
      System.arraycopy(ofFeatures, first, into, 0, features);
    } else {
      repeatEach(ofFeatures, first, features, strip.run(), into);
    }
    int row = features * strip.run();
    for (int i = 1; i < strip.rows(); i++) {
      System.arraycopy(into, 0, into, i * row, row);
    }
  }

  /** Writes each number {@code times} times, and leaves anything in the 16 elements behind. */
  void repeatEach(double[] numbers, int first, int count, int times, double[] into) {
    for (int i = 0; i < count; i++) {
      Arrays.fill(into, i * times, (i + 1) * times, numbers[first + i]);
    }
  }

  @Override
  void addStrips(
      double[] x,
      double @Nullable [] dy,
      int at,
      int strips,
      int stride,
      int count,
      Scratch<double[]> scratch) {
    for (int i = 0; i < strips; i++) {
      System.arraycopy(x, at + i * stride, scratch.x, 0, count);
      add(scratch.x, count, scratch.shift, scratch.sum, scratch.squares);
      if (dy != null) {
        System.arraycopy(dy, at + i * stride, scratch.dy, 0, count);
        add(scratch.x, scratch.dy, count, scratch.around, scratch.upstream, scratch.deviation);
      }
    }
  }

  private static void add(double[] x, int count, double[] shift, double[] sum, double[] squares) {
    for (int i = 0; i < count; i++) {
      double d = x[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void add(
      double[] x, double[] dy, int count, double[] around, double[] upstream, double[] deviation) {
    for (int i = 0; i < count; i++) {
      upstream[i] += dy[i];
      deviation[i] += dy[i] * (x[i] - around[i]);
    }
  }

  @Override
  int stripsOfFold() {
    return FOLD;
  }

  @Override
  final void foldStrips(
      Strip strip, int count, boolean withUpstream, Scratch<double[]> scratch, Sums into) {
    fold(strip, count, scratch.sum, scratch.wideSum, into.sum);
    fold(strip, count, scratch.squares, scratch.wideSquares, into.squares);
    if (withUpstream) {
      fold(strip, count, scratch.upstream, scratch.wideUpstream, into.upstream);
      fold(strip, count, scratch.deviation, scratch.wideDeviation, into.deviation);
    }
  }

  private void fold(Strip strip, int count, double[] lanes, double[] wide, double[] into) {
    if (strip.features() < count) {
      widen(lanes, count, wide);
      return;
    }
    for (int i = 0; i < count; i++) {
      into[strip.feature() + i] += lanes[i];
    }
    Arrays.fill(lanes, 0, count, 0);
  }

  /** Adds lanes to wider ones, and clears them. */
  void widen(double[] lanes, int count, double[] into) {
    for (int i = 0; i < count; i++) {
      into[i] += lanes[i];
    }
    Arrays.fill(lanes, 0, count, 0);
  }

  /** Of one feature, whose lanes are summed on from row to row. */
  @Override
  void addRow(
      double[] x,
      double @Nullable [] dy,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Scratch<double[]> scratch,
      Sums into) {
    double shift = into.shift[feature];
    double around = into.center[feature];
    for (int done = 0; done < length; done += CUT) {
      int count = Math.min(CUT, length - done);
      System.arraycopy(x, at + done, scratch.x, 0, count);
      add(scratch.x, count, shift, scratch.sum, scratch.squares);
      if (dy != null) {
        System.arraycopy(dy, at + done, scratch.dy, 0, count);
        add(scratch.x, scratch.dy, count, around, scratch.upstream, scratch.deviation);
      }
      if (++scratch.pending == FOLD) {
        widen(dy != null, scratch);
      }
    }
  }

  private void widen(boolean withUpstream, Scratch<double[]> scratch) {
    widen(scratch.sum, CUT, scratch.wideSum);
    widen(scratch.squares, CUT, scratch.wideSquares);
    if (withUpstream) {
      widen(scratch.upstream, CUT, scratch.wideUpstream);
      widen(scratch.deviation, CUT, scratch.wideDeviation);
    }
    scratch.pending = 0;
  }

  @Override
  void endRuns(
      int feature, int features, boolean withUpstream, Scratch<double[]> scratch, Sums into) {
    widen(withUpstream, scratch);
    into.sum[feature] += take(scratch.wideSum, CUT);
    into.squares[feature] += take(scratch.wideSquares, CUT);
    if (withUpstream) {
      into.upstream[feature] += take(scratch.wideUpstream, CUT);
      into.deviation[feature] += take(scratch.wideDeviation, CUT);
    }
  }

  private static void add(double[] x, int count, double shift, double[] sum, double[] squares) {
    for (int i = 0; i < count; i++) {
      double d = x[i] - shift;
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void add(
      double[] x, double[] dy, int count, double around, double[] upstream, double[] deviation) {
    for (int i = 0; i < count; i++) {
      upstream[i] += dy[i];
      deviation[i] += dy[i] * (x[i] - around);
    }
  }

  @Override
  boolean prepare(Lines lines, int features, boolean derivative) {
    return true;
  }

  @Override
  final boolean fits(Lines lines, int feature, boolean derivative) {
    return true;
  }

  @Override
  final void spread(Strip strip, Lines lines, boolean derivative, Scratch<double[]> scratch) {
    spread(lines.center, strip.feature(), strip, scratch.center);
    spread(lines.factor, strip.feature(), strip, scratch.factor);
    spread(lines.offset, strip.feature(), strip, scratch.offset);
    if (derivative) {
      spread(lines.slope, strip.feature(), strip, scratch.slope);
    }
  }

  @Override
  void writeStrips(
      double[] x,
      double @Nullable [] dy,
      double[] out,
      int at,
      int strips,
      int stride,
      int count,
      Scratch<double[]> scratch) {
    for (int i = 0; i < strips; i++) {
      System.arraycopy(x, at + i * stride, scratch.x, 0, count);
      if (dy == null) {
        write(scratch.x, count, scratch.center, scratch.factor, scratch.offset);
      } else {
        System.arraycopy(dy, at + i * stride, scratch.dy, 0, count);
        write(
            scratch.x,
            scratch.dy,
            count,
            scratch.center,
            scratch.factor,
            scratch.slope,
            scratch.offset);
      }
      System.arraycopy(scratch.x, 0, out, at + i * stride, count);
    }
  }

  private static void write(
      double[] x, int count, double[] center, double[] factor, double[] offset) {
    for (int i = 0; i < count; i++) {
      x[i] = factor[i] * (x[i] - center[i]) + offset[i];
    }
  }

  private static void write(
      double[] x,
      double[] dy,
      int count,
      double[] center,
      double[] factor,
      double[] slope,
      double[] offset) {
    for (int i = 0; i < count; i++) {
      x[i] = factor[i] * dy[i] + (slope[i] * (x[i] - center[i]) + offset[i]);
    }
  }

  @Override
  void writeRow(
      double[] x,
      double @Nullable [] dy,
      double[] out,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Lines lines) {
    for (int i = feature; i < feature + features; i++) {
      int from = at + (i - feature) * stride;
      double center = lines.center[i];
      double factor = lines.factor[i];
      double offset = lines.offset[i];
      if (dy == null) {
        write(x, out, from, from + length, center, factor, offset);
      } else {
        write(x, dy, out, from, from + length, center, factor, lines.slope[i], offset);
      }
    }
  }

  private static void write(
      double[] x, double[] out, int from, int to, double center, double factor, double offset) {
    for (int i = from; i < to; i++) {
      out[i] = factor * (x[i] - center) + offset;
    }
  }

  private static void write(
      double[] x,
      double[] dy,
      double[] out,
      int from,
      int to,
      double center,
      double factor,
      double slope,
      double offset) {
    for (int i = from; i < to; i++) {
      out[i] = factor * dy[i] + (slope * (x[i] - center) + offset);
    }
  }

  @Override
  final boolean isTrusted(Sums sums, int feature, boolean withUpstream) {
    return Math.abs(sums.sum[feature]) <= Double.MAX_VALUE
        && sums.squares[feature] <= Double.MAX_VALUE
        && !sums.isFar(feature);
  }
}
