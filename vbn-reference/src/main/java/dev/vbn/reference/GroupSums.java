package dev.vbn.reference;

import java.util.Arrays;

/** Sums over elements of each feature of a tile: what statistics and gradients are made of. */
final class GroupSums {
  private final double[] count;
  private final double[] mean;
  private final double[] squares;
  private final double[] upstream;
  private final double[] upstreamDeviation;
  private int features;

  GroupSums(int features) {
    count = new double[features];
    mean = new double[features];
    squares = new double[features];
    upstream = new double[features];
    upstreamDeviation = new double[features];
  }

  void clear(int features) {
    this.features = features;
    Arrays.fill(count, 0, features, 0);
    Arrays.fill(mean, 0, features, 0);
    Arrays.fill(squares, 0, features, 0);
    Arrays.fill(upstream, 0, features, 0);
    Arrays.fill(upstreamDeviation, 0, features, 0);
  }

  void add(GroupSums other) {
    for (int i = 0; i < features; i++) {
      add(
          i,
          other.count[i],
          other.mean[i],
          other.squares[i],
          other.upstream[i],
          other.upstreamDeviation[i]);
    }
  }

  void add(LaneSums sums, Tile tile) {
    int length = tile.lanesOfRun(sums.lanes);
    for (int from = 0, feature = 0; from < sums.lanes; from += length) {
      addRun(feature, sums, from, from + length);
      feature = feature + 1 == features ? 0 : feature + 1;
    }
  }

  private void addRun(int feature, LaneSums sums, int from, int to) {
    double n = sums.count;
    // All lanes have as many elements, so that their mean is the mean of their means.
    double first = sums.mean[from];
    double sum = 0;
    double runUpstream = 0;
    for (int i = from; i < to; i++) {
      sum += sums.mean[i] - first;
      runUpstream += sums.upstream[i];
    }
    double runMean = first + sum / (to - from);
    double runSquares = 0;
    double runDeviation = 0;
    for (int i = from; i < to; i++) {
      double d = sums.mean[i] - runMean;
      runSquares += sums.squares[i] + n * d * d;
      runDeviation += sums.upstreamDeviation[i] + sums.upstream[i] * d;
    }
    add(feature, n * (to - from), runMean, runSquares, runUpstream, runDeviation);
  }

  private void add(
      int feature,
      double n,
      double otherMean,
      double otherSquares,
      double otherUpstream,
      double otherDeviation) {
    double total = count[feature] + n;
    double share = n / total;
    double before = mean[feature];
    double d = otherMean - before;
    double after = before + share * d;
    squares[feature] += otherSquares + share * count[feature] * d * d;
    upstreamDeviation[feature] +=
        upstream[feature] * (before - after) + otherDeviation + otherUpstream * (otherMean - after);
    upstream[feature] += otherUpstream;
    mean[feature] = after;
    count[feature] = total;
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
