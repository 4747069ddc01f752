package dev.vbn.nd4j;

import dev.vbn.spi.Mixture;
import java.util.Arrays;

/**
 * Sums of the upstream gradient over one group of each feature of a tile: {@code A = sum(dy)} and
 * {@code B = sum(dy*xh)}, lane by lane as in {@link GroupSums}.
 *
 * <p>They are taken around the mixed mean itself, which takes a pass of its own. Moved there from
 * another centre they lost what they were: one element of 1e20 that no gradient reached gave
 * dgamma 9216 instead of -41.9.
 */
final class UpstreamSums {
  final double[] a;
  final double[] b;
  private final Tile tile;
  private final double[] center;
  private final double[] inverse;
  private final double[] laneCenter;
  private final double[] laneInverse;
  private final double[] x;
  private final double[] dy;
  private final double[] sum;
  private final double[] products;

  UpstreamSums(Tile tile) {
    this.tile = tile;
    a = new double[tile.features];
    b = new double[tile.features];
    center = new double[tile.features];
    inverse = new double[tile.features];
    laneCenter = new double[tile.lanes];
    laneInverse = new double[tile.lanes];
    x = new double[tile.lanes];
    dy = new double[tile.lanes];
    sum = new double[tile.lanes];
    products = new double[tile.lanes];
  }

  /** The sums of a group that was normalised by these, one of each feature. */
  void take(Elements input, Elements gradient, long group, Mixture[] mixtures) {
    for (int i = 0; i < tile.features; i++) {
      center[i] = mixtures[i].mean();
      inverse[i] = 1 / mixtures[i].deviation();
    }
    tile.spread(center, laneCenter);
    tile.spread(inverse, laneInverse);
    Arrays.fill(sum, 0);
    Arrays.fill(products, 0);
    tile.forEachStrip(group, (at, lanes) -> {
      input.read(at, lanes, x);
      gradient.read(at, lanes, dy);
      add(lanes, x, dy, laneCenter, laneInverse, sum, products);
    });
    Arrays.fill(a, 0);
    Arrays.fill(b, 0);
    tile.forEachRun((feature, from, to) -> {
      for (int i = from; i < to; i++) {
        a[feature] += sum[i];
        b[feature] += products[i];
      }
    });
  }

  private static void add(
      int lanes,
      double[] x,
      double[] dy,
      double[] center,
      double[] inverse,
      double[] sum,
      double[] products) {
    for (int i = 0; i < lanes; i++) {
      sum[i] += dy[i];
      products[i] += dy[i] * ((x[i] - center[i]) * inverse[i]);
    }
  }
}
