package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Statistics of a reference batch that comes in chunks. */
final class VirtualBatchNormStreamTest {
  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(1));

  @Test
  void chunksGiveTheStatisticsOfTheWholeBatch() {
    // [1, 3], [5, -1, 8] and [2]: a mean of 18/6 and a mean square of 104/6
    answer(2, 1);
    answer(4, 14);
    answer(2, 0);
    try (var statistics =
        layer.referenceStatistics(List.of(chunk(2, 1), chunk(1, 3), chunk(1, 1)))) {
      ReferenceMoments moments = statistics.moments();

      assertArrayEquals(new double[] {3}, moments.mean(), 1e-15);
      assertArrayEquals(new double[] {104 / 6.0 - 9}, moments.variance(), 1e-14);
      assertEquals(4, statistics.examples());
      assertEquals(6, statistics.elements());
    }
  }

  @Test
  void eachChunksStatisticsAreReleasedBeforeTheNextIsFetched() {
    List<Long> openBeforeEach = new ArrayList<>();
    Iterable<HostTensor> chunks = () -> List.of(chunk(2, 1), chunk(2, 1), chunk(2, 1)).stream()
        .peek(chunk -> openBeforeEach.add(backend.openTensors()))
        .iterator();
    var statistics = layer.referenceStatistics(chunks);

    assertEquals(List.of(0L, 0L, 0L), openBeforeEach);
    assertEquals(2, backend.openTensors());
    statistics.close();
    kernels.assertReleasedAllBut();
  }

  @Test
  void noChunkIsRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> layer.referenceStatistics(List.of()),
        "no chunks",
        "expected at least one");
  }

  @Test
  void noIterableIsRefused() {
    assertRefused(
        NullPointerException.class,
        () -> layer.referenceStatistics((Iterable<HostTensor>) null),
        "chunks is null",
        "expected");
  }

  @Test
  void aNullChunkIsRefusedAndNothingIsKept() {
    assertRefused(
        NullPointerException.class,
        () -> layer.referenceStatistics(Arrays.asList(chunk(1, 1), null)),
        "reference batch is null",
        "expected");
    kernels.assertReleasedAllBut();
  }

  @Test
  void chunksMayBeOfSeveralTypes() {
    HostTensor wide = HostTensor.zeros(DType.FLOAT64, 3, 1);
    answer(2, 1);
    answer(2, 1);
    try (var statistics = layer.referenceStatistics(List.of(chunk(1, 1), wide))) {
      assertEquals(
          ReferenceMoments.of(new double[] {2}, new double[] {1}, 4, 4), statistics.moments());
    }
  }

  @Test
  void aChunkOfOtherFeaturesIsRefusedAndNothingIsKept() {
    HostTensor other = HostTensor.zeros(DType.FLOAT32, 1, 2);

    assertRefused(
        IllegalArgumentException.class,
        () -> layer.referenceStatistics(List.of(chunk(1, 1), other)),
        "2 features",
        "expected 1");
    kernels.assertReleasedAllBut();
  }

  private static HostTensor chunk(long examples, long positions) {
    return HostTensor.zeros(DType.FLOAT32, examples, 1, positions);
  }

  private void answer(double mean, double variance) {
    kernels.answer(
        HostTensor.of(new double[] {mean}, 1), HostTensor.of(new double[] {variance}, 1));
  }
}
