package dev.vbn.reference;

import java.util.Arrays;

/** Sums over elements of each feature of a tile: what statistics and gradients are made of. */
final class GroupSums {
  final double[] mean;
  private final double[] squares;
  private final double[] upstream;
  private final double[] upstreamDeviation;

  /** Elements of each feature. */
  private double count;

  private int features;

  /** What is being added: the same sums over other elements. */
  private final double[] addedMean;

  private final double[] addedSquares;
  private final double[] addedUpstream;
  private final double[] addedDeviation;

  GroupSums(int features) {
    this.features = features;
    mean = new double[features];
    squares = new double[features];
    upstream = new double[features];
    upstreamDeviation = new double[features];
    addedMean = new double[features];
    addedSquares = new double[features];
    addedUpstream = new double[features];
    addedDeviation = new double[features];
  }

  void clear(int features) {
    this.features = features;
    count = 0;
    Arrays.fill(mean, 0, features, 0);
    Arrays.fill(squares, 0, features, 0);
    Arrays.fill(upstream, 0, features, 0);
    Arrays.fill(upstreamDeviation, 0, features, 0);
  }

  void add(GroupSums other) {
    add(other.count, 0, other.mean, other.squares, other.upstream, other.upstreamDeviation);
  }

  /** Adds lanes, run by run; a strip of several rows has several runs of a feature. */
  void add(LaneSums sums, Tile tile) {
    int run = tile.run(sums.lanes());
    if (run == 1) {
      for (int from = 0; from < sums.lanes(); from += features) {
        add(sums.count(), from, sums.mean, sums.squares, sums.upstream, sums.upstreamDeviation);
      }
      return;
    }
    for (int from = 0; from < sums.lanes(); from += features * run) {
      for (int i = 0; i < features; i++) {
        addRun(i, sums, from + i * run, run);
      }
      addAdded(sums.count() * run);
    }
  }

  private void addRun(int feature, LaneSums sums, int from, int run) {
    double n = sums.count();
    // All lanes have as many elements, so that their mean is the mean of their means.
    double first = sums.mean[from];
    double sum = 0;
    for (int i = from + 1; i < from + run; i++) {
      sum += sums.mean[i] - first;
    }
    double runMean = first + sum / run;
    double runSquares = 0;
    for (int i = from; i < from + run; i++) {
      double d = sums.mean[i] - runMean;
      runSquares += sums.squares[i] + n * d * d;
    }
    addedMean[feature] = runMean;
    addedSquares[feature] = runSquares;
    if (sums.withUpstream()) {
      double runUpstream = 0;
      double runDeviation = 0;
      for (int i = from; i < from + run; i++) {
        runUpstream += sums.upstream[i];
        runDeviation += sums.upstreamDeviation[i];
      }
      addedUpstream[feature] = runUpstream;
      addedDeviation[feature] = runDeviation;
    }
  }

  /**
   * Adds {@code n} elements of a tile's only feature.
   *
   * @param shift what deviations d of the input are taken from
   * @param sum of d
   * @param squareSum of d*d
   * @param upstreamSum of dy
   * @param deviationSum of dy*(x - center)
   */
  void add(
      double n,
      double shift,
      double sum,
      double squareSum,
      double upstreamSum,
      double deviationSum) {
    double d = sum / n;
    addedMean[0] = shift + d;
    addedSquares[0] = Math.max(squareSum - sum * d, 0);
    addedUpstream[0] = upstreamSum;
    addedDeviation[0] = deviationSum;
    addAdded(n);
  }

  private void addAdded(double n) {
    add(n, 0, addedMean, addedSquares, addedUpstream, addedDeviation);
  }

  /** Adds elements whose sums begin at index {@code from}. */
  private void add(
      double n,
      int from,
      double[] otherMean,
      double[] otherSquares,
      double[] otherUpstream,
      double[] otherDeviation) {
    double total = count + n;
    double share = n / total;
    double weight = share * count;
    for (int i = 0; i < features; i++) {
      double before = mean[i];
      double d = otherMean[from + i] - before;
      mean[i] = before + share * d;
      squares[i] += otherSquares[from + i] + weight * d * d;
      upstream[i] += otherUpstream[from + i];
      upstreamDeviation[i] += otherDeviation[from + i];
    }
    count = total;
  }

  /** Whether a mean or a sum of squares is none, for which squares that overflow may be the reason. */
  boolean haveOverflowed() {
    for (int i = 0; i < features; i++) {
      if (hasOverflowed(i)) {
        return true;
      }
    }
    return false;
  }

  private boolean hasOverflowed(int feature) {
    return !(Math.abs(mean[feature]) <= Double.MAX_VALUE && squares[feature] >= 0);
  }

  /** Takes the mean and the squares that have overflowed from sums over {@code x/scale}. */
  void replaceOverflowed(GroupSums scaled, double scale) {
    for (int i = 0; i < features; i++) {
      // If it is none even so, elements are none.
      if (hasOverflowed(i) && !scaled.hasOverflowed(i)) {
        mean[i] = scaled.mean[i] * scale;
        squares[i] = scaled.squares[i] * scale * scale;
      }
    }
  }

  boolean isEmpty() {
    return count == 0;
  }

  /** Biased. */
  double variance(int feature) {
    return squares[feature] / count;
  }

  /** {@code sum(dy)}. */
  double upstream(int feature) {
    return upstream[feature];
  }

  /** {@code sum(dy*(x - center))}, of the kernel's center. */
  double upstreamDeviation(int feature) {
    return upstreamDeviation[feature];
  }
}
