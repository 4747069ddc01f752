package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Whatever axes examples and features are on, the numbers are those of the batch transposed. */
final class AxesTest {
  private static final VbnBackend<HostTensor> BACKEND = VbnBackend.open(new ReferenceProvider());
  private static final double CLOSE = 1e-11;

  @AfterAll
  static void close() {
    BACKEND.close();
  }

  /** A tensor by the axes of N, C and positions. */
  record Axes(int batch, int first, int last, long[] live, long[] reference) {
    int rank() {
      return live.length;
    }

    VbnConfig config(Variant variant) {
      int features = 1;
      for (int i = first; i <= last; i++) {
        features *= (int) live[i];
      }
      return new VbnConfig(features, 1e-3, batch, first, last, variant, ReferenceGradient.ATTACHED);
    }

    /** Axes of the tensor in the order N, features, positions. */
    int[] order() {
      int[] order = new int[rank()];
      int at = 0;
      order[at++] = batch;
      for (int i = first; i <= last; i++) {
        order[at++] = i;
      }
      for (int i = 0; i < rank(); i++) {
        if (i != batch && (i < first || i > last)) {
          order[at++] = i;
        }
      }
      return order;
    }

    long positions(long[] shape) {
      long positions = 1;
      for (int i = 0; i < rank(); i++) {
        positions *= i != batch && (i < first || i > last) ? shape[i] : 1;
      }
      return positions;
    }

    /** The batch as {@code [N, features, positions]}. */
    HostTensor plain(HostTensor tensor) {
      HostTensor moved = transposed(tensor, order());
      long positions = positions(tensor.shape());
      long examples = tensor.shape()[batch];
      return HostTensor.of(
          moved.doubles(), examples, tensor.size() / examples / positions, positions);
    }
  }

  private static HostTensor transposed(HostTensor tensor, int[] order) {
    long[] shape = tensor.shape();
    long[] to = new long[shape.length];
    Arrays.setAll(to, i -> shape[order[i]]);
    double[] values = new double[tensor.size()];
    for (int i = 0; i < values.length; i++) {
      long rest = i;
      long[] at = new long[shape.length];
      for (int axis = shape.length - 1; axis >= 0; axis--) {
        at[order[axis]] = rest % to[axis];
        rest /= to[axis];
      }
      long from = 0;
      for (int axis = 0; axis < shape.length; axis++) {
        from = from * shape[axis] + at[axis];
      }
      values[i] = tensor.get((int) from);
    }
    return HostTensor.of(values, to);
  }

  static Stream<Arguments> cases() {
    return Stream.of(
            new Axes(0, 1, 3, new long[] {4, 2, 3, 5}, new long[] {6, 2, 3, 5}),
            new Axes(0, 1, 2, new long[] {4, 2, 3, 5}, new long[] {6, 2, 3, 2}),
            new Axes(0, 2, 3, new long[] {4, 5, 2, 3}, new long[] {3, 7, 2, 3}),
            new Axes(1, 2, 2, new long[] {5, 4, 3}, new long[] {7, 2, 3}),
            new Axes(1, 0, 0, new long[] {3, 4}, new long[] {3, 9}),
            new Axes(1, 0, 0, new long[] {3, 4, 5}, new long[] {3, 9, 2}),
            new Axes(2, 0, 1, new long[] {3, 2, 4, 5}, new long[] {3, 2, 6, 5}),
            new Axes(1, 2, 3, new long[] {5, 4, 3, 2}, new long[] {5, 3, 3, 2}),
            new Axes(2, 1, 1, new long[] {2, 3, 4, 5}, new long[] {2, 3, 2, 5}),
            new Axes(1, 3, 3, new long[] {2, 4, 5, 3}, new long[] {2, 6, 5, 3}))
        .flatMap(axes -> Stream.of(Variant.values()).map(variant -> Arguments.of(axes, variant)));
  }

