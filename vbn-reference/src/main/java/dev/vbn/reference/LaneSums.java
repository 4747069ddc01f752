package dev.vbn.reference;

import java.util.Arrays;

/**
 * Mean and squared deviations of the input in each lane, and sums of the upstream gradient.
 *
 * <p>Deviations are taken from a shift, first an element of the lane and then the mean so far, and
 * folded into the results every so often by the formula of Chan, Golub and LeVeque (1983), so that
 * neither an offset of the input nor the number of strips costs accuracy.
 */
final class LaneSums {
  /** Strips between foldings: seldom enough to cost nothing, often enough to keep the shift good. */
  private static final int FOLD = 64;

  final int lanes;
  final double[] mean;
  final double[] squares;
  final double[] upstream;

  /** {@code sum(dy*(x - mean))}. */
  final double[] upstreamDeviation;

  private final double[] shift;
  private final double[] sum;
  private final double[] squareSum;
  private final double[] upstreamSum;
  private final double[] deviationSum;
  private double count;
  private int pending;

  LaneSums(int lanes, boolean withUpstream) {
    int upstreamLanes = withUpstream ? lanes : 0;
    this.lanes = lanes;
    mean = new double[lanes];
    squares = new double[lanes];
    upstream = new double[upstreamLanes];
    upstreamDeviation = new double[upstreamLanes];
    shift = new double[lanes];
    sum = new double[lanes];
    squareSum = new double[lanes];
    upstreamSum = new double[upstreamLanes];
    deviationSum = new double[upstreamLanes];
  }

  /** Forgets everything, for the next group. */
  void clear() {
    count = 0;
    Arrays.fill(mean, 0);
    Arrays.fill(squares, 0);
    Arrays.fill(upstream, 0);
    Arrays.fill(upstreamDeviation, 0);
  }

  void add(Strips strips, int at) {
    if (count == 0 && pending == 0) {
      strips.read(at, lanes, shift);
    }
    if (upstream.length == 0) {
      strips.sum(at, lanes, shift, sum, squareSum);
    } else {
      strips.sumWithUpstream(at, lanes, shift, sum, squareSum, upstreamSum, deviationSum);
    }
    if (++pending == FOLD) {
      fold();
    }
  }

  /** Elements in each lane; completes the sums. */
  double count() {
    if (pending > 0) {
      fold();
    }
    return count;
  }

  private void fold() {
    double n = pending;
    double total = count + n;
    double share = n / total;
    for (int i = 0; i < lanes; i++) {
      double before = mean[i];
      double d = shift[i] + sum[i] / n - before;
      // Of the first elements there is no mean before: then the share is 1 and the weight 0.
      mean[i] = before + share * d;
      squares[i] += Math.max(squareSum[i] - sum[i] * (sum[i] / n), 0) + share * count * d * d;
      sum[i] = 0;
      squareSum[i] = 0;
      if (upstream.length > 0) {
        upstreamDeviation[i] += upstream[i] * (before - mean[i])
            + deviationSum[i]
            + upstreamSum[i] * (shift[i] - mean[i]);
        upstream[i] += upstreamSum[i];
        deviationSum[i] = 0;
        upstreamSum[i] = 0;
      }
      shift[i] = mean[i];
    }
    count = total;
    pending = 0;
  }
}
