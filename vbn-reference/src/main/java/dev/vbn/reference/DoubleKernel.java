package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/** Arrays of 64 bits. */
final class DoubleKernel extends Kernel {
  /** So small that the squares of the largest numbers do not overflow, nor do 2^31 of them. */
  private static final double SCALE = 0x1p-540;

  private final double[] x;
  private final double @Nullable [] upstream;
  private final double @Nullable [] output;

  DoubleKernel(
      double[] x,
      double @Nullable [] upstream,
      double @Nullable [] centers,
      double @Nullable [] output) {
    super(centers);
    this.x = x;
    this.upstream = upstream;
    this.output = output;
  }

  @Override
  boolean withUpstream() {
    return upstream != null;
  }

  @Override
  void sum(Block block, Tile tile, Workspace workspace, GroupSums into) {
    super.sum(block, tile, workspace, into);
    if (into.haveOverflowed()) {
      sumScaled(block, tile, workspace, into);
    }
  }

  /** Sums again what no sum of squares, or of differences, can hold as it is. */
  private void sumScaled(Block block, Tile tile, Workspace workspace, GroupSums into) {
    double[] scaled = new double[block.elements()];
    for (int i = 0; i < scaled.length; i++) {
      int row = i / block.length();
      scaled[i] = SCALE * x[block.at() + row * block.stride() + i % block.length()];
    }
    GroupSums sums = new GroupSums(tile.features);
    new DoubleKernel(scaled, null, null, null)
        .sumOnce(new Block(0, block.rows(), block.length(), block.length()), tile, workspace, sums);
    into.replaceOverflowed(sums, 1 / SCALE);
  }

  private void sumOnce(Block block, Tile tile, Workspace workspace, GroupSums into) {
    super.sum(block, tile, workspace, into);
  }

  @Override
  void read(int at, int lanes, double[] into) {
    System.arraycopy(x, at, into, 0, lanes);
  }

  @Override
  void sumStrip(int at, LaneSums sums) {
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
      double[] x, int at, int lanes, double[] shift, double[] sum, double[] squareSum) {
    for (int i = 0; i < lanes; i++) {
      double d = x[at + i] - shift[i];
      sum[i] += d;
      squareSum[i] += d * d;
    }
  }

  private static void sumWithUpstream(
      double[] x,
      double[] upstream,
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
    double[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      normalizeRun(
          x,
          out,
          block.at() + row * block.stride(),
          block.length(),
          lines.center[0],
          lines.factor[0],
          lines.offset[0]);
    }
  }

  private static void normalizeRun(
      double[] x, double[] out, int at, int length, double center, double factor, double offset) {
    for (int i = at; i < at + length; i++) {
      out[i] = factor * (x[i] - center) + offset;
    }
  }

  @Override
  void normalizeStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
    Lines ofLanes = lines.spread(tile, block.length(), workspace.ofLanes);
    double[] out = requireNonNull(output);
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
      double[] x,
      double[] out,
      int at,
      int lanes,
      double[] center,
      double[] factor,
      double[] offset) {
    for (int i = 0; i < lanes; i++) {
      out[at + i] = factor[i] * (x[at + i] - center[i]) + offset[i];
    }
  }

  @Override
  void differentiateRuns(Block block, Lines lines) {
    double[] dy = requireNonNull(upstream);
    double[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      differentiateRun(
          x,
          dy,
          out,
          block.at() + row * block.stride(),
          block.length(),
          lines.center[0],
          lines.factor[0],
          lines.slope[0],
          lines.offset[0]);
    }
  }

  private static void differentiateRun(
      double[] x,
      double[] upstream,
      double[] out,
      int at,
      int length,
      double center,
      double factor,
      double slope,
      double offset) {
    for (int i = at; i < at + length; i++) {
      out[i] = factor * upstream[i] + (slope * (x[i] - center) + offset);
    }
  }

  @Override
  void differentiateStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
    Lines ofLanes = lines.spread(tile, block.length(), workspace.ofLanes);
    double[] dy = requireNonNull(upstream);
    double[] out = requireNonNull(output);
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
      double[] x,
      double[] upstream,
      double[] out,
      int at,
      int lanes,
      double[] center,
      double[] factor,
      double[] slope,
      double[] offset) {
    for (int i = 0; i < lanes; i++) {
      out[at + i] = factor[i] * upstream[at + i] + (slope[i] * (x[at + i] - center[i]) + offset[i]);
    }
  }
}
