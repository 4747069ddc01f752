package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Moments on a backend: made there, or wrapped around tensors that stay the caller's. */
final class ReferenceStatisticsTest {
  private static final ReferenceMoments MOMENTS =
      ReferenceMoments.of(new double[] {0.1, -3}, new double[] {0, 0.5}, 2, 6);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor mean = HostTensor.of(new double[] {1, 2}, 2);
  private final HostTensor variance = HostTensor.of(new double[] {3, 4}, 2);

  @Test
  void momentsGoToTheBackendAndBack() {
    try (var statistics = ReferenceStatistics.of(backend, MOMENTS)) {
      assertEquals(2, statistics.features());
      assertEquals(2, statistics.examples());
      assertEquals(6, statistics.elements());
      assertEquals(kernels.made(), List.of(statistics.mean(), statistics.variance()));
      assertArrayEquals(new long[] {2}, statistics.mean().shape());
      assertArrayEquals(new long[] {2}, statistics.variance().shape());
      assertEquals(MOMENTS, statistics.moments());
      assertEquals(
          "ReferenceStatistics(features=2, examples=2, elements=6)", statistics.toString());
    }
  }

  @Test
  void aBackendWith32BitsForStatisticsRoundsThem() {
    RecordingKernels single =
        RecordingKernels.without(Capability.FLOAT64, Capability.FLOAT64_STATISTICS);
    try (var statistics = ReferenceStatistics.of(single.open(), MOMENTS)) {
      assertEquals(DType.FLOAT32, statistics.mean().dtype());
      assertEquals(DType.FLOAT32, statistics.variance().dtype());
      assertArrayEquals(
          new double[] {0.10000000149011612, -3}, statistics.moments().mean());
    }
  }

  @Test
  void a64BitStatisticTypeNeedsNo64BitBatches() {
    RecordingKernels mixed = RecordingKernels.without(Capability.FLOAT64);
    try (var statistics = ReferenceStatistics.of(mixed.open(), MOMENTS)) {
      assertEquals(DType.FLOAT64, statistics.mean().dtype());
      assertEquals(MOMENTS, statistics.moments());
    }
  }

  @Test
  void momentsOfNoExampleAreRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, ReferenceMoments.empty(2)),
        "moments are of no example",
        "expected those of a reference batch");
    assertEquals(List.of(), kernels.made());
  }

  @Test
  void wrappedTensorsAreTakenAsTheyAreAndStayTheCallers() {
    var statistics = ReferenceStatistics.wrap(backend, mean, variance, 2, 6);
    assertSame(mean, statistics.mean());
    assertSame(variance, statistics.variance());
    assertEquals(ReferenceMoments.of(new double[] {1, 2}, new double[] {3, 4}, 2, 6), moments());
    assertEquals(2, statistics.features());
    statistics.close();

    assertEquals(List.of(), kernels.made());
    assertEquals(List.of(), kernels.released());
    assertEquals(0, backend.openTensors());
  }

  private ReferenceMoments moments() {
    return ReferenceStatistics.wrap(backend, mean, variance, 2, 6).moments();
  }

  @Test
  void wrappedTensorsOfAnotherShapeAreRefused() {
    HostTensor one = HostTensor.of(new double[] {1}, 1);
    HostTensor square = HostTensor.of(new double[] {1}, 1, 1);
    HostTensor none = HostTensor.of(new double[0], 0);

    assertWrapRefused(mean, one, "variance has shape [1]", "expected that of the mean, [2]");
    assertWrapRefused(square, square, "mean has shape [1, 1]", "expected [features]");
    assertWrapRefused(none, none, "mean has shape [0]", "expected [features]");
  }

  @Test
  void wrappedTensorsOfAnotherTypeAreRefused() {
    HostTensor single = HostTensor.of(new float[] {1, 2}, 2);

    assertWrapRefused(single, variance, "mean is FLOAT32", "expected FLOAT64");
    assertWrapRefused(mean, single, "variance is FLOAT32", "expected FLOAT64");
  }

  private void assertWrapRefused(HostTensor mean, HostTensor variance, String... fragments) {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.wrap(backend, mean, variance, 1, 1),
        fragments);
  }

  @ParameterizedTest
  @CsvSource({"0, 0", "0, 5", "-1, 5", "2, 1", "1, 0"})
  void countsThatNoBatchHasAreRefused(long examples, long elements) {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.wrap(backend, mean, variance, examples, elements),
        examples + " examples",
        elements + " elements per feature",
        "expected at least 1 example");
  }

  @Test
  void nullsAreRefusedByName() {
    assertRefused(
        NullPointerException.class,
        () -> ReferenceStatistics.of(null, MOMENTS),
        "backend is null",
        "expected");
    assertRefused(
        NullPointerException.class,
        () -> ReferenceStatistics.of(backend, null),
        "moments is null",
        "expected");
    assertRefused(
        NullPointerException.class,
        () -> ReferenceStatistics.wrap(null, mean, variance, 1, 1),
        "backend is null",
        "expected");
    assertRefused(
        NullPointerException.class,
        () -> ReferenceStatistics.wrap(backend, null, variance, 1, 1),
        "mean is null",
        "expected");
    assertRefused(
        NullPointerException.class,
        () -> ReferenceStatistics.wrap(backend, mean, null, 1, 1),
        "variance is null",
        "expected");
  }
}
