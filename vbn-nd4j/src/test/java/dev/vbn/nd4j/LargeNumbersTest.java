package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.nd4j.linalg.api.ndarray.INDArray;

/** Numbers next to which others vanish, where what is right does not depend on them. */
class LargeNumbersTest {
  private VbnBackend<INDArray> backend;

  @BeforeEach
  void open() {
    VbnConformance.assumeDevice(new Nd4jProvider());
    backend = VbnBackend.open(new Nd4jProvider());
  }

  @AfterEach
  void close() {
    if (backend != null) {
      backend.close();
    }
  }

  private INDArray tensor(DType dtype, double[] values, long... shape) {
    return backend.fromHost(HostTensor.of(values, shape), dtype);
  }

  private double[] doubles(INDArray array) {
    return backend.toHost(array).toDoubles();
  }

  /**
   * Padding that no gradient reaches. Its place is the first, in the middle, the last: sums were
   * once taken around the first element of a lane.
   */
  @ParameterizedTest
  @CsvSource({"1e9,0", "1e9,700", "1e9,1999", "1e20,0", "1e20,700", "1e20,1999"})
  void aLargeElementWithoutGradientDoesNotShowInThoseOfTheReferenceAlone(double large, int place) {
    int n = 2000;
    double mean = 0.5;
    double variance = 4;
    Random random = new Random(7);
    double[] x = new double[n];
    double[] dy = new double[n];
    double a = 0;
    double b = 0;
    for (int i = 0; i < n; i++) {
      x[i] = (float) random.nextGaussian();
      dy[i] = (float) random.nextGaussian();
      if (i == place) {
        x[i] = (float) large;
        dy[i] = 0;
      }
      a += dy[i];
      b += dy[i] * (x[i] - mean) / Math.sqrt(variance + VbnConfig.DEFAULT_EPSILON);
    }
    VirtualBatchNorm<INDArray> layer =
        VirtualBatchNorm.of(backend, VbnConfig.of(1).withVariant(Variant.REFERENCE_ONLY));
    try (ReferenceStatistics<INDArray> reference = ReferenceStatistics.of(
            backend, ReferenceMoments.of(new double[] {mean}, new double[] {variance}, 4, 4));
        Gradients<INDArray> gradients = layer.backward(
            tensor(DType.FLOAT32, x, 2, 1, n / 2),
            reference,
            tensor(DType.FLOAT32, dy, 2, 1, n / 2))) {
      assertEquals(b, doubles(gradients.dgamma())[0], 1e-6 * Math.abs(b));
      assertEquals(a, doubles(gradients.dbeta())[0], 1e-6 * Math.abs(a));
    }
  }

  /**
   * With a small weight the mixed mean lies near the reference's, however far the live mean: here
   * live elements of 2^40 that no gradient reaches, next to those of the reference's size.
   */
  @Test
  void aLargeElementWithoutGradientCancelsNothingUnderASmallWeight() {
    int n = 4096;
    double w = 0x1p-10;
    double[] x = new double[n];
    double[] dy = new double[n];
    Random random = new Random(8);
    for (int i = 0; i < n; i++) {
      // Multiples of 2^-8 below 2^5, so that mean and differences are exact.
      x[i] = Math.rint(random.nextGaussian() * 256) / 256;
      dy[i] = Math.rint(random.nextGaussian() * 256) / 256;
    }
    x[0] = 0x1p40;
    dy[0] = 0;
    double sum = 0;
    for (double value : x) {
      sum += value; // exact
    }
    double liveMean = sum / n;
    double mean = w * liveMean; // that of the reference is 0
    double squares = 0;
    for (double value : x) {
      squares += (value - liveMean) * (value - liveMean) / n;
    }
    double deviation = Math.sqrt(
        (1 - w) + w * squares + w * (1 - w) * liveMean * liveMean + VbnConfig.DEFAULT_EPSILON);
    double b = 0;
    double terms = 0;
    for (int i = 0; i < n; i++) {
      double term = dy[i] * ((x[i] - mean) / deviation);
      b += term;
      terms += Math.abs(term);
    }
    VirtualBatchNorm<INDArray> layer =
        VirtualBatchNorm.of(backend, VbnConfig.of(1).withVariant(Variant.BATCH));
    try (ReferenceStatistics<INDArray> reference = ReferenceStatistics.of(
            backend, ReferenceMoments.of(new double[] {0}, new double[] {1}, 1023, 1023));
        Gradients<INDArray> gradients = layer.backward(
            tensor(DType.FLOAT64, x, 1, 1, n), reference, tensor(DType.FLOAT64, dy, 1, 1, n))) {
      assertEquals(b, doubles(gradients.dgamma())[0], 1e-15 * terms, "terms " + terms);
    }
  }

