package dev.vbn.reference;

import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.tensor.HostTensor;
import org.jspecify.annotations.Nullable;

/**
 * Reference statistics and the live statistics of one group, mixed as {@link Normalization} says,
 * for each feature of a tile.
 */
final class Mixture {
  /** d, live mean minus reference mean. */
  final double[] difference;

  /** m. */
  final double[] mean;

  /** v. */
  final double[] variance;

  /** s. */
  final double[] deviation;

  Mixture(int features) {
    difference = new double[features];
    mean = new double[features];
    variance = new double[features];
    deviation = new double[features];
  }

  void mix(GroupSums live, Tile tile, @Nullable Moments<HostTensor> reference, Normalization how) {
    double w = how.weight();
    int first = tile.firstFeature;
    if (reference == null) {
      takeLive(live, tile.features);
    } else if (w == 0) {
      // Weight 0 must not see the live statistics: 0 * NaN is NaN.
      takeReference(reference, first, tile.features);
    } else {
      mix(
          live,
          reference.mean().doubles(),
          reference.variance().doubles(),
          first,
          tile.features,
          w);
    }
    for (int i = 0; i < tile.features; i++) {
      deviation[i] = Math.sqrt(variance[i] + how.epsilon());
    }
  }

  private void takeLive(GroupSums live, int features) {
    for (int i = 0; i < features; i++) {
      difference[i] = 0;
      mean[i] = live.mean[i];
      variance[i] = live.variance(i);
    }
  }

  private void takeReference(Moments<HostTensor> reference, int first, int features) {
    for (int i = 0; i < features; i++) {
      difference[i] = 0;
      mean[i] = reference.mean().doubles()[first + i];
      variance[i] = reference.variance().doubles()[first + i];
    }
  }

  private void mix(
      GroupSums live,
      double[] referenceMean,
      double[] referenceVariance,
      int first,
      int features,
      double w) {
    for (int i = 0; i < features; i++) {
      double d = live.mean[i] - referenceMean[first + i];
      difference[i] = d;
      mean[i] = referenceMean[first + i] + w * d;
      variance[i] =
          (1 - w) * referenceVariance[first + i] + w * live.variance(i) + w * (1 - w) * d * d;
    }
  }
}
