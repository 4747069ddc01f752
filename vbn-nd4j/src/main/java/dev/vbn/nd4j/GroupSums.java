package dev.vbn.nd4j;

import java.util.Arrays;

/**
 * Sums over one group of each feature of a tile, in 64 bits and lane by lane: additions that do not
 * wait for one another, which the JIT vectorises, and whose order no thread changes.
 *
 * <p>Deviations are taken from the lane's first element. Its square is at most as many times the
 * variance as the lane has elements, so that no offset of the input costs accuracy.
 */
final class GroupSums {
  final double[] mean;

  /** Biased. */
  final double[] variance;

  /** {@code sum(dy)}. */
  final double[] upstream;

  private final Tile tile;
  private final double[] count;
  private final double[] upstreamDeviation;
  private final double[] x;
  private final double[] dy;
  private final double[] shift;
  private final double[] sum;
  private final double[] squares;
  private final double[] upstreamSum;
  private final double[] products;
  private int restLanes;
  private long fullStrips;
  private long restStrips;

  GroupSums(Tile tile) {
    this.tile = tile;
    mean = new double[tile.features];
    variance = new double[tile.features];
    upstream = new double[tile.features];
    count = new double[tile.features];
    upstreamDeviation = new double[tile.features];
    x = new double[tile.lanes];
    dy = new double[tile.lanes];
    shift = new double[tile.lanes];
    sum = new double[tile.lanes];
    squares = new double[tile.lanes];
    upstreamSum = new double[tile.lanes];
    products = new double[tile.lanes];
  }

  /** Statistics of a group. */
  void take(Elements input, long group) {
    clear();
    tile.forEachStrip(group, (at, lanes) -> {
      read(input, at, lanes);
      add(lanes, x, shift, sum, squares);
    });
    combine();
  }

  /** Statistics of a group, and sums of the upstream gradient. */
  void take(Elements input, Elements gradient, long group) {
    clear();
    tile.forEachStrip(group, (at, lanes) -> {
      read(input, at, lanes);
      gradient.read(at, lanes, dy);
      add(lanes, x, shift, sum, squares);
      addProducts(lanes, x, dy, shift, upstreamSum, products);
    });
    combine();
    combineProducts();
  }

  private void clear() {
    for (double[] sums : new double[][] {sum, squares, upstreamSum, products}) {
      Arrays.fill(sums, 0);
    }
    fullStrips = 0;
    restStrips = 0;
    restLanes = 0;
  }

  private void read(Elements input, long at, int lanes) {
    input.read(at, lanes, x);
    if (lanes < tile.lanes) {
      restLanes = lanes;
      restStrips++;
    } else {
      if (fullStrips == 0) {
        System.arraycopy(x, 0, shift, 0, lanes);
      }
      fullStrips++;
    }
  }

  private static void add(int lanes, double[] x, double[] shift, double[] sum, double[] squares) {
    for (int i = 0; i < lanes; i++) {
      double d = x[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void addProducts(
      int lanes, double[] x, double[] dy, double[] shift, double[] upstream, double[] products) {
    for (int i = 0; i < lanes; i++) {
      upstream[i] += dy[i];
      products[i] += dy[i] * (x[i] - shift[i]);
    }
  }

  private double elements(int lane) {
    return lane < restLanes ? fullStrips + restStrips : fullStrips;
  }

  private void combine() {
    Arrays.fill(count, 0);
    Arrays.fill(mean, 0);
    Arrays.fill(variance, 0);
    double[] origin = new double[tile.features];
    tile.forEachRun((feature, from, to) -> {
      if (count[feature] == 0) {
        origin[feature] = shift[from];
      }
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

  private void combineProducts() {
    Arrays.fill(upstream, 0);
    Arrays.fill(upstreamDeviation, 0);
    tile.forEachRun((feature, from, to) -> {
      for (int i = from; i < to; i++) {
        upstream[feature] += upstreamSum[i];
        upstreamDeviation[feature] += products[i] + upstreamSum[i] * (shift[i] - mean[feature]);
      }
    });
  }

  /** {@code sum(dy * (x - center))}. */
  double upstreamAround(int feature, double center) {
    return upstreamDeviation[feature] + upstream[feature] * (mean[feature] - center);
  }
}
