package dev.vbn.bench;

import java.util.Arrays;

/**
 * How long a contender took, and the copy in the same rounds.
 *
 * @param threads that it could use
 * @param nanoseconds of a call, one a round
 * @param copy the same of the copy
 * @param steady whether it was warm: nothing was being compiled, and its times agreed
 */
record Measurement(
    int threads,
    Comparison comparison,
    String contender,
    double[] nanoseconds,
    double[] copy,
    boolean steady) {

  /**
   * Checks that there are times, and that they are times.
   *
   * @throws IllegalArgumentException if there are none, one is not positive, or the copy lacks one
   */
  Measurement {
    if (nanoseconds.length == 0 || nanoseconds.length != copy.length) {
      throw new IllegalArgumentException(contender + " has " + nanoseconds.length + " times beside "
          + copy.length + " of the copy; expected as many, and at least 1");
    }
    requireTimes(contender, nanoseconds);
    requireTimes(CopyContender.NAME, copy);
  }

  private static void requireTimes(String contender, double[] times) {
    for (double time : times) {
      if (!(time > 0 && time < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            contender + " took " + time + " ns; expected a positive time");
      }
    }
  }

  /** Median time of a call. */
  double time() {
    return quantile(nanoseconds, 0.5);
  }

  /** Median time of a call divided by the elements of the batch. */
  double timePerElement() {
    return time() / comparison.shape().elements();
  }

  /** How many times what the copy takes: the median over the rounds. */
  double timesCopy() {
    return timesCopy(0.5);
  }

  /** A quantile of the rounds' ratios to the copy. */
  double timesCopy(double quantile) {
    double[] ratios = new double[copy.length];
    Arrays.setAll(ratios, round -> nanoseconds[round] / copy[round]);
    return quantile(ratios, quantile);
  }

  /** A quantile of the rounds' times. */
  double time(double quantile) {
    return quantile(nanoseconds, quantile);
  }

  private static double quantile(double[] values, double quantile) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    double place = quantile * (sorted.length - 1);
    int below = (int) place;
    int above = Math.min(below + 1, sorted.length - 1);
    return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
  }
}
