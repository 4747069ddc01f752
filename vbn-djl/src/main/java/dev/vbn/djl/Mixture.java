package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
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
    NDList weights = work.constants(w, w * (1 - w), 1 - w);
    NDArray m = d.mul(weights.get(0)).add(reference.mean());
    NDArray v = live.variance()
        .mul(weights.get(0))
        .add(d.square().mul(weights.get(1)))
        .add(reference.variance().mul(weights.get(2)));
    return of(work, d, m, v, how.epsilon());
  }

  private static Mixture of(
      Workspace work, @Nullable NDArray d, NDArray m, NDArray v, double epsilon) {
    return new Mixture(d, m, v, v.add(work.constant(epsilon)).sqrt());
  }
}
