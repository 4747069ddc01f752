package dev.vbn.reference;

import java.util.Arrays;

/**
 * Sums over one group of each feature of a tile: what statistics and gradients are made of. The
 * lanes of a feature are combined in one order, whichever thread does it.
 */
final class GroupSums {
  private final Tile tile;
  private final LaneSums strips;
  private final LaneSums rests;
  private final double[] count;
  private final double[] mean;
  private final double[] squares;
  private final double[] upstream;
  private final double[] upstreamDeviation;

  /** Sums for groups of {@code rows} rows. */
  GroupSums(Tile tile, int rows, boolean withUpstream) {
    this.tile = tile;
    strips = new LaneSums(tile.lanes(rows), withUpstream);
    rests = new LaneSums(tile.restLanes(rows), withUpstream);
    count = new double[tile.features];
    mean = new double[tile.features];
    squares = new double[tile.features];
    upstream = new double[tile.features];
    upstreamDeviation = new double[tile.features];
  }

  /** Sums over the group that starts with {@code firstRow}, in place of those of the last one. */
  void take(Strips elements, int firstRow, int rows) {
    strips.clear();
    rests.clear();
    tile.forEachStrip(firstRow, rows, at -> strips.add(elements, at));
    tile.forEachRest(firstRow, rows, at -> rests.add(elements, at));
    Arrays.fill(count, 0);
    Arrays.fill(mean, 0);
    Arrays.fill(squares, 0);
    Arrays.fill(upstream, 0);
    Arrays.fill(upstreamDeviation, 0);
    merge(strips);
    if (rests.lanes > 0) {
      merge(rests);
    }
  }

  private void merge(LaneSums sums) {
    double n = sums.count();
    tile.forEachRun(sums.lanes, (feature, from, to) -> {
      // All lanes have as many elements, so that their mean is the mean of their means.
      double first = sums.mean[from];
      double sum = 0;
      for (int i = from; i < to; i++) {
        sum += sums.mean[i] - first;
      }
      double runMean = first + sum / (to - from);
      double runSquares = 0;
      for (int i = from; i < to; i++) {
        double d = sums.mean[i] - runMean;
        runSquares += sums.squares[i] + n * d * d;
      }
      double before = mean[feature];
      double total = count[feature] + n * (to - from);
      double share = n * (to - from) / total;
      double d = runMean - before;
      mean[feature] = before + share * d;
      squares[feature] += runSquares + share * count[feature] * d * d;
      count[feature] = total;
      if (sums.upstream.length > 0) {
        double deviation = upstream[feature] * (before - mean[feature]);
        for (int i = from; i < to; i++) {
          deviation +=
              sums.upstreamDeviation[i] + sums.upstream[i] * (sums.mean[i] - mean[feature]);
          upstream[feature] += sums.upstream[i];
        }
        upstreamDeviation[feature] += deviation;
      }
    });
  }

  double mean(int feature) {
    return mean[feature];
  }

  /** Biased. */
  double variance(int feature) {
    return squares[feature] / count[feature];
  }

  /** {@code sum(dy)}. */
  double upstream(int feature) {
    return upstream[feature];
  }

  /** {@code sum(dy * (x - center))}. */
  double upstreamAround(int feature, double center) {
    return upstreamDeviation[feature] + upstream[feature] * (mean[feature] - center);
  }
}
