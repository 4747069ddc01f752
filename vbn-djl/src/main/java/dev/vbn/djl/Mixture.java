package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import org.jspecify.annotations.Nullable;

/**
 * Reference statistics and live statistics mixed as {@link Normalization} says, in 64 bits, per
 * group.
 *
 * @param difference d, live mean minus reference mean; null without either
 * @param mean m
 * @param variance v
 * @param deviation s
 */
record Mixture(@Nullable NDArray difference, NDArray mean, NDArray variance, NDArray deviation) {

  /** One of the two alone. */
  static Mixture of(Workspace work, Moments<NDArray> alone, double epsilon) {
    return of(work, null, alone.mean(), alone.variance(), epsilon);
  }

  static Mixture of(
      Workspace work, Moments<NDArray> reference, Moments<NDArray> live, Normalization how) {
    double w = how.weight();
    NDArray d = live.mean().sub(reference.mean());
    NDArray m = d.mul(work.constant(w)).add(reference.mean());
    NDArray v = live.variance()
        .mul(work.constant(w))
        .add(d.square().mul(work.constant(w * (1 - w))))
        .add(reference.variance().mul(work.constant(1 - w)));
    return of(work, d, m, v, how.epsilon());
  }

  private static Mixture of(
      Workspace work, @Nullable NDArray d, NDArray m, NDArray v, double epsilon) {
    return new Mixture(d, m, v, v.add(work.constant(epsilon)).sqrt());
  }
}