  /** {@code slope*x + constant} loses beta there. */
  @ParameterizedTest
  @CsvSource({
    "FLOAT32,1e13",
    "FLOAT32,1e38",
    "FLOAT32,0.1",
    "FLOAT64,3333333333333.3",
    "FLOAT64,1e308"
  })
  void aConstantBatchIsBeta(DType dtype, double constant) {
    double[] beta = {4, 4, 4, 4, 4};
    for (long[] shape : new long[][] {{3, 5, 7}, {77, 5}, {3, 5, 1111}}) {
      double[] x = new double[(int) Arrays.stream(shape).reduce(1, (i, j) -> i * j)];
      double[] expected = new double[x.length];
      Arrays.fill(x, constant);
      Arrays.fill(expected, 4);
      INDArray batch = tensor(dtype, x, shape);
      for (Variant variant : Variant.values()) {
        VirtualBatchNorm<INDArray> layer = VirtualBatchNorm.of(
                backend, VbnConfig.of(5).withVariant(variant))
            .withGamma(tensor(dtype, new double[] {1, 2, 3, 4, 5}, 5))
            .withBeta(tensor(dtype, beta, 5));
        try (ReferenceOutput<INDArray> pass = layer.reference(batch);
            Output<INDArray> live = layer.forward(batch, pass.statistics())) {
          assertArrayEquals(expected, doubles(pass.output()), variant + ": reference pass");
          assertArrayEquals(expected, doubles(live.output()), variant + ": live");
        }
      }
    }
  }

  /** In 64 bits a variance of more than 1.8e308 is infinite, and what it normalises is beta. */
  @ParameterizedTest
  @ValueSource(doubles = {1e155, 1e200, 1e307})
  void aVarianceThatOverflowsIsInfiniteAndItsOutputIsBeta(double size) {
    for (long[] shape : new long[][] {{2, 1, 600}, {600, 2}, {4, 3, 50}}) {
      int features = (int) shape[1];
      int length = (int) Arrays.stream(shape).reduce(1, (i, j) -> i * j);
      double[] x = new double[length];
      for (int i = 0; i < length; i++) {
        // Half of each feature's elements on either side, in an irregular order.
        x[i] = (i / (2 * length / (int) shape[0]) + i) % 3 == 0 ? 2 * size : -size;
      }
      double[] beta = new double[features];
      Arrays.fill(beta, 4);
      double[] outputs = new double[length];
      Arrays.fill(outputs, 4);
      INDArray batch = tensor(DType.FLOAT64, x, shape);
      for (Variant variant : Variant.values()) {
        VirtualBatchNorm<INDArray> layer = VirtualBatchNorm.of(
                backend, VbnConfig.of(features).withVariant(variant))
            .withBeta(tensor(DType.FLOAT64, beta, features));
        try (ReferenceOutput<INDArray> pass = layer.reference(batch);
            Output<INDArray> live = layer.forward(batch, pass.statistics());
            Gradients<INDArray> gradients = layer.backward(batch, pass.statistics(), batch)) {
          String what = variant + " " + Arrays.toString(shape);
          double[] infinite = new double[features];
          Arrays.fill(infinite, Double.POSITIVE_INFINITY);
          assertArrayEquals(infinite, doubles(pass.statistics().variance()), what);
          assertTrue(Double.isFinite(doubles(pass.statistics().mean())[0]), what + ": mean");
          assertArrayEquals(outputs, doubles(pass.output()), what);
          assertArrayEquals(outputs, doubles(live.output()), what);
          assertArrayEquals(new double[length], absolute(doubles(gradients.dx())), what + ": dx");
          assertArrayEquals(
              new double[features], absolute(doubles(gradients.dgamma())), what + ": dgamma");
        }
      }
    }
  }

  private static double[] absolute(double[] values) {
    return Arrays.stream(values).map(Math::abs).toArray();
  }

  /** The sum of the squares overflows here, and the variance does not. */
  @Test
  void aVarianceThatDoesNotOverflowIsExactWhereTheSumOfTheSquaresDoes() {
    int n = 1 << 14;
    double[] x = new double[n];
    for (int i = 0; i < n; i++) {
      x[i] = i % 2 == 0 ? 0x1p510 : -0x1p510;
    }
    try (ReferenceStatistics<INDArray> statistics = VirtualBatchNorm.of(backend, VbnConfig.of(1))
        .referenceStatistics(tensor(DType.FLOAT64, x, 1, 1, n))) {
      assertArrayEquals(new double[] {0}, doubles(statistics.mean()));
      assertArrayEquals(new double[] {0x1p1020}, doubles(statistics.variance()));
    }
  }

  /** The sum of the elements overflows here, and their mean does not. */
  @Test
  void theMeanOfElementsWhoseSumOverflowsIsFinite() {
    double[] x = {1.5e308, 1.7e308, 1.5e308, 1.7e308, -1.5e308, -1.7e308, 1.5e308, 1.7e308};
    try (ReferenceStatistics<INDArray> statistics = VirtualBatchNorm.of(backend, VbnConfig.of(1))
        .referenceStatistics(tensor(DType.FLOAT64, x, 2, 1, 4))) {
      assertEquals(8e307, doubles(statistics.mean())[0], 1e294);
      assertEquals(Double.POSITIVE_INFINITY, doubles(statistics.variance())[0]);
    }
  }
}
