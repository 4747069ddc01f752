package dev.vbn.spark;

import java.math.BigDecimal;
import java.math.MathContext;
import java.math.RoundingMode;
import java.util.Arrays;
import java.util.List;

/** What the statistics and the outputs must be, from their definition in decimal numbers. */
final class Formula {
  private static final MathContext DIGITS = new MathContext(60, RoundingMode.HALF_EVEN);

  private Formula() {}

  /** @param elements each with a value of every feature */
  static double[] mean(List<double[]> elements) {
    double[] mean = new double[elements.get(0).length];
    Arrays.setAll(mean, i -> exactMean(elements, i).doubleValue());
    return mean;
  }

  static double[] variance(List<double[]> elements) {
    double[] variance = new double[elements.get(0).length];
    for (int i = 0; i < variance.length; i++) {
      BigDecimal mean = exactMean(elements, i);
      BigDecimal sum = BigDecimal.ZERO;
      for (double[] element : elements) {
        sum = sum.add(new BigDecimal(element[i]).subtract(mean).pow(2, DIGITS), DIGITS);
      }
      variance[i] = sum.divide(BigDecimal.valueOf(elements.size()), DIGITS).doubleValue();
    }
    return variance;
  }

  private static BigDecimal exactMean(List<double[]> elements, int feature) {
    BigDecimal sum = BigDecimal.ZERO;
    for (double[] element : elements) {
      sum = sum.add(new BigDecimal(element[feature]));
    }
    return sum.divide(BigDecimal.valueOf(elements.size()), DIGITS);
  }

  /**
   * One element by the mixed statistics of feature i.
   *
   * @param weight of the live ones
   */
  static double normalized(
      double x,
      int i,
      List<double[]> reference,
      List<double[]> live,
      double weight,
      double epsilon) {
    double mr = mean(reference)[i];
    double vr = variance(reference)[i];
    double d = mean(live)[i] - mr;
    double mean = mr + weight * d;
    double variance =
        (1 - weight) * vr + weight * variance(live)[i] + weight * (1 - weight) * d * d;
    return (x - mean) / Math.sqrt(variance + epsilon);
  }
}
