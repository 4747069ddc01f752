package dev.vbn.nd4j;

import java.util.Arrays;

/**
 * Mean and variance of one group of each feature of a tile, from sums in 64 bits, lane by lane:
 * additions that do not wait for one another, which the JIT vectorises, and whose order no thread
 * changes.
 *
 * <p>Deviations are taken from the lane's first element. Its square is at most as many times the
 * variance as the lane has elements, so that no offset of the input costs accuracy.
 */
final class GroupSums {
  /** Takes the largest double to 2^424, whose square any number of elements can be summed of. */
  private static final double SMALL = 0x1p-600;

  final double[] mean;

  /** Biased. */
  final double[] variance;

  private final Tile tile;
  private final double[] count;
  private final double[] x;
  private final double[] shift;
  private final double[] sum;
  private final double[] squares;
  private int restLanes;
  private long fullStrips;
  private long restStrips;

  GroupSums(Tile tile) {
    this.tile = tile;
    mean = new double[tile.features];
    variance = new double[tile.features];
    count = new double[tile.features];
    x = new double[tile.lanes];
    shift = new double[tile.lanes];
    sum = new double[tile.lanes];
    squares = new double[tile.lanes];
  }

  /** Statistics of a group. */
  void take(Elements input, long group) {
    take(input, group, 1);
    if (!Arrays.stream(variance).allMatch(Double::isFinite)) {
      takeSmall(input, group);
    }
  }

  /**
   * Where sums of 64-bit elements overflow: once more, of the elements times a power of two that
   * leaves their digits alone. What still overflows is the variance itself.
   */
  private void takeSmall(Elements input, long group) {
    double[] firstMean = mean.clone();
    double[] firstVariance = variance.clone();
    take(input, group, SMALL);
    for (int i = 0; i < tile.features; i++) {
      if (Double.isFinite(firstVariance[i])) {
        mean[i] = firstMean[i];
        variance[i] = firstVariance[i];
      } else {
        mean[i] /= SMALL;
        variance[i] = variance[i] / SMALL / SMALL;
      }
    }
  }

  private void take(Elements input, long group, double factor) {
    Arrays.fill(sum, 0);
    Arrays.fill(squares, 0);
    fullStrips = 0;
    restStrips = 0;
    restLanes = 0;
    tile.forEachStrip(group, (at, lanes) -> {
      input.read(at, lanes, x);
      if (factor != 1) {
        scale(lanes, x, factor);
      }
      if (lanes < tile.lanes) {
        restLanes = lanes;
        restStrips++;
      } else {
        if (fullStrips == 0) {
          System.arraycopy(x, 0, shift, 0, lanes);
        }
        fullStrips++;
      }
      add(lanes, x, shift, sum, squares);
    });
    combine();
  }

  private static void scale(int lanes, double[] x, double factor) {
    for (int i = 0; i < lanes; i++) {
      x[i] *= factor;
    }
  }

  private static void add(int lanes, double[] x, double[] shift, double[] sum, double[] squares) {
    for (int i = 0; i < lanes; i++) {
      double d = x[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private double elements(int lane) {
    return lane < restLanes ? fullStrips + restStrips : fullStrips;
  }

  private void combine() {
    Arrays.fill(count, 0);
    Arrays.fill(mean, 0);
    Arrays.fill(variance, 0);
    // Means of lanes are added around the mean of their first elements, so that one far element
    // costs the mean no digits.
    double[] origin = new double[tile.features];
    tile.forEachRun((feature, from, to) -> {
      for (int i = from; i < to; i++) {
        origin[feature] += shift[i];
        count[feature]++;
      }
    });
    for (int i = 0; i < tile.features; i++) {
      origin[i] /= count[i];
      count[i] = 0;
    }
    tile.forEachRun((feature, from, to) -> {
      for (int i = from; i < to; i++) {
        count[feature] += elements(i);
        mean[feature] += elements(i) * (shift[i] - origin[feature]) + sum[i];
      }
    });
    for (int i = 0; i < tile.features; i++) {
      mean[i] = origin[i] + mean[i] / count[i];
    }
    tile.forEachRun((feature, from, to) -> {
      for (int i = from; i < to; i++) {
        double d = shift[i] - mean[feature];
        variance[feature] += squares[i] + d * (2 * sum[i] + elements(i) * d);
      }
    });
    for (int i = 0; i < tile.features; i++) {
      variance[i] = Math.max(variance[i], 0) / count[i];
    }
  }
}
