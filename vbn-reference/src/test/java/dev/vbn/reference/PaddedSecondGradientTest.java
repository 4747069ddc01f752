package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.kernels.MemoryKernels;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.MaskedKernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Second gradients of a padded batch are those of the batch that has what counts and no more, which
 * {@link MaskedKernels} makes of it.
 */
class PaddedSecondGradientTest {
  private static final int FEATURES = 3;

  @ParameterizedTest
  @EnumSource(Scope.class)
  void areThoseOfWhatCounts(Scope scope) {
    boolean[] counts = new boolean[4 * 70];
    Random random = new Random(1);
    for (int i = 0; i < counts.length; i++) {
      counts[i] = i / 70 != 2 && random.nextBoolean();
    }
    assertSame(scope, Geometry.of(new long[] {4, 3, 70}, 1, Mask.of(counts, 4, 70)));
    assertSame(scope, Geometry.of(new long[] {4, 70, 3}, -1, Mask.of(counts, 4, 70)));
    assertSame(scope, Geometry.of(new long[] {3, 3, 5000}, 1, Mask.lengths(4999, 0, 1)));
    assertSame(scope, Geometry.of(new long[] {2, 900, 3, 2}, 2, Mask.lengths(1, 900)));
    assertSame(
        scope, Geometry.of(new long[] {2, 3, 40, 9}, 1, Mask.lengths(5, 2).along(-1)));
  }

  private static void assertSame(Scope scope, Geometry geometry) {
    Random random = new Random(2);
    double[] padding = new double[(int) geometry.size()];
    HostTensor x = drawn(random, geometry, padding);
    HostTensor dy = drawn(random, geometry, padding);
    HostTensor v = drawn(random, geometry, padding);
    Moments<HostTensor> reference = new Moments<>(
        HostTensor.of(new double[] {1, -1, 2}, FEATURES),
        HostTensor.of(new double[] {2, 1, 3}, FEATURES));
    HostTensor gamma = HostTensor.of(new double[] {2, -3, 0.5}, FEATURES);
    GradientUpstream<HostTensor> second = new GradientUpstream<>(v, gamma, gamma);
    Normalization how = new Normalization(
        geometry, scope, scope == Scope.NONE ? 0 : 0.25, 1e-3, ReferenceGradient.DETACHED);
    try (Kernels<HostTensor> kernels = new ReferenceBackend(new MemoryKernels(Runnable::run, 1));
        Kernels<HostTensor> apart =
            MaskedKernels.ofArrays(new ReferenceBackend(new MemoryKernels(Runnable::run, 1)))) {
      TwiceDifferentiated<HostTensor> actual =
          kernels.doubleBackward(x, dy, second, how, reference, gamma);
      TwiceDifferentiated<HostTensor> expected =
          apart.doubleBackward(x, dy, second, how, reference, gamma);
      assertClose(expected.x(), actual.x());
      assertClose(expected.upstream(), actual.upstream());
      assertClose(expected.gamma(), actual.gamma());
      for (int i = 0; i < padding.length; i++) {
        if (Double.isNaN(padding[i])) {
          assertEquals(0, actual.x().get(i));
          assertEquals(0, actual.upstream().get(i));
        }
      }
    }
  }

  /** NaN where nothing counts, in the batch and in {@code padding}. */
  private static HostTensor drawn(Random random, Geometry geometry, double[] padding) {
    double[] values = new double[padding.length];
    for (int i = 0; i < values.length; i++) {
      long row = i / geometry.after() / FEATURES;
      boolean counts = geometry
          .counted()
          .counts(row / geometry.before(), row % geometry.before(), i % geometry.after());
      padding[i] = counts ? 0 : Double.NaN;
      values[i] = padding[i] + 1 + random.nextGaussian();
    }
    return HostTensor.of(values, values.length);
  }

  private static void assertClose(HostTensor expected, HostTensor actual) {
    double largest = Arrays.stream(expected.toDoubles()).map(Math::abs).max().orElseThrow();
    assertTrue(largest > 0, "there is nothing to compare");
    for (int i = 0; i < expected.size(); i++) {
      assertEquals(expected.get(i), actual.get(i), 1e-11 * largest, "at " + i);
    }
  }
}