  @ParameterizedTest
  @MethodSource("cases")
  void theNumbersAreThoseOfTheBatchTransposed(Axes axes, Variant variant) {
    Random random = new Random(7);
    HostTensor r = drawn(random, axes.reference());
    HostTensor x = drawn(random, axes.live());
    HostTensor dy = drawn(random, axes.live());
    VbnConfig config = axes.config(variant);
    int features = config.features();
    HostTensor gamma = drawn(random, features);
    HostTensor beta = drawn(random, features);
    VirtualBatchNorm<HostTensor> layer =
        VirtualBatchNorm.of(BACKEND, config).withGamma(gamma).withBeta(beta);
    VirtualBatchNorm<HostTensor> plain = VirtualBatchNorm.of(
            BACKEND,
            VbnConfig.of(features)
                .withEpsilon(1e-3)
                .withVariant(variant)
                .withReferenceGradient(ReferenceGradient.ATTACHED))
        .withGamma(gamma)
        .withBeta(beta);
    boolean apart = variant == Variant.PER_EXAMPLE
        && axes.batch() != 0
        && axes.batch() != axes.first() - 1
        && axes.batch() != axes.last() + 1;
    try (ReferenceOutput<HostTensor> pass = layer.reference(r);
        ReferenceOutput<HostTensor> expected = plain.reference(axes.plain(r))) {
      assertClose(expected.output(), axes.plain(pass.output()));
      ReferenceStatistics<HostTensor> statistics = pass.statistics();
      assertEquals(expected.statistics().examples(), statistics.examples());
      assertEquals(expected.statistics().elements(), statistics.elements());
      if (apart) {
        assertThrows(IllegalArgumentException.class, () -> layer.forward(x, statistics));
        assertThrows(IllegalArgumentException.class, () -> layer.mixedStatistics(x, statistics));
        return;
      }
      MixedStatistics mixed = layer.mixedStatistics(x, statistics);
      MixedStatistics ofPlain = plain.mixedStatistics(axes.plain(x), expected.statistics());
      assertArrayEquals(ofPlain.mean().shape(), mixed.mean().shape());
      assertClose(ofPlain.mean(), mixed.mean());
      assertClose(ofPlain.variance(), mixed.variance());
      try (Output<HostTensor> y = layer.forward(x, statistics);
          Output<HostTensor> of = plain.forward(axes.plain(x), expected.statistics());
          Gradients<HostTensor> gradients = layer.backward(x, statistics, dy);
          Gradients<HostTensor> wanted =
              plain.backward(axes.plain(x), expected.statistics(), axes.plain(dy));
          Output<HostTensor> dr = layer.referenceGradient(r, statistics, gradients);
          Output<HostTensor> ofR =
              plain.referenceGradient(axes.plain(r), expected.statistics(), wanted)) {
        assertClose(of.output(), axes.plain(y.output()));
        assertClose(wanted.dx(), axes.plain(gradients.dx()));
        assertClose(wanted.dgamma(), gradients.dgamma());
        assertClose(wanted.dbeta(), gradients.dbeta());
        assertClose(ofR.output(), axes.plain(dr.output()));
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Variant.class,
      names = {"LIVE_BATCH", "BATCH", "POOLED", "REFERENCE_ONLY"})
  void masksGoWithTheAxes(Variant variant) {
    Random random = new Random(8);
    Axes axes = new Axes(1, 2, 2, new long[] {5, 4, 3}, new long[] {7, 2, 3});
    HostTensor r = drawn(random, axes.reference());
    HostTensor x = drawn(random, axes.live());
    VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(BACKEND, axes.config(variant));
    VirtualBatchNorm<HostTensor> plain =
        VirtualBatchNorm.of(BACKEND, axes.config(variant).withAxes(0, 1));
    Mask mask = Mask.lengths(5, 0, 2, 3);
    boolean[] positions = new boolean[20];
    for (int i = 0; i < 20; i++) {
      positions[i] = i / 4 < mask.exampleLengths()[i % 4];
    }
    try (ReferenceStatistics<HostTensor> statistics =
            layer.withMask(Mask.lengths(7, 1)).referenceStatistics(r);
        ReferenceStatistics<HostTensor> expected =
            plain.withMask(Mask.lengths(7, 1)).referenceStatistics(axes.plain(r))) {
      assertEquals(8, statistics.elements());
      assertEquals(2, statistics.examples());
      for (Mask each : new Mask[] {mask, mask.along(-3), Mask.of(positions, 5, 4)}) {
        try (Output<HostTensor> y = layer.withMask(each).forward(x, statistics);
            Output<HostTensor> of = plain.withMask(mask).forward(axes.plain(x), expected)) {
          assertClose(of.output(), axes.plain(y.output()));
        }
      }
    }
  }

  @Test
  void ofSeveralFeatureAxesTheFirstMayShareAParameter() {
    Random random = new Random(9);
    HostTensor x = drawn(random, 4, 2, 3, 5);
    HostTensor dy = drawn(random, 4, 2, 3, 5);
    HostTensor perChannel = HostTensor.of(new double[] {2, -3}, 2);
    double[] each = new double[30];
    Arrays.setAll(each, i -> i < 15 ? 2 : -3);
    VbnConfig config = VbnConfig.of(30).withFeatureAxes(-3, -1);
    VirtualBatchNorm<HostTensor> layer =
        VirtualBatchNorm.of(BACKEND, config).withGamma(perChannel).withBeta(perChannel);
    VirtualBatchNorm<HostTensor> whole = VirtualBatchNorm.of(BACKEND, config)
        .withGamma(HostTensor.of(each, 2, 3, 5))
        .withBeta(HostTensor.of(each, 30));
    try (ReferenceOutput<HostTensor> pass = layer.reference(x);
        Output<HostTensor> y = layer.forward(x, pass.statistics());
        Output<HostTensor> of = whole.forward(x, pass.statistics());
        Gradients<HostTensor> gradients = layer.backward(x, pass.statistics(), dy);
        Gradients<HostTensor> wanted = whole.backward(x, pass.statistics(), dy)) {
      assertClose(of.output(), y.output());
      assertClose(wanted.dx(), gradients.dx());
      assertArrayEquals(new long[] {2, 3, 5}, wanted.dgamma().shape());
      assertArrayEquals(new long[] {30}, wanted.dbeta().shape());
      assertClose(sums(wanted.dgamma()), gradients.dgamma());
      assertClose(sums(wanted.dbeta()), gradients.dbeta());
    }
  }

  private static HostTensor sums(HostTensor ofFeatures) {
    double[] sums = new double[2];
    for (int i = 0; i < 30; i++) {
      sums[i / 15] += ofFeatures.get(i);
    }
    return HostTensor.of(sums, 2);
  }

  @Test
  void anAxisThatIsNotThereIsNamed() {
    VirtualBatchNorm<HostTensor> layer =
        VirtualBatchNorm.of(BACKEND, VbnConfig.of(3).withAxes(2, 1));
    IllegalArgumentException refusal = assertThrows(
        IllegalArgumentException.class,
        () -> layer.referenceStatistics(HostTensor.of(new double[6], 2, 3)));
    assertTrue(refusal.getMessage().contains("batch axis is 2"), refusal.getMessage());
    VirtualBatchNorm<HostTensor> onOneAxis =
        VirtualBatchNorm.of(BACKEND, VbnConfig.of(2).withAxes(-2, 1));
    assertThrows(
        IllegalArgumentException.class,
        () -> onOneAxis.referenceStatistics(HostTensor.of(new double[12], 2, 2, 3)));
  }

  private static HostTensor drawn(Random random, long... shape) {
    double[] values = new double[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
    Arrays.setAll(values, i -> 3 + 2 * random.nextGaussian());
    return HostTensor.of(values, shape);
  }

  private static void assertClose(HostTensor expected, HostTensor actual) {
    assertArrayEquals(expected.shape(), actual.shape());
    double[] wanted = expected.toDoubles();
    for (int i = 0; i < wanted.length; i++) {
      assertEquals(wanted[i], actual.get(i), CLOSE * Math.max(1, Math.abs(wanted[i])));
    }
  }
}
