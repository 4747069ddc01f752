package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Sums that must not cancel, offsets that must not vanish, and variances that overflow. */
@EnabledForJreRange(min = JRE.JAVA_22)
class ExtremeValuesTest extends OnEmulator {
  private static final MathContext DIGITS = new MathContext(60);
  private static final double EPSILON = 1e-5;

  /** What the kit allows, in roundings of the gradient's type. */
  private static final double UNITS = 16;

  /** Examples, features and positions: no vectors, several units of a group, and short runs. */
  private static final int[][] SHAPES = {{8, 2, 33}, {2, 1, 8192}, {300, 3, 1}};

  static List<Arguments> outliers() {
    List<Arguments> cases = new ArrayList<>();
    for (int[] shape : SHAPES) {
      for (Variant variant : Variant.values()) {
        for (double outlier : new double[] {6e4, 1e9, -1e20, 1e30}) {
          for (DType dtype : DType.values()) {
            if (dtype != DType.FLOAT16 || outlier == 6e4) {
              cases.add(Arguments.of(shape, variant, outlier, dtype));
            }
          }
        }
      }
    }
    return cases;
  }

  /**
   * Elements whose upstream is 0, as padding has it, take no part in the gradient of gamma: however
   * far they are, they cost the others no digits.
   */
  @ParameterizedTest
  @MethodSource("outliers")
  void gradientOfGammaBesideAnOutlierWithoutUpstream(
      int[] shape, Variant variant, double outlier, DType dtype) {
    int features = shape[1];
    double[] reference = normal(1, 2, shape);
    double[] x = normal(2, 3, shape);
    double[] dy = normal(3, 0, shape);
    for (int c = 0; c < features; c++) { // the first, one in the middle and the last of a feature
      for (int at : new int[] {0, shape[0] / 2, shape[0] - 1}) {
        int i = (at * features + c) * shape[2] + (at == 0 ? 0 : shape[2] - 1);
        x[i] = at == 0 ? outlier : -outlier / 3;
        dy[i] = 0;
      }
    }
    HostTensor hostReference = tensor(reference, dtype, shape);
    HostTensor hostX = tensor(x, dtype, shape);
    HostTensor hostUpstream = tensor(dy, dtype, shape);
    VbnConfig config = VbnConfig.of(features).withVariant(variant).withEpsilon(EPSILON);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        CudaTensor onDevice = backend.fromHost(hostX, dtype);
        CudaTensor upstream = backend.fromHost(hostUpstream, dtype);
        CudaTensor referenceBatch = backend.fromHost(hostReference, dtype);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(referenceBatch);
        Gradients<CudaTensor> gradients = layer.backward(onDevice, statistics, upstream)) {
      double[] dgamma = backend.toHost(gradients.dgamma()).toDoubles();
      double weight = variant.weight(
          shape[0], (long) shape[0] * shape[2], statistics.examples(), statistics.elements());
      for (int c = 0; c < features; c++) {
        double[] expected = gradientOfGamma(
            hostX.toDoubles(),
            hostUpstream.toDoubles(),
            statistics.moments().mean()[c],
            statistics.moments().variance()[c],
            weight,
            variant == Variant.PER_EXAMPLE,
            shape,
            c);
        double bound = UNITS * Math.scalb(expected[1], -dtype.parameterType().precision());
        assertTrue(
            Math.abs(dgamma[c] - expected[0]) <= bound,
            "dgamma[" + c + "] is " + dgamma[c] + "; expected " + expected[0] + " within " + bound);
      }
    }
  }

  /** The sum of dy*xh over a feature, and that of its terms' magnitudes. */
  private static double[] gradientOfGamma(
      double[] x,
      double[] dy,
      double mr,
      double vr,
      double weight,
      boolean perExample,
      int[] shape,
      int feature) {
    BigDecimal sum = BigDecimal.ZERO;
    double magnitude = 0;
    int groups = perExample ? shape[0] : 1;
    int rows = shape[0] / groups;
    BigDecimal w = new BigDecimal(weight);
    BigDecimal rest = BigDecimal.ONE.subtract(w);
    for (int group = 0; group < groups; group++) {
      BigDecimal n = new BigDecimal(rows * shape[2]);
      BigDecimal total = BigDecimal.ZERO;
      BigDecimal squares = BigDecimal.ZERO;
      BigDecimal upstreams = BigDecimal.ZERO;
      BigDecimal products = BigDecimal.ZERO;
      for (int i = 0; i < rows * shape[2]; i++) { // not rounded, which is what takes time
        int at = at(group * rows, i, shape, feature);
        BigDecimal value = new BigDecimal(x[at]);
        BigDecimal upstream = new BigDecimal(dy[at]);
        total = total.add(value);
        squares = squares.add(value.multiply(value));
        upstreams = upstreams.add(upstream);
        products = products.add(upstream.multiply(value));
      }
      BigDecimal mean = total.divide(n, DIGITS);
      BigDecimal variance = squares.divide(n, DIGITS).subtract(mean.multiply(mean), DIGITS);
      BigDecimal d = mean.subtract(new BigDecimal(mr));
      BigDecimal m = new BigDecimal(mr).add(w.multiply(d));
      BigDecimal v = rest.multiply(new BigDecimal(vr))
          .add(w.multiply(variance))
          .add(w.multiply(rest).multiply(d).multiply(d))
          .add(new BigDecimal(EPSILON));
      BigDecimal deviation = v.sqrt(DIGITS);
      double center = m.doubleValue();
      double groupMagnitude = 0;
      for (int i = 0; i < rows * shape[2]; i++) {
        int at = at(group * rows, i, shape, feature);
        groupMagnitude += Math.abs(dy[at] * (x[at] - center));
      }
      sum = sum.add(products.subtract(m.multiply(upstreams)).divide(deviation, DIGITS));
      magnitude += groupMagnitude / deviation.doubleValue();
    }
    return new double[] {sum.doubleValue(), magnitude};
  }

  private static int at(int row, int i, int[] shape, int feature) {
    return ((row + i / shape[2]) * shape[1] + feature) * shape[2] + i % shape[2];
  }

  private static double[] normal(long seed, double mean, int[] shape) {
    Random random = new Random(seed);
    double[] values = new double[shape[0] * shape[1] * shape[2]];
    Arrays.setAll(values, i -> mean + random.nextGaussian());
    return values;
  }

  private static HostTensor tensor(double[] values, DType dtype, int[] shape) {
    return HostTensor.of(values, shape[0], shape[1], shape[2]).to(dtype);
  }

  static List<Arguments> constants() {
    List<Arguments> cases = new ArrayList<>();
    for (DType dtype : DType.values()) {
      for (double constant : new double[] {1e-20, 6e4, 1e13, -1e30, 1e38, 1e300}) {
        boolean holds = Math.abs(constant) <= (dtype == DType.FLOAT16 ? 6e4 : 1e38);
        if (holds || dtype == DType.FLOAT64) {
          for (double epsilon : new double[] {1e-20, 1e-5}) {
            cases.add(Arguments.of(dtype, constant, epsilon));
          }
        }
      }
    }
    return cases;
  }

  /** A constant is its own mean: what is left is beta, however large the constant. */
  @ParameterizedTest
  @MethodSource("constants")
  void ofConstantsBetaIsLeft(DType dtype, double constant, double epsilon) {
    for (int[] shape : SHAPES) {
      double[] values = new double[shape[0] * shape[1] * shape[2]];
      Arrays.fill(values, constant);
      DType parameters = dtype.parameterType();
      double[] four = new double[shape[1]];
      Arrays.fill(four, 4);
      HostTensor beta = HostTensor.of(four, shape[1]);
      for (Variant variant : Variant.values()) {
        VbnConfig config = VbnConfig.of(shape[1]).withVariant(variant).withEpsilon(epsilon);
        try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
            VirtualBatchNorm<CudaTensor> layer =
                VirtualBatchNorm.of(backend, config).initialized(parameters, 1);
            CudaTensor x = backend.fromHost(tensor(values, dtype, shape), dtype)) {
          layer.setBeta(beta);
          try (ReferenceOutput<CudaTensor> pass = layer.reference(x);
              Output<CudaTensor> live = layer.forward(x, pass.statistics())) {
            assertAll(4, backend.toHost(pass.output()), "reference pass, " + variant);
            assertAll(4, backend.toHost(live.output()), "forward, " + variant);
          }
        }
      }
    }
  }

  /** Without telling -0 from 0. */
  private static void assertAll(double expected, HostTensor actual, String what) {
    assertTrue(actual.size() > 0, what);
    for (int i = 0; i < actual.size(); i++) {
      assertEquals(expected, actual.get(i) + 0.0, what + "[" + i + "]");
    }
  }

  /**
   * A variance that 64 bits do not hold is infinite, and the output beta; with a constant gradient
   * all that is multiplied by 1/s is 0.
   */
  @ParameterizedTest
  @ValueSource(doubles = {1e160, 1e200, 1e300})
  void aVarianceThatOverflowsIsInfinite(double large) {
    for (int[] shape : SHAPES) {
      double[] values = new double[shape[0] * shape[1] * shape[2]];
      Arrays.setAll(values, i -> i / shape[2] / shape[1] % 2 == 0 ? large : -large / 2);
      HostTensor overflowing = HostTensor.of(values, shape[0], shape[1], shape[2]);
      HostTensor ordinary = HostTensor.of(normal(1, 2, shape), shape[0], shape[1], shape[2]);
      for (Variant variant : Variant.values()) {
        check(variant, overflowing, ordinary, variant == Variant.REFERENCE_ONLY);
        check(variant, ordinary, overflowing, false);
        check(variant, overflowing, overflowing, false);
      }
    }
  }

  /** @param finite whether the mixed variance is, for all that the live one is not */
  private void check(Variant variant, HostTensor live, HostTensor reference, boolean finite) {
    int[] shape = Arrays.stream(live.shape()).mapToInt(Math::toIntExact).toArray();
    int features = shape[1];
    VbnConfig config = VbnConfig.of(features).withVariant(variant);
    double[] half = new double[features];
    Arrays.fill(half, 0.5);
    String what = variant + " " + Arrays.toString(shape);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer =
            VirtualBatchNorm.of(backend, config).initialized(DType.FLOAT64, 1);
        CudaTensor x = backend.fromHost(live);
        CudaTensor r = backend.fromHost(reference);
        ReferenceOutput<CudaTensor> pass = layer.reference(r)) {
      layer.setBeta(HostTensor.of(half, features));
      if (Math.abs(reference.get(0)) > 1e100) {
        assertAll(Double.POSITIVE_INFINITY, backend.toHost(pass.statistics().variance()), what);
        assertAll(0, backend.toHost(pass.output()), what + ", reference pass");
      }
      if (finite) {
        return;
      }
      try (Output<CudaTensor> output = layer.forward(x, pass.statistics());
          CudaTensor upstream =
              backend.fromHost(tensor(normal(4, 0, shape), DType.FLOAT64, shape));
          Gradients<CudaTensor> gradients = layer.backward(x, pass.statistics(), upstream)) {
        if (variant == Variant.PER_EXAMPLE && Math.abs(live.get(0)) < 1e100) {
          return; // of which each example has a variance of its own, mixed with the reference's
        }
        assertAll(0.5, backend.toHost(output.output()), what + ", forward");
        assertAll(0, backend.toHost(gradients.dgamma()), what + ", dgamma");
        assertAll(0, backend.toHost(gradients.dx()), what + ", dx");
      }
    }
  }

  /** The gradient of beta sums the upstream alone. */
  @ParameterizedTest
  @EnumSource(DType.class)
  void whatXHoldsDoesNotChangeABitOfTheGradientOfBeta(DType dtype) {
    for (int[] shape : SHAPES) {
      double[] values = normal(2, 3, shape);
      double[] spoilt = values.clone();
      spoilt[spoilt.length / 2] = Double.NaN;
      spoilt[0] = 1e38;
      for (Variant variant : Variant.values()) {
        VbnConfig config = VbnConfig.of(shape[1]).withVariant(variant);
        try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
            VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
            CudaTensor x = backend.fromHost(tensor(values, dtype, shape), dtype);
            CudaTensor other = backend.fromHost(tensor(spoilt, dtype, shape), dtype);
            CudaTensor upstream =
                backend.fromHost(tensor(normal(4, 0, shape), dtype, shape), dtype);
            ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x);
            ReferenceStatistics<CudaTensor> spoiltStatistics = layer.referenceStatistics(other);
            Gradients<CudaTensor> expected = layer.backward(x, statistics, upstream);
            Gradients<CudaTensor> actual = layer.backward(other, statistics, upstream);
            Gradients<CudaTensor> ofReference = layer.backward(x, spoiltStatistics, upstream)) {
          double[] dbeta = backend.toHost(expected.dbeta()).toDoubles();
          assertArrayEquals(dbeta, backend.toHost(actual.dbeta()).toDoubles(), "spoilt x");
          assertArrayEquals(
              dbeta, backend.toHost(ofReference.dbeta()).toDoubles(), "spoilt reference");
        }
      }
    }
  }

  /** As those that a caller wraps may be. */
  @ParameterizedTest
  @EnumSource(DType.class)
  void anInfiniteVarianceOfTheReferenceGivesBeta(DType dtype) {
    int[] shape = {8, 2, 33};
    VbnConfig config = VbnConfig.of(2).withVariant(Variant.REFERENCE_ONLY);
    HostTensor infinite =
        HostTensor.of(new double[] {Double.POSITIVE_INFINITY, Double.POSITIVE_INFINITY}, 2);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        CudaTensor mean = backend.fromHost(HostTensor.of(new double[] {1, 2}, 2));
        CudaTensor variance = backend.fromHost(infinite);
        ReferenceStatistics<CudaTensor> statistics =
            ReferenceStatistics.wrap(backend, mean, variance, 8, 264);
        CudaTensor x = backend.fromHost(tensor(normal(1, 2, shape), dtype, shape), dtype);
        Output<CudaTensor> output = layer.forward(x, statistics)) {
      assertAll(0, backend.toHost(output.output()), "output");
    }
  }
}
