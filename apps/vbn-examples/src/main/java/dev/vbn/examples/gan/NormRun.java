package dev.vbn.examples.gan;

import java.util.List;

/**
 * What came of one normalization.
 *
 * @param losses step by step
 * @param samples generated digits
 * @param amongCompanions for each watched noise vector, its digit in every batch it was put into
 * @param seconds that training took
 */
record NormRun(
    GeneratorNorm norm,
    List<Gan.Losses> losses,
    float[][] samples,
    float[][][] amongCompanions,
    double seconds) {

  /** Root mean square of how a digit changes from one batch to another, in units of full ink. */
  double dependence() {
    double sum = 0;
    long count = 0;
    for (float[][] digits : amongCompanions) {
      for (int batch = 1; batch < digits.length; batch++) {
        for (int pixel = 0; pixel < digits[0].length; pixel++) {
          double change = (double) digits[batch][pixel] - digits[0][pixel];
          sum += change * change;
          count++;
        }
      }
    }
    return Math.sqrt(sum / count);
  }

  /** The most that any pixel changes between any two batches. */
  double largestChange() {
    double largest = 0;
    for (float[][] digits : amongCompanions) {
      for (float range : ranges(digits)) {
        largest = Math.max(largest, range);
      }
    }
    return largest;
  }

  /** For each pixel, the largest change between any two of the digits. */
  static float[] ranges(float[][] digits) {
    float[] least = digits[0].clone();
    float[] most = digits[0].clone();
    for (float[] digit : digits) {
      for (int pixel = 0; pixel < digit.length; pixel++) {
        least[pixel] = Math.min(least[pixel], digit[pixel]);
        most[pixel] = Math.max(most[pixel], digit[pixel]);
      }
    }
    float[] ranges = new float[least.length];
    for (int pixel = 0; pixel < ranges.length; pixel++) {
      ranges[pixel] = most[pixel] - least[pixel];
    }
    return ranges;
  }

  Gan.Losses lastLosses() {
    return losses.get(losses.size() - 1);
  }
}
