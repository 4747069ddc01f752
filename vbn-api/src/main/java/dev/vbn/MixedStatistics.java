package dev.vbn;

import dev.vbn.spi.Moments;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/**
 * Statistics that normalised a live batch: those of the reference batch mixed with its own. A type
 * of its own, so that they cannot be handed back as a reference.
 *
 * <p>Shape {@code [features]}, or {@code [examples, features]} under {@link Variant#PER_EXAMPLE}.
 */
public final class MixedStatistics<T> {
  private final VbnBackend<T> backend;
  private final Moments<T> moments;

  MixedStatistics(VbnBackend<T> backend, Moments<T> moments) {
    this.backend = backend;
    this.moments = moments;
  }

  /** Mean and variance as the backend's own tensors, which are the caller's to release. */
  public Moments<T> moments() {
    return moments;
  }

  /** Mean, copied to the host as {@link DType#FLOAT64}. */
  public HostTensor mean() {
    return backend.toHost(moments.mean()).to(DType.FLOAT64);
  }

  /** Biased variance, copied to the host as {@link DType#FLOAT64}. */
  public HostTensor variance() {
    return backend.toHost(moments.variance()).to(DType.FLOAT64);
  }

  /** Mean of the squares, {@code variance + mean * mean}, on the host as {@link DType#FLOAT64}. */
  public HostTensor meanSquare() {
    HostTensor meanSquare = variance();
    double[] values = meanSquare.doubles();
    double[] mean = mean().doubles();
    for (int i = 0; i < values.length; i++) {
      values[i] += mean[i] * mean[i];
    }
    return meanSquare;
  }
}
