package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Arrays of 64 bits. Strips are copied first, as in {@link ScalarKernel}. */
final class DoubleStrips extends Strips {
  private final double[] x;
  private final double @Nullable [] upstream;
  private final double @Nullable [] output;

  DoubleStrips(double[] x, double @Nullable [] upstream, double @Nullable [] output) {
    this.x = x;
    this.upstream = upstream;
    this.output = output;
  }

  @Override
  boolean withUpstream() {
    return upstream != null;
  }

  /** The first element will do: 64 bits have digits to spare. */
  @Override
  void estimate(int at, Box block, Workspace workspace, double[] shift) {
    System.arraycopy(x, at + block.at(), shift, 0, block.lanes());
  }

  @Override
  void round(double[] mean, double[] shift, int lanes) {
    System.arraycopy(mean, 0, shift, 0, lanes);
  }

  @Override
  void sum(int at, Box block, Workspace workspace, LaneSums sums) {
    int lanes = block.lanes();
    double[] strip = workspace.strip;
    double[] gradient = workspace.gradient;
    Arrays.fill(sums.blockSum, 0, lanes, 0);
    Arrays.fill(sums.blockSquares, 0, lanes, 0);
    Arrays.fill(sums.blockUpstream, 0, lanes, 0);
    Arrays.fill(sums.blockDeviation, 0, lanes, 0);
    block.forEachStrip(at, (start, ignored) -> {
      System.arraycopy(x, start, strip, 0, lanes);
      add(lanes, strip, sums.shift, sums.blockSum, sums.blockSquares);
      if (upstream != null) {
        System.arraycopy(upstream, start, gradient, 0, lanes);
        addUpstream(lanes, strip, gradient, sums.shift, sums.blockUpstream, sums.blockDeviation);
      }
    });
  }

  private static void add(int lanes, double[] x, double[] shift, double[] sum, double[] squares) {
    for (int i = 0; i < lanes; i++) {
      double d = x[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void addUpstream(
      int lanes, double[] x, double[] dy, double[] shift, double[] sum, double[] deviation) {
    for (int i = 0; i < lanes; i++) {
      sum[i] += dy[i];
      deviation[i] += dy[i] * (x[i] - shift[i]);
    }
  }

  @Override
  void normalize(int at, Box box, Tile tile, Lines lines, Workspace workspace) {
    double[] out = requireNonNull(output);
    int length = tile.lanesOfRun(box.lanes());
    box.forEachStrip(at, (start, ignored) -> {
      for (int from = 0; from < box.lanes(); from += length) {
        int f = tile.feature(from);
        double center = lines.center[f];
        double factor = lines.factor[f];
        double offset = lines.offset[f];
        for (int i = start + from; i < start + from + length; i++) {
          out[i] = factor * (x[i] - center) + offset;
        }
      }
    });
  }

  @Override
  void differentiate(int at, Box box, Tile tile, Lines lines, Workspace workspace) {
    double[] out = requireNonNull(output);
    double[] dy = requireNonNull(upstream);
    int length = tile.lanesOfRun(box.lanes());
    box.forEachStrip(at, (start, ignored) -> {
      for (int from = 0; from < box.lanes(); from += length) {
        int f = tile.feature(from);
        double center = lines.center[f];
        double factor = lines.factor[f];
        double slope = lines.slope[f];
        double offset = lines.offset[f];
        for (int i = start + from; i < start + from + length; i++) {
          out[i] = factor * dy[i] - (slope * (x[i] - center) + offset);
        }
      }
    });
  }
}
