package dev.vbn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * The statistics that normalise a live batch, against numbers worked by hand. The reference batch is
 * [1, 3]: mean 2, variance 1.
 */
final class MixedStatisticsTest {
  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final ReferenceStatistics<HostTensor> reference = ReferenceStatistics.wrap(
      backend, HostTensor.of(new double[] {2}, 1), HostTensor.of(new double[] {1}, 1), 2, 2);

  private VirtualBatchNorm<HostTensor> layer(int features, Variant variant) {
    return VirtualBatchNorm.of(backend, VbnConfig.of(features).withVariant(variant));
  }

  /** [5], of mean 5 and variance 0; what its output is divided by is the root of the variance. */
  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, 3.5, 2.75, 0.904534034", // w = 1/2
    "BATCH, 3, 2.6666666666666665, 1.224744871", // w = 1/3
    "POOLED, 3, 2.6666666666666665, 1.224744871", // w = 1/3
    "REFERENCE_ONLY, 2, 1, 3"
  })
  void oneExample(Variant variant, double mean, double variance, double output) {
    answer(new double[] {5}, new double[] {0}, 1);
    assertMixed(layer(1, variant), HostTensor.of(new float[] {5}, 1, 1), mean, variance);
    assertEquals(output, (5 - mean) / Math.sqrt(variance), 1e-9);
  }

  /** [5, -1], of mean 2 and variance 9. */
  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, 2, 3.6666666666666665, 1.566698904", // w = 1/3
    "BATCH, 2, 3.6666666666666665, 1.566698904", // w = 1/3
    "POOLED, 2, 5, 1.341640786", // w = 1/2
    "REFERENCE_ONLY, 2, 1, 3"
  })
  void twoExamples(Variant variant, double mean, double variance, double output) {
    answer(new double[] {2}, new double[] {9}, 1);
    assertMixed(layer(1, variant), HostTensor.of(new float[] {5, -1}, 2, 1), mean, variance);
    assertEquals(output, (5 - mean) / Math.sqrt(variance), 1e-9);
  }

  private void assertMixed(
      VirtualBatchNorm<HostTensor> layer, HostTensor x, double mean, double variance) {
    MixedStatistics mixed = layer.mixedStatistics(x, reference);

    assertHost(mixed.mean(), new long[] {1}, mean);
    assertHost(mixed.variance(), new long[] {1}, variance);
    assertHost(mixed.meanSquare(), new long[] {1}, variance + mean * mean);
    assertEquals(0, backend.openTensors());
  }

  /** Weight 1/3: of [5], mean 3 and variance 8/3, as above; of [-1], mean 1 and the same variance. */
  @Test
  void eachExampleHasItsOwnUnderPerExample() {
    answer(new double[] {5, -1}, new double[] {0, 0}, 2, 1);
    MixedStatistics mixed = layer(1, Variant.PER_EXAMPLE)
        .mixedStatistics(HostTensor.of(new float[] {5, -1}, 2, 1), reference);

    assertHost(mixed.mean(), new long[] {2, 1}, 3, 1);
    assertHost(mixed.variance(), new long[] {2, 1}, 8 / 3.0, 8 / 3.0);
    assertHost(mixed.meanSquare(), new long[] {2, 1}, 8 / 3.0 + 9, 8 / 3.0 + 1);
    assertEquals(0, backend.openTensors());
  }

  /** Two examples of two features, where no value can be taken for another. */
  @Test
  void featuresAreNotTakenForExamples() {
    var two = ReferenceStatistics.wrap(
        backend,
        HostTensor.of(new double[] {0, 100}, 2),
        HostTensor.of(new double[] {4, 16}, 2),
        1,
        2);
    answer(new double[] {2, 104, 6, 108}, new double[] {8, 0, 4, 16}, 2, 2);
    MixedStatistics mixed = layer(2, Variant.PER_EXAMPLE)
        .mixedStatistics(HostTensor.zeros(DType.FLOAT32, 2, 2, 3), two);

    // weight 1/2, so that v is the mean of both variances and a quarter of the squared difference
    assertHost(mixed.mean(), new long[] {2, 2}, 1, 102, 3, 104);
    assertHost(mixed.variance(), new long[] {2, 2}, 7, 12, 13, 32);
    assertEquals(
        new RecordingKernels.Statistics(x(), new Geometry(2, 1, 2, 3), Scope.EXAMPLE),
        kernels.onlyCall());
  }

  private HostTensor x() {
    return ((RecordingKernels.Statistics) kernels.onlyCall()).x();
  }

  @Test
  void withoutLiveStatisticsNoKernelIsCalled() {
    layer(1, Variant.REFERENCE_ONLY)
        .mixedStatistics(HostTensor.of(new float[] {Float.NaN}, 1, 1), reference);

    assertEquals(List.of(), kernels.calls());
    assertEquals(List.of(), kernels.made());
  }

  @Test
  void whatIsGivenIsACopy() {
    MixedStatistics mixed = layer(1, Variant.REFERENCE_ONLY)
        .mixedStatistics(HostTensor.of(new float[] {5}, 1, 1), reference);
    mixed.mean().doubles()[0] = 7;
    mixed.variance().doubles()[0] = 7;
    mixed.meanSquare().doubles()[0] = 7;

    assertHost(mixed.mean(), new long[] {1}, 2);
    assertHost(mixed.variance(), new long[] {1}, 1);
    assertHost(mixed.meanSquare(), new long[] {1}, 5);
  }

  private void answer(double[] mean, double[] variance, long... shape) {
    kernels.answer(HostTensor.of(mean, shape), HostTensor.of(variance, shape));
  }

  private static void assertHost(HostTensor tensor, long[] shape, double... values) {
    assertEquals(DType.FLOAT64, tensor.dtype());
    assertArrayEquals(shape, tensor.shape());
    assertArrayEquals(values, tensor.toDoubles(), 1e-14);
  }
}
