package dev.vbn.nd4j;

import dev.vbn.spi.Normalization;

/**
 * Reference statistics and the live statistics of one group, mixed as {@link Normalization} says.
 *
 * @param difference d, live mean minus reference mean
 * @param mean m
 * @param variance v
 * @param deviation s
 */
record Mixture(double difference, double mean, double variance, double deviation) {

  static Mixture ofOwn(double mean, double variance, Normalization how) {
    return new Mixture(0, mean, variance, Math.sqrt(variance + how.epsilon()));
  }

  static Mixture of(
      double referenceMean,
      double referenceVariance,
      double liveMean,
      double liveVariance,
      Normalization how) {
    double w = how.weight();
    if (w == 0) {
      // Must not see the live statistics: 0 * NaN is NaN.
      return ofOwn(referenceMean, referenceVariance, how);
    }
    double d = liveMean - referenceMean;
    double v = (1 - w) * referenceVariance + w * liveVariance + w * (1 - w) * d * d;
    return new Mixture(d, referenceMean + w * d, v, Math.sqrt(v + how.epsilon()));
  }
}
