package dev.vbn.reference;

/**
 * Sums over the elements of one group, taken block by block: mean and squared deviations of the
 * input, and the sums of the upstream gradient that a backward pass needs.
 *
 * <p>Within a block the deviations are taken from the block's own mean, and blocks are combined by
 * the formula of Chan, Golub and LeVeque (1983), so that neither an offset of the input nor the
 * length of the group costs accuracy.
 */
final class GroupSums {
  private double count;
  private double mean;
  private double squares;
  private double upstream;
  private double upstreamDeviation;

  /** Adds the first {@code length} elements of {@code x}, at least one. */
  void add(double[] x, int length) {
    double blockMean = meanOf(x, length);
    double blockSquares = squaresAround(blockMean, x, length);
    double d = blockMean - mean;
    double total = count + length;
    double share = length / total;
    mean = count == 0 ? blockMean : mean + share * d;
    squares = count == 0 ? blockSquares : squares + blockSquares + share * count * d * d;
    count = total;
  }

  /** Adds {@code x} together with the gradient {@code dy} of its outputs. */
  void add(double[] x, double[] dy, int length) {
    double before = mean;
    add(x, length);
    double sum = 0;
    double deviation = 0;
    for (int i = 0; i < length; i++) {
      sum += dy[i];
      deviation += dy[i] * (x[i] - mean);
    }
    upstreamDeviation += upstream * (before - mean) + deviation;
    upstream += sum;
  }

  double mean() {
    return mean;
  }

  /** Biased. */
  double variance() {
    return squares / count;
  }

  /** {@code sum(dy)}. */
  double upstream() {
    return upstream;
  }

  /** {@code sum(dy * (x - center))}. */
  double upstreamAround(double center) {
    return upstreamDeviation + upstream * (mean - center);
  }

  // Four sums side by side: one alone waits for each addition before the next.

  private static double meanOf(double[] x, int length) {
    double shift = x[0];
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    int i = 0;
    for (; i + 3 < length; i += 4) {
      s0 += x[i] - shift;
      s1 += x[i + 1] - shift;
      s2 += x[i + 2] - shift;
      s3 += x[i + 3] - shift;
    }
    for (; i < length; i++) {
      s0 += x[i] - shift;
    }
    return shift + ((s0 + s1) + (s2 + s3)) / length;
  }

  private static double squaresAround(double mean, double[] x, int length) {
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    int i = 0;
    for (; i + 3 < length; i += 4) {
      double d0 = x[i] - mean;
      double d1 = x[i + 1] - mean;
      double d2 = x[i + 2] - mean;
      double d3 = x[i + 3] - mean;
      s0 += d0 * d0;
      s1 += d1 * d1;
      s2 += d2 * d2;
      s3 += d3 * d3;
    }
    for (; i < length; i++) {
      double d = x[i] - mean;
      s0 += d * d;
    }
    return (s0 + s1) + (s2 + s3);
  }
}
