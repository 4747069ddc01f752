package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import org.jspecify.annotations.Nullable;

/**
 * Mean and biased variance of each group of a batch, as arrays that may be part of a graph, and as
 * Java values to decide by.
 *
 * @param batch the batch as it was placed to be measured
 * @param mean in 64 bits
 * @param variance in 64 bits
 */
record LiveStatistics(
    Centered batch, NDArray mean, NDArray variance, double[] means, double[] variances) {

  /**
   * A group far from 0 is measured again around its mean. In 32 bits the mean of a constant is some
   * units off; measured again around it, it is exactly 0.
   */
  private static final int ROUNDS = 3;

  /** Of one measurement: of the values, not of the batch. */
  private record Measured(NDArray mean, NDArray square, double[] means, double[] squares) {
    double variance(int group) {
      return Math.max(squares[group] - means[group] * means[group], 0);
    }
  }

  /**
   * Measures a batch.
   *
   * @param constant whether automatic differentiation is to treat the statistics as constants
   */
  static LiveStatistics of(Workspace work, Layout layout, Centered given, boolean constant) {
    Centered batch = given;
    Measured measured = measure(work, layout, batch, constant);
    double[] scales = scales(work, layout, batch, measured.squares);
    double[] shifts = new double[scales.length];
    Centered scaled = batch.at(scales, shifts);
    if (scaled != batch) {
      batch = scaled;
      measured = measure(work, layout, batch, constant);
    }
    for (int round = 0; round < ROUNDS; round++) {
      shifts = shifts(batch, measured);
      Centered shifted = batch.at(scales, shifts);
      if (shifted == batch) {
        break;
      }
      batch = shifted;
      measured = measure(work, layout, batch, constant);
    }
    return of(work, batch, measured, scales.length);
  }

  private static Measured measure(Workspace work, Layout layout, Centered batch, boolean constant) {
    NDArray values = constant ? batch.values().stopGradient() : batch.values();
    NDArray elements = work.constant((double) layout.elements());
    NDArray mean = layout.sum(work, values).div(elements);
    NDArray square = layout.sumOfSquares(work, values).div(elements);
    return new Measured(mean, square, mean.toDoubleArray(), square.toDoubleArray());
  }

  private static double[] scales(Workspace work, Layout layout, Centered batch, double[] squares) {
    double[] scales = new double[squares.length];
    double @Nullable [] largest = null;
    for (int i = 0; i < scales.length; i++) {
      scales[i] = 1;
      if (batch.isOutOfRange(squares[i])) {
        if (largest == null) {
          largest = work.wide(layout.max(batch.values().stopGradient().abs())).toDoubleArray();
        }
        scales[i] = batch.scaleFor(largest[i]);
      }
    }
    return scales;
  }

  private static double[] shifts(Centered batch, Measured measured) {
    double[] shifts = new double[measured.means.length];
    for (int i = 0; i < shifts.length; i++) {
      double mean = measured.means[i];
      boolean far =
          Math.abs(mean) > Centered.NEAR * Math.sqrt(measured.variance(i)) && Double.isFinite(mean);
      shifts[i] = far ? batch.round(batch.shift(i) + mean) : batch.shift(i);
    }
    return shifts;
  }

  private static LiveStatistics of(Workspace work, Centered batch, Measured measured, int groups) {
    double[] means = new double[groups];
    double[] variances = new double[groups];
    for (int i = 0; i < groups; i++) {
      means[i] = (measured.means[i] + batch.shift(i)) / batch.scale(i);
      variances[i] = measured.variance(i) / batch.scale(i) / batch.scale(i);
    }
    // Around a shift the variance of a constant group may be a little below 0.
    NDArray variance = measured.square.sub(measured.mean.square()).maximum(work.constant(0));
    return new LiveStatistics(
        batch,
        batch.place(measured.mean),
        batch.perScale(batch.perScale(variance)),
        means,
        variances);
  }
}
