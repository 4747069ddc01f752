package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/** Arrays of 32 bits, in 64-bit arithmetic. */
class FloatKernel extends Kernel {
  final float[] x;
  final float @Nullable [] upstream;
  final float @Nullable [] output;

  FloatKernel(float[] x, float @Nullable [] upstream, float @Nullable [] output) {
    this.x = x;
    this.upstream = upstream;
    this.output = output;
  }

  @Override
  final boolean withUpstream() {
    return upstream != null;
  }

  @Override
  final void read(int at, int lanes, double[] into) {
    for (int i = 0; i < lanes; i++) {
      into[i] = x[at + i];
    }
  }

  @Override
  final void sumStrip(int at, LaneSums sums) {
    if (upstream == null) {
      sum(x, at, sums.lanes(), sums.shift, sums.sum, sums.squareSum);
    } else {
      sumWithUpstream(
          x,
          upstream,
          at,
          sums.lanes(),
          sums.shift,
          sums.sum,
          sums.squareSum,
          sums.upstreamSum,
          sums.deviationSum);
    }
  }

  private static void sum(
      float[] x, int at, int lanes, double[] shift, double[] sum, double[] squareSum) {
    for (int i = 0; i < lanes; i++) {
      double d = x[at + i] - shift[i];
      sum[i] += d;
      squareSum[i] += d * d;
    }
  }

  private static void sumWithUpstream(
      float[] x,
      float[] upstream,
      int at,
      int lanes,
      double[] shift,
      double[] sum,
      double[] squareSum,
      double[] upstreamSum,
      double[] deviationSum) {
    for (int i = 0; i < lanes; i++) {
      double d = x[at + i] - shift[i];
      double dy = upstream[at + i];
      sum[i] += d;
      squareSum[i] += d * d;
      upstreamSum[i] += dy;
      deviationSum[i] += dy * d;
    }
  }

  @Override
  final void normalizeRun(int at, int length, double center, double factor, double offset) {
    normalizeRun(x, requireNonNull(output), at, length, center, factor, offset);
  }

  private static void normalizeRun(
      float[] x, float[] out, int at, int length, double center, double factor, double offset) {
    for (int i = at; i < at + length; i++) {
      out[i] = (float) (factor * (x[i] - center) + offset);
    }
  }

  @Override
  final void normalizeStrip(int at, int lanes, Lines lines) {
    normalizeStrip(
        x, requireNonNull(output), at, lanes, lines.center, lines.factor, lines.offset);
  }

  private static void normalizeStrip(
      float[] x,
      float[] out,
      int at,
      int lanes,
      double[] center,
      double[] factor,
      double[] offset) {
    for (int i = 0; i < lanes; i++) {
      out[at + i] = (float) (factor[i] * (x[at + i] - center[i]) + offset[i]);
    }
  }

  @Override
  final void differentiateRun(
      int at, int length, double center, double factor, double slope, double offset) {
    differentiateRun(
        x,
        requireNonNull(upstream),
        requireNonNull(output),
        at,
        length,
        center,
        factor,
        slope,
        offset);
  }

  private static void differentiateRun(
      float[] x,
      float[] upstream,
      float[] out,
      int at,
      int length,
      double center,
      double factor,
      double slope,
      double offset) {
    for (int i = at; i < at + length; i++) {
      out[i] = (float) (factor * upstream[i] - (slope * (x[i] - center) + offset));
    }
  }

  @Override
  final void differentiateStrip(int at, int lanes, Lines lines) {
    differentiateStrip(
        x,
        requireNonNull(upstream),
        requireNonNull(output),
        at,
        lanes,
        lines.center,
        lines.factor,
        lines.slope,
        lines.offset);
  }

  private static void differentiateStrip(
      float[] x,
      float[] upstream,
      float[] out,
      int at,
      int lanes,
      double[] center,
      double[] factor,
      double[] slope,
      double[] offset) {
    for (int i = 0; i < lanes; i++) {
      out[at + i] = (float)
          (factor[i] * upstream[at + i] - (slope[i] * (x[at + i] - center[i]) + offset[i]));
    }
  }
}
