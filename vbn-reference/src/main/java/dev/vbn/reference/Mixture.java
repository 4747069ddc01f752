package dev.vbn.reference;

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

  static Mixture of(double liveMean, double liveVariance, double epsilon) {
    return new Mixture(0, liveMean, liveVariance, Math.sqrt(liveVariance + epsilon));
  }

  static Mixture of(
      double referenceMean,
      double referenceVariance,
      double liveMean,
      double liveVariance,
      Normalization how) {
    double w = how.weight();
    // Weight 0 must not see the live statistics: 0 * NaN is NaN.
    double d = w == 0 ? 0 : liveMean - referenceMean;
    double m = w == 0 ? referenceMean : referenceMean + w * d;
    double v = w == 0
        ? referenceVariance
        : (1 - w) * referenceVariance + w * liveVariance + w * (1 - w) * d * d;
    return new Mixture(d, m, v, Math.sqrt(v + how.epsilon()));
  }
}
