package dev.vbn.reference;

import java.util.Arrays;

/**
 * Mean and squared deviations of the input in each lane, and sums of the upstream gradient, in 64
 * bits.
 *
 * <p>Deviations are taken from a shift, first an estimate of the lane's mean and then the mean so
 * far, and carried over block by block by the formula of Chan, Golub and LeVeque (1983), so that
 * neither an offset of the input nor the number of strips costs accuracy.
 */
final class LaneSums {
  int lanes;
  double count;
  final double[] mean;
  final double[] squares;
  final double[] upstream;

  /** {@code sum(dy*(x - mean))}. */
  final double[] upstreamDeviation;

  /** What deviations of the present block are taken from. */
  final double[] shift;

  /** Sums over the present block: d, d*d, dy, dy*d. */
  final double[] blockSum;

  final double[] blockSquares;
  final double[] blockUpstream;
  final double[] blockDeviation;

  LaneSums(int lanes) {
    mean = new double[lanes];
    squares = new double[lanes];
    upstream = new double[lanes];
    upstreamDeviation = new double[lanes];
    shift = new double[lanes];
    blockSum = new double[lanes];
    blockSquares = new double[lanes];
    blockUpstream = new double[lanes];
    blockDeviation = new double[lanes];
  }

  /** Sums over some blocks of a box, in place of what was here. */
  void take(Strips strips, Workspace workspace, int at, Box box, int fromBlock, int toBlock) {
    lanes = box.lanes();
    count = 0;
    Arrays.fill(mean, 0, lanes, 0);
    Arrays.fill(squares, 0, lanes, 0);
    Arrays.fill(upstream, 0, lanes, 0);
    Arrays.fill(upstreamDeviation, 0, lanes, 0);
    for (int i = fromBlock; i < toBlock; i++) {
      Box block = box.block(i);
      if (count == 0) {
        strips.estimate(at, block, workspace, shift);
      } else {
        strips.round(mean, shift, lanes);
      }
      strips.sum(at, block, workspace, this);
      carryOver(block.strips());
      if (strips.withUpstream()) {
        carryOverUpstream();
      }
    }
  }

  private void carryOver(double n) {
    double total = count + n;
    double share = n / total;
    double weight = share * count;
    for (int i = 0; i < lanes; i++) {
      double before = mean[i];
      double d = shift[i] + blockSum[i] / n - before;
      // Of the first elements there is no mean before: then the share is 1 and the weight 0.
      mean[i] = before + share * d;
      squares[i] += Math.max(blockSquares[i] - blockSum[i] * (blockSum[i] / n), 0) + weight * d * d;
      // What moves the upstream sums from the mean before to the one now.
      blockSum[i] = before - mean[i];
    }
    count = total;
  }

  private void carryOverUpstream() {
    for (int i = 0; i < lanes; i++) {
      upstreamDeviation[i] +=
          upstream[i] * blockSum[i] + blockDeviation[i] + blockUpstream[i] * (shift[i] - mean[i]);
      upstream[i] += blockUpstream[i];
    }
  }
}
