package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Random;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Scale and offset for each example, and live statistics as constants, held to finite differences. */
final class ConditionalTest {
  private static final VbnBackend<HostTensor> BACKEND = VbnBackend.open(new ReferenceProvider());
  private static final int EXAMPLES = 4;
  private static final int FEATURES = 3;
  private static final double STEP = 1e-6;
  private static final double CLOSE = 1e-7;

  @AfterAll
  static void close() {
    BACKEND.close();
  }

  static Stream<Arguments> cases() {
    return Stream.of(
            new long[] {EXAMPLES, FEATURES},
            new long[] {EXAMPLES, FEATURES, 5},
            new long[] {EXAMPLES, 5, FEATURES},
            new long[] {EXAMPLES, 2, FEATURES, 3})
        .flatMap(shape -> Stream.of(Variant.values()).map(variant -> Arguments.of(shape, variant)));
  }

  private static int axis(long[] shape) {
    return shape.length == 4 ? 2 : shape[1] == FEATURES ? 1 : 2;
  }

  @ParameterizedTest
  @MethodSource("cases")
  void gradientsAreSlopes(long[] shape, Variant variant) {
    Random random = new Random(11);
    VbnConfig config = VbnConfig.of(FEATURES)
        .withFeatureAxis(axis(shape))
        .withVariant(variant)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    VirtualBatchNorm<HostTensor> bare = VirtualBatchNorm.of(BACKEND, config);
    HostTensor r = drawn(random, shape);
    HostTensor x = drawn(random, shape);
    HostTensor dy = drawn(random, shape);
    HostTensor gamma = drawn(random, EXAMPLES, FEATURES);
    HostTensor beta = drawn(random, EXAMPLES, FEATURES);
    VirtualBatchNorm<HostTensor> layer = bare.withGamma(gamma).withBeta(beta);
    try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(r);
        Gradients<HostTensor> gradients = layer.backward(x, statistics, dy);
        Output<HostTensor> dr = layer.referenceGradient(r, statistics, gradients)) {
      assertSlopes(gradients.dx(), x, at -> loss(layer, r, at, dy));
      assertSlopes(
          gradients.dgamma(), gamma, at -> loss(bare.withGamma(at).withBeta(beta), r, x, dy));
      assertSlopes(
          gradients.dbeta(), beta, at -> loss(bare.withGamma(gamma).withBeta(at), r, x, dy));
      assertSlopes(dr.output(), r, at -> loss(layer, at, x, dy));
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void theReferencePassHasThemToo(long[] shape, Variant variant) {
    Random random = new Random(12);
    VbnConfig config = VbnConfig.of(FEATURES)
        .withFeatureAxis(axis(shape))
        .withVariant(variant)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    HostTensor r = drawn(random, shape);
    HostTensor dy = drawn(random, shape);
    HostTensor gamma = drawn(random, EXAMPLES, FEATURES);
    VirtualBatchNorm<HostTensor> bare = VirtualBatchNorm.of(BACKEND, config);
    VirtualBatchNorm<HostTensor> layer = bare.withGamma(gamma);
    try (ReferenceOutput<HostTensor> pass = layer.reference(r);
        Gradients<HostTensor> gradients = layer.referenceBackward(r, pass.statistics(), dy)) {
      assertSlopes(gradients.dx(), r, at -> referenceLoss(layer, at, dy));
      assertSlopes(gradients.dgamma(), gamma, at -> referenceLoss(bare.withGamma(at), r, dy));
    }
  }

  @ParameterizedTest
  @MethodSource("cases")
  void eachExampleHasTheOutputOfALayerWithItsParameters(long[] shape, Variant variant) {
    Random random = new Random(13);
    VbnConfig config = VbnConfig.of(FEATURES).withFeatureAxis(axis(shape)).withVariant(variant);
    VirtualBatchNorm<HostTensor> bare = VirtualBatchNorm.of(BACKEND, config);
    HostTensor x = drawn(random, shape);
    HostTensor gamma = drawn(random, EXAMPLES, FEATURES);
    HostTensor beta = drawn(random, EXAMPLES, FEATURES);
    int size = x.size() / EXAMPLES;
    try (ReferenceStatistics<HostTensor> statistics =
            bare.referenceStatistics(drawn(random, shape));
        Output<HostTensor> y = bare.withGamma(gamma).withBeta(beta).forward(x, statistics);
        Output<HostTensor> into = bare.withGamma(gamma)
            .withBeta(beta)
            .forwardInto(HostTensor.of(x.toDoubles(), shape), x, statistics)) {
      assertArrayEquals(y.output().doubles(), into.output().doubles());
      for (int i = 0; i < EXAMPLES; i++) {
        try (Output<HostTensor> of =
            bare.withGamma(row(gamma, i)).withBeta(row(beta, i)).forward(x, statistics)) {
          for (int k = i * size; k < (i + 1) * size; k++) {
            assertEquals(of.output().get(k), y.output().get(k), 1e-12);
          }
        }
      }
    }
  }

  private static HostTensor row(HostTensor parameter, int example) {
    return HostTensor.of(
        Arrays.copyOfRange(parameter.doubles(), example * FEATURES, (example + 1) * FEATURES),
        FEATURES);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void liveStatisticsAsConstantsLeaveTheLineAlone(Variant variant) {
    Random random = new Random(14);
    VbnConfig config = VbnConfig.of(FEATURES).withVariant(variant);
    HostTensor x = drawn(random, EXAMPLES, FEATURES, 5);
    HostTensor dy = drawn(random, EXAMPLES, FEATURES, 5);
    HostTensor gamma = drawn(random, FEATURES);
    VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(BACKEND, config).withGamma(gamma);
    VirtualBatchNorm<HostTensor> constant =
        layer.withReferenceGradient(ReferenceGradient.ALL_DETACHED);
    try (ReferenceStatistics<HostTensor> statistics =
            layer.referenceStatistics(drawn(random, 6, FEATURES, 2));
        Output<HostTensor> y = layer.forward(x, statistics);
        Output<HostTensor> same = constant.forward(x, statistics);
        Gradients<HostTensor> of = layer.backward(x, statistics, dy);
        Gradients<HostTensor> gradients = constant.backward(x, statistics, dy)) {
      assertArrayEquals(y.output().doubles(), same.output().doubles());
      double[] variances = layer.mixedStatistics(x, statistics).variance().toDoubles();
      for (int i = 0; i < x.size(); i++) {
        int group = variances.length == FEATURES ? i / 5 % FEATURES : i / 5;
        double expected =
            gamma.get(i / 5 % FEATURES) / Math.sqrt(variances[group] + 1e-5) * dy.get(i);
        assertEquals(expected, gradients.dx().get(i), 1e-12 * Math.abs(expected));
      }
      for (int i = 0; i < FEATURES; i++) {
        assertEquals(of.dgamma().get(i), gradients.dgamma().get(i), 1e-12);
        assertEquals(of.dbeta().get(i), gradients.dbeta().get(i), 1e-12);
      }
    }
  }

  /** Without live statistics there are none to be constant. */
  @Test
  void ofTheReferenceAloneSecondGradientsAreTheSame() {
    Random random = new Random(15);
    HostTensor x = drawn(random, EXAMPLES, FEATURES, 5);
    HostTensor dy = drawn(random, EXAMPLES, FEATURES, 5);
    HostTensor v = drawn(random, EXAMPLES, FEATURES, 5);
    VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(
            BACKEND, VbnConfig.of(FEATURES).withVariant(Variant.REFERENCE_ONLY))
        .withGamma(drawn(random, FEATURES));
    try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(x);
        SecondGradients<HostTensor> of =
            layer.doubleBackward(x, statistics, dy, GradientUpstream.ofDx(v));
        SecondGradients<HostTensor> same = layer
            .withReferenceGradient(ReferenceGradient.ALL_DETACHED)
            .doubleBackward(x, statistics, dy, GradientUpstream.ofDx(v))) {
      assertArrayEquals(of.x().doubles(), same.x().doubles());
      assertArrayEquals(of.upstream().doubles(), same.upstream().doubles());
      assertArrayEquals(of.gamma().doubles(), same.gamma().doubles());
    }
  }

  @Test
  void shapesThatFitNoBatchAreRefused() {
    VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(BACKEND, VbnConfig.of(FEATURES));
    HostTensor x = HostTensor.of(new double[24], 4, 3, 2);
    for (long[] shape : new long[][] {{2}, {4, 2}, {3, 4}, {4, 3, 1}, {1, 1, 3}, {}}) {
      double[] values = new double[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
      IllegalArgumentException refusal = assertThrows(
          IllegalArgumentException.class, () -> layer.withGamma(HostTensor.of(values, shape)));
      assertTrue(refusal.getMessage().contains("expected [3]"), refusal.getMessage());
    }
    VirtualBatchNorm<HostTensor> ofFive = layer.withGamma(HostTensor.of(new double[15], 5, 3));
    IllegalArgumentException refusal =
        assertThrows(IllegalArgumentException.class, () -> ofFive.reference(x));
    assertTrue(refusal.getMessage().contains("4 examples"), refusal.getMessage());
    try (ReferenceStatistics<HostTensor> statistics = ofFive.referenceStatistics(x)) {
      assertEquals(4, statistics.examples()); // which no parameter has a part in
      assertThrows(IllegalArgumentException.class, () -> ofFive.forward(x, statistics));
      assertThrows(IllegalArgumentException.class, () -> ofFive.backward(x, statistics, x));
    }
    VirtualBatchNorm<HostTensor> ofFour = layer.withGamma(HostTensor.of(new double[12], 4, 3));
    try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(x)) {
      assertThrows(
          IllegalStateException.class,
          () -> ofFour.doubleBackward(x, statistics, x, GradientUpstream.ofDx(x)));
      assertThrows(
          IllegalStateException.class,
          () -> ofFour.withVariant(Variant.REFERENCE_ONLY).fold(statistics));
    }
  }

  private static double loss(
      VirtualBatchNorm<HostTensor> layer, HostTensor r, HostTensor x, HostTensor dy) {
    try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(r);
        Output<HostTensor> y = layer.forward(x, statistics)) {
      return dot(y.output(), dy);
    }
  }

