package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * Arrays of 32 bits, in 64-bit arithmetic, but for the output of long runs: a line in 32 bits takes
 * half the time where the batch is in cache, and its error is about one unit in the last place.
 * Lines of lanes stay in 64 bits, because C2 vectorises no loop that reads some arrays of 32 bits at
 * one index and writes another at a second one: they might be the same.
 */
class FloatKernel extends Kernel {
  final float[] x;
  final float @Nullable [] upstream;
  final float @Nullable [] output;

  FloatKernel(
      float[] x,
      float @Nullable [] upstream,
      double @Nullable [] centers,
      float @Nullable [] output) {
    super(centers);
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
          sums.center,
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
      double[] center,
      double[] sum,
      double[] squareSum,
      double[] upstreamSum,
      double[] deviationSum) {
    for (int i = 0; i < lanes; i++) {
      double value = x[at + i];
      double d = value - shift[i];
      double dy = upstream[at + i];
      sum[i] += d;
      squareSum[i] += d * d;
      upstreamSum[i] += dy;
      deviationSum[i] += dy * (value - center[i]);
    }
  }

  @Override
  void normalizeRuns(Block block, Lines lines) {
    float[] out = requireNonNull(output);
    float center = FloatLines.center(lines, 0);
    float factor = (float) lines.factor[0];
    float offset = FloatLines.offset(lines, 0, false);
    boolean fits = FloatLines.fits(lines, 0);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      if (fits) {
        normalizeRun(out, at, block.length(), center, factor, offset);
      } else {
        for (int i = at; i < at + block.length(); i++) {
          out[i] = (float) (lines.factor[0] * (x[i] - lines.center[0]) + lines.offset[0]);
        }
      }
    }
  }

  /** One run, where 32 bits do. */
  void normalizeRun(float[] out, int at, int length, float center, float factor, float offset) {
    normalizeRun(x, out, at, length, center, factor, offset);
  }

  private static void normalizeRun(
      float[] x, float[] out, int at, int length, float center, float factor, float offset) {
    for (int i = at; i < at + length; i++) {
      out[i] = factor * (x[i] - center) + offset;
    }
  }

  @Override
  void normalizeStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
    Lines ofLanes = lines.spread(tile, block.length(), workspace.ofLanes);
    float[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      normalizeStrip(
          x,
          out,
          block.at() + row * block.stride(),
          block.length(),
          ofLanes.center,
          ofLanes.factor,
          ofLanes.offset);
    }
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
  void differentiateRuns(Block block, Lines lines) {
    float[] dy = requireNonNull(upstream);
    float[] out = requireNonNull(output);
    float center = FloatLines.center(lines, 0);
    float factor = (float) lines.factor[0];
    float slope = (float) lines.slope[0];
    float offset = FloatLines.offset(lines, 0, true);
    boolean fits = FloatLines.fits(lines, 0);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      if (fits) {
        differentiateRun(x, dy, out, at, block.length(), center, factor, slope, offset);
      } else {
        for (int i = at; i < at + block.length(); i++) {
          out[i] = (float) (lines.factor[0] * dy[i]
              + (lines.slope[0] * (x[i] - lines.center[0]) + lines.offset[0]));
        }
      }
    }
  }

  private static void differentiateRun(
      float[] x,
      float[] upstream,
      float[] out,
      int at,
      int length,
      float center,
      float factor,
      float slope,
      float offset) {
    for (int i = at; i < at + length; i++) {
      out[i] = factor * upstream[i] + (slope * (x[i] - center) + offset);
    }
  }

  @Override
  void differentiateStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
    Lines ofLanes = lines.spread(tile, block.length(), workspace.ofLanes);
    float[] dy = requireNonNull(upstream);
    float[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      differentiateStrip(
          x,
          dy,
          out,
          block.at() + row * block.stride(),
          block.length(),
          ofLanes.center,
          ofLanes.factor,
          ofLanes.slope,
          ofLanes.offset);
    }
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
      out[at + i] =
          (float) (factor[i] * upstream[at + i] + (slope[i] * (x[at + i] - center[i]) + offset[i]));
    }
  }
}
