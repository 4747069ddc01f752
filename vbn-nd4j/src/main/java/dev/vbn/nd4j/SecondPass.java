package dev.vbn.nd4j;

import dev.vbn.spi.Mixture;
import dev.vbn.spi.SecondSlopes;
import dev.vbn.spi.SecondSums;
import java.util.Arrays;

/**
 * The two passes over a group of a tile that a second gradient takes: the sums of it, lane by lane as
 * in {@link UpstreamSums}, and then what is written.
 */
final class SecondPass {
  private static final int SUMS = 5;

  private final Tile tile;
  private final double[] center;
  private final double[] inverse;
  private final double[] x;
  private final double[] dy;
  private final double[] v;

  // Lane by lane.
  private final double[] laneCenter;
  private final double[] laneInverse;
  private final double[][] laneSums;
  private final double[][] laneSlopes;

  SecondPass(Tile tile) {
    this.tile = tile;
    center = new double[tile.features];
    inverse = new double[tile.features];
    x = new double[tile.lanes];
    dy = new double[tile.lanes];
    v = new double[tile.lanes];
    laneCenter = new double[tile.lanes];
    laneInverse = new double[tile.lanes];
    laneSums = new double[SUMS][tile.lanes];
    laneSlopes = new double[6][tile.lanes];
  }

  /** The sums of a group that was normalised by these, one of each feature. */
  SecondSums[] sums(
      Elements input, Elements gradient, Elements second, long group, Mixture[] mixtures) {
    for (int i = 0; i < tile.features; i++) {
      center[i] = mixtures[i].mean();
      inverse[i] = 1 / mixtures[i].deviation();
    }
    tile.spread(center, laneCenter);
    tile.spread(inverse, laneInverse);
    for (double[] sum : laneSums) {
      Arrays.fill(sum, 0);
    }
    tile.forEachStrip(group, (at, lanes) -> {
      read(input, gradient, second, at, lanes);
      for (int i = 0; i < lanes; i++) {
        double xh = (x[i] - laneCenter[i]) * laneInverse[i];
        laneSums[0][i] += dy[i];
        laneSums[1][i] += dy[i] * xh;
        laneSums[2][i] += v[i];
        laneSums[3][i] += v[i] * xh;
        laneSums[4][i] += dy[i] * v[i];
      }
    });
    double[][] sums = new double[SUMS][tile.features];
    tile.forEachRun((feature, from, to) -> {
      for (int k = 0; k < SUMS; k++) {
        for (int i = from; i < to; i++) {
          sums[k][feature] += laneSums[k][i];
        }
      }
    });
    SecondSums[] ofFeatures = new SecondSums[tile.features];
    Arrays.setAll(
        ofFeatures,
        i -> new SecondSums(sums[0][i], sums[1][i], sums[2][i], sums[3][i], sums[4][i]));
    return ofFeatures;
  }

  private void read(Elements input, Elements gradient, Elements second, long at, int lanes) {
    input.read(at, lanes, x);
    gradient.read(at, lanes, dy);
    second.read(at, lanes, v);
  }

  /**
   * Writes the gradients of the group that {@link #sums} was last asked for.
   *
   * @param alone whether nothing live is mixed in: then x has no part in its own, nor NaN in it
   */
  void write(
      Elements input,
      Elements gradient,
      Elements second,
      long group,
      SecondSlopes[] slopes,
      boolean alone,
      Elements ofInput,
      Elements ofGradient) {
    double[][] ofFeatures = new double[laneSlopes.length][tile.features];
    for (int i = 0; i < tile.features; i++) {
      ofFeatures[0][i] = slopes[i].cross();
      ofFeatures[1][i] = slopes[i].input();
      ofFeatures[2][i] = slopes[i].distance();
      ofFeatures[3][i] = slopes[i].inputConstant();
      ofFeatures[4][i] = slopes[i].upstream();
      ofFeatures[5][i] = slopes[i].upstreamConstant();
    }
    for (int k = 0; k < laneSlopes.length; k++) {
      tile.spread(ofFeatures[k], laneSlopes[k]);
    }
    tile.forEachStrip(group, (at, lanes) -> {
      read(input, gradient, second, at, lanes);
      for (int i = 0; i < lanes; i++) {
        double deviation = x[i] - laneCenter[i];
        double shared = alone ? 0 : laneSlopes[1][i] * v[i] + laneSlopes[2][i] * deviation;
        x[i] = laneSlopes[0][i] * dy[i] + shared + laneSlopes[3][i];
        dy[i] = laneSlopes[4][i] * v[i] + laneSlopes[0][i] * deviation + laneSlopes[5][i];
      }
      ofInput.write(at, lanes, x);
      ofGradient.write(at, lanes, dy);
    });
  }
}
