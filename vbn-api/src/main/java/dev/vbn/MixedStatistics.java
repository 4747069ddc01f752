package dev.vbn;

import dev.vbn.tensor.HostTensor;

/**
 * Statistics that normalise a live batch: those of the reference batch mixed with its own, on the
 * host. A type of its own, so that they cannot be handed back as a reference.
 *
 * <p>Shape {@code [features]}, or {@code [examples, features]} under {@link Variant#PER_EXAMPLE}, in
 * 64 bits.
 */
public final class MixedStatistics {
  private final double[] mean;
  private final double[] variance;
  private final long[] shape;

  MixedStatistics(double[] mean, double[] variance, long[] shape) {
    this.mean = mean;
    this.variance = variance;
    this.shape = shape;
  }

  /** Mean; a copy. */
  public HostTensor mean() {
    return HostTensor.of(mean.clone(), shape);
  }

  /** Biased variance; a copy. */
  public HostTensor variance() {
    return HostTensor.of(variance.clone(), shape);
  }

  /** Mean of the squares, {@code variance + mean * mean}. */
  public HostTensor meanSquare() {
    double[] meanSquare = variance.clone();
    for (int i = 0; i < meanSquare.length; i++) {
      meanSquare[i] += mean[i] * mean[i];
    }
    return HostTensor.of(meanSquare, shape);
  }
}
