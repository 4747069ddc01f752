package dev.vbn.reference;

import java.util.Arrays;

/**
 * Mean and squared deviations of the input in each lane, and sums of the upstream gradient.
 *
 * <p>Deviations are taken from a shift, first an estimate of the lane's mean and then the mean so
 * far, and folded into the results every so often by the formula of Chan, Golub and LeVeque (1983),
 * so that neither an offset of the input nor the number of strips costs accuracy.
 */
final class LaneSums {
  /** Strips between foldings: seldom enough to cost little, often enough to keep the shift good. */
  static final int FOLD = 64;

  final double[] mean;
  final double[] squares;
  final double[] upstream;

  /** {@code sum(dy*(x - center))}. */
  final double[] upstreamDeviation;

  /**
   * Given from outside, and always the same: the mean so far may be far from all elements whose
   * upstream gradient is not 0, which then would be lost in what moves their sum elsewhere.
   */
  final double[] center;

  /** What deviations d are taken from until the next folding. */
  final double[] shift;

  /** Sums since the last folding: d, d*d, dy, dy*(x - center). */
  final double[] sum;

  final double[] squareSum;
  final double[] upstreamSum;
  final double[] deviationSum;

  private int lanes;
  private boolean withUpstream;
  private double count;
  private int pending;

  LaneSums(int lanes) {
    mean = new double[lanes];
    squares = new double[lanes];
    upstream = new double[lanes];
    upstreamDeviation = new double[lanes];
    center = new double[lanes];
    shift = new double[lanes];
    sum = new double[lanes];
    squareSum = new double[lanes];
    upstreamSum = new double[lanes];
    deviationSum = new double[lanes];
  }

  /** Forgets everything. */
  void clear(int lanes, boolean withUpstream) {
    this.lanes = lanes;
    this.withUpstream = withUpstream;
    count = 0;
    Arrays.fill(mean, 0, lanes, 0);
    Arrays.fill(squares, 0, lanes, 0);
    if (withUpstream) {
      Arrays.fill(upstream, 0, lanes, 0);
      Arrays.fill(upstreamDeviation, 0, lanes, 0);
    }
    clearPending();
  }

  /** Forgets what has not been folded. */
  void clearPending() {
    pending = 0;
    Arrays.fill(sum, 0, lanes, 0);
    Arrays.fill(squareSum, 0, lanes, 0);
    if (withUpstream) {
      Arrays.fill(upstreamSum, 0, lanes, 0);
      Arrays.fill(deviationSum, 0, lanes, 0);
    }
  }

  int lanes() {
    return lanes;
  }

  boolean withUpstream() {
    return withUpstream;
  }

  /** Elements folded in each lane. */
  double count() {
    return count;
  }

  void add(Kernel kernel, int at) {
    if (count == 0 && pending == 0) {
      kernel.read(at, lanes, shift);
    }
    kernel.sumStrip(at, this);
    if (++pending == FOLD) {
      fold();
    }
  }

  /** Folds what is pending. */
  void complete() {
    if (pending > 0) {
      fold();
    }
  }

  /** Folds sums over {@code strips} strips. */
  void fold(int strips) {
    pending = strips;
    fold();
  }

  private void fold() {
    double n = pending;
    double total = count + n;
    double share = n / total;
    double weight = share * count;
    double each = 1 / n;
    if (withUpstream) {
      foldUpstream();
    }
    for (int i = 0; i < lanes; i++) {
      double before = mean[i];
      double d = shift[i] + sum[i] * each - before;
      // Of the first elements there is no mean before: then the share is 1 and the weight 0.
      mean[i] = before + share * d;
      squares[i] += Math.max(squareSum[i] - sum[i] * (sum[i] * each), 0) + weight * d * d;
    }
    System.arraycopy(mean, 0, shift, 0, lanes);
    count = total;
    clearPending();
  }

  private void foldUpstream() {
    for (int i = 0; i < lanes; i++) {
      upstreamDeviation[i] += deviationSum[i];
      upstream[i] += upstreamSum[i];
    }
  }
}
