package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import java.util.Arrays;

/**
 * Compares kernels with the scalar one, so that an incubator that has changed costs speed and not a
 * result.
 */
final class KernelCheck {
  /** Rounding in 32 bits, of values up to a few dozen. */
  private static final double TOLERANCE = 1e-5;

  /** Long and short runs, neither of them a multiple of a vector's length. */
  private static final Geometry[] GEOMETRIES = {
    new Geometry(9, 1, 2, 173), new Geometry(131, 1, 19, 3)
  };

  private KernelCheck() {}

  /** Fails if a kernel computes something else than the scalar one. */
  static void check(KernelChoice.OfFloats kernels) {
    for (Geometry geometry : GEOMETRIES) {
      int size = (int) geometry.size();
      float[] x = new float[size];
      float[] dy = new float[size];
      for (int i = 0; i < size; i++) {
        x[i] = i * 37 % 101 / 16f;
        dy[i] = i * 53 % 89 / 8f;
      }
      for (Tile tile : Tile.of(geometry, (int) geometry.batch())) {
        for (float[] upstream : new float[][] {null, dy}) {
          float[] expected = new float[size];
          float[] actual = new float[size];
          Workspace workspace = new Workspace();
          double[] centers = upstream == null ? null : centers((int) geometry.features());
          Kernel scalar = new FloatKernel(x, upstream, centers, expected);
          Kernel other = kernels.of(x, upstream, centers, actual);
          compare(sum(scalar, tile, workspace), sum(other, tile, workspace));
          lines(tile, workspace.lines);
          write(scalar, tile, workspace);
          write(other, tile, workspace);
          compare(expected, actual);
          Arrays.fill(actual, 0);
          compare(writeAndSum(scalar, tile, workspace), writeAndSum(other, tile, workspace));
          compare(expected, actual);
        }
      }
    }
  }

  private static double[] centers(int features) {
    double[] centers = new double[features];
    for (int i = 0; i < features; i++) {
      centers[i] = i / 4.0 - 1;
    }
    return centers;
  }

  private static double[] sum(Kernel kernel, Tile tile, Workspace workspace) {
    GroupSums sums = new GroupSums(tile.features);
    for (int i = 0; i < tile.chunks(); i++) {
      kernel.sum(tile.chunk(i), tile, workspace, sums);
    }
    return results(sums, kernel.withUpstream(), tile);
  }

  private static void lines(Tile tile, Lines lines) {
    for (int i = 0; i < tile.features; i++) {
      lines.center[i] = i / 3.0;
      lines.factor[i] = 1 + i / 7.0;
      lines.slope[i] = 2 - i / 11.0;
      lines.offset[i] = i / 13.0;
    }
  }

  private static void write(Kernel kernel, Tile tile, Workspace workspace) {
    for (int i = 0; i < tile.chunks(); i++) {
      kernel.write(tile.chunk(i), tile, workspace.lines, workspace);
    }
  }

  private static double[] writeAndSum(Kernel kernel, Tile tile, Workspace workspace) {
    GroupSums sums = new GroupSums(tile.features);
    for (int i = 0; i < tile.chunks(); i++) {
      Block block = tile.chunk(i);
      kernel.writeAndSum(block, tile, workspace.lines, block, tile, workspace, sums);
    }
    return results(sums, kernel.withUpstream(), tile);
  }

  private static double[] results(GroupSums sums, boolean withUpstream, Tile tile) {
    double[] results = new double[4 * tile.features];
    for (int i = 0; i < tile.features; i++) {
      results[4 * i] = sums.mean[i];
      results[4 * i + 1] = sums.variance(i);
      if (withUpstream) {
        results[4 * i + 2] = sums.upstream(i);
        results[4 * i + 3] = sums.upstreamDeviation(i);
      }
    }
    return results;
  }

  private static void compare(float[] expected, float[] actual) {
    for (int i = 0; i < expected.length; i++) {
      compare(expected[i], actual[i]);
    }
  }

  private static void compare(double[] expected, double[] actual) {
    for (int i = 0; i < expected.length; i++) {
      compare(expected[i], actual[i]);
    }
  }

  private static void compare(double expected, double actual) {
    if (!(Math.abs(expected - actual) <= TOLERANCE * (1 + Math.abs(expected)))) {
      throw new IllegalStateException("a result is " + actual + "; expected " + expected);
    }
  }
}
