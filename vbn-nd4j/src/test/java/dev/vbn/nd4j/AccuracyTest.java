package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * Statistics of many floats, against sums without rounding. What is printed is the table of the
 * documentation, with the errors that ND4J's own operations make.
 */
class AccuracyTest {
  @ParameterizedTest
  @CsvSource({"64,16,8192", "1,1,4194304"})
  void statisticsOfManyFloats(long batch, long features, long positions) {
    VbnConformance.assumeDevice(new Nd4jProvider());
    Random random = new Random(1);
    float[] values = new float[(int) (batch * features * positions)];
    for (int i = 0; i < values.length; i++) {
      values[i] = 3 + (float) random.nextGaussian();
    }
    try (Kernels<INDArray> kernels = new Nd4jProvider().open(BackendOptions.defaults())) {
      long[] shape = {batch, features, positions};
      INDArray x = kernels.tensors().fromHost(HostTensor.of(values, shape), DType.FLOAT32);
      Moments<INDArray> moments = kernels.statistics(x, Geometry.of(shape, 1), Scope.BATCH);
      INDArray[] means = {moments.mean(), x.mean(0, 2)};
      INDArray[] variances = {moments.variance(), x.var(false, 0, 2)};
      double[] errorOfMean = new double[2];
      double[] errorOfVariance = new double[2];
      for (int feature = 0; feature < features; feature += 7) {
        BigDecimal sum = BigDecimal.ZERO;
        BigDecimal squares = BigDecimal.ZERO;
        for (int i = 0; i < batch * positions; i++) {
          int at = (int) ((i / positions * features + feature) * positions + i % positions);
          BigDecimal value = new BigDecimal(values[at]);
          sum = sum.add(value);
          squares = squares.add(value.multiply(value));
        }
        BigDecimal n = BigDecimal.valueOf(batch * positions);
        BigDecimal mean = sum.divide(n, MathContext.DECIMAL128);
        BigDecimal variance =
            squares.divide(n, MathContext.DECIMAL128).subtract(mean.multiply(mean));
        for (int i = 0; i < 2; i++) {
          errorOfMean[i] = worse(errorOfMean[i], mean, means[i].getDouble(feature));
          errorOfVariance[i] = worse(errorOfVariance[i], variance, variances[i].getDouble(feature));
        }
      }
      System.out.printf(
          "%s: error of the mean %.1e, ND4J's own %.1e; of the variance %.1e, ND4J's own %.1e%n",
          Arrays.toString(shape),
          errorOfMean[0],
          errorOfMean[1],
          errorOfVariance[0],
          errorOfVariance[1]);
      assertTrue(errorOfMean[0] <= 1e-9, "error of the mean " + errorOfMean[0]);
      assertTrue(errorOfVariance[0] <= 1e-6, "error of the variance " + errorOfVariance[0]);
      x.close();
    }
  }

  private static double worse(double before, BigDecimal expected, double actual) {
    return Math.max(before, expected.subtract(new BigDecimal(actual)).abs().doubleValue());
  }
}
