package dev.vbn.kernels;

import org.jspecify.annotations.Nullable;

/** Arrays of 32 bits: which sums and lines fit them, and sums of few elements in 64 bits. */
class FloatLoops extends PlainFloats {
  /** Squares outside this range have overflowed, or lost digits to underflow. */
  static final double SMALL = 0x1p-80;

  static final double LARGE = 0x1p120;

  /** Up to this many elements, 64 bits cost less than a second look at them, for a shift. */
  private static final int FEW = 4096;

  @Override
  boolean isFew(Layout layout) {
    return layout.counts() == null && layout.size() <= FEW && layout.tiles() == 1;
  }

  @Override
  void addFew(
      float[] x, float @Nullable [] dy, int at, int rows, int features, int run, Sums into) {
    for (int row = 0; row < rows; row++) {
      int from = at + row * features * run;
      if (run > 1) {
        for (int i = 0; i < features; i++) {
          addFewOf(i, x, dy, from + i * run, run, into);
        }
        continue;
      }
      addFew(x, from, features, into.shift, into.sum, into.squares);
      if (dy != null) {
        addFew(x, dy, from, features, into.center, into.upstream, into.deviation);
      }
    }
  }

  /** Adds a run, in two sums of each kind so that fewer additions wait for the one before. */
  private static void addFewOf(
      int feature, float[] x, float @Nullable [] dy, int at, int run, Sums into) {
    double shift = into.shift[feature];
    double sum = 0;
    double squares = 0;
    double sumOfOdd = 0;
    double squaresOfOdd = 0;
    int end = at + run;
    int i = at;
    for (; i < end - 1; i += 2) {
      double d = x[i] - shift;
      double e = x[i + 1] - shift;
      sum += d;
      squares += d * d;
      sumOfOdd += e;
      squaresOfOdd += e * e;
    }
    if (i < end) {
      double d = x[i] - shift;
      sum += d;
      squares += d * d;
    }
    into.sum[feature] += sum + sumOfOdd;
    into.squares[feature] += squares + squaresOfOdd;
    if (dy != null) {
      double center = into.center[feature];
      double upstream = 0;
      double deviation = 0;
      for (i = at; i < end; i++) {
        upstream += dy[i];
        deviation += dy[i] * (x[i] - center);
      }
      into.upstream[feature] += upstream;
      into.deviation[feature] += deviation;
    }
  }

  private static void addFew(
      float[] x, int at, int count, double[] shift, double[] sum, double[] squares) {
    for (int i = 0; i < count; i++) {
      double d = x[at + i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void addFew(
      float[] x,
      float[] dy,
      int at,
      int count,
      double[] center,
      double[] upstream,
      double[] deviation) {
    for (int i = 0; i < count; i++) {
      double each = dy[at + i];
      upstream[i] += each;
      deviation[i] += each * (x[at + i] - center[i]);
    }
  }

  @Override
  boolean prepare(Lines lines, int features, boolean derivative) {
    return lines.round(features, derivative);
  }

  @Override
  final boolean fits(Lines lines, int feature, boolean derivative) {
    return lines.fits(feature, derivative);
  }

  @Override
  final boolean isTrusted(Sums sums, int feature, boolean withUpstream) {
    if (sums.areWide()) {
      return true;
    }
    if (!sums.areZero(feature) && (!inRange(sums.squares[feature]) || sums.isFar(feature))) {
      return false;
    }
    return !withUpstream
        || (inRange(sums.deviation[feature]) && Math.abs(sums.upstream[feature]) < LARGE);
  }

  private static boolean inRange(double sum) {
    double size = Math.abs(sum);
    return size > SMALL && size < LARGE;
  }
}