  private static double referenceLoss(
      VirtualBatchNorm<HostTensor> layer, HostTensor r, HostTensor dy) {
    try (ReferenceOutput<HostTensor> y = layer.reference(r)) {
      return dot(y.output(), dy);
    }
  }

  private static double dot(HostTensor a, HostTensor b) {
    double sum = 0;
    for (int i = 0; i < a.size(); i++) {
      sum += a.get(i) * b.get(i);
    }
    return sum;
  }

  private static void assertSlopes(
      HostTensor gradient, HostTensor at, ToDoubleFunction<HostTensor> loss) {
    assertArrayEquals(at.shape(), gradient.shape());
    for (int i = 0; i < at.size(); i++) {
      double slope =
          (loss.applyAsDouble(moved(at, i, STEP)) - loss.applyAsDouble(moved(at, i, -STEP)))
              / (2 * STEP);
      assertEquals(slope, gradient.get(i), CLOSE * Math.max(1, Math.abs(slope)));
    }
  }

  private static HostTensor moved(HostTensor tensor, int index, double by) {
    double[] values = tensor.toDoubles();
    values[index] += by;
    return HostTensor.of(values, tensor.shape());
  }

  private static HostTensor drawn(Random random, long... shape) {
    int size = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    return HostTensor.of(random.doubles(size, -2, 3).toArray(), shape);
  }
}
