package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

/** Statistics of a reference batch that comes in chunks. */
final class VirtualBatchNormStreamTest {
  private final RecordingBackend backend = RecordingBackend.capable();
  private final VirtualBatchNorm<HostTensor> layer =
      VirtualBatchNorm.of(backend, VbnConfig.of(1).withScale(false).withCenter(false), null, null);

  @Test
  void chunksGiveTheStatisticsOfTheWholeBatch() {
    // [1, 3], [5, -1, 8] and [2]: a mean of 18/6 and a mean square of 104/6
    answer(2, 1);
    answer(4, 14);
    answer(2, 0);
    var statistics = layer.referenceStatistics(List.of(chunk(2, 1), chunk(1, 3), chunk(1, 1)));

    assertArrayEquals(new double[] {3}, statistics.mean(), 1e-15);
    assertArrayEquals(new double[] {104 / 6.0 - 9}, statistics.variance(), 1e-14);
    assertEquals(4, statistics.examples());
    assertEquals(6, statistics.elements());
    assertEquals(DType.FLOAT32, statistics.dtype());
  }

  @Test
  void eachChunksStatisticsAreReleasedBeforeTheNextIsFetched() {
    List<Integer> releasedBeforeEach = new ArrayList<>();
    Iterable<HostTensor> chunks = () -> List.of(chunk(2, 1), chunk(2, 1), chunk(2, 1)).stream()
        .peek(chunk -> releasedBeforeEach.add(backend.released().size()))
        .iterator();
    var statistics = layer.referenceStatistics(chunks);

    assertEquals(List.of(0, 2, 4), releasedBeforeEach);
    assertEquals(6, backend.released().size());
    statistics.close();
    assertEquals(8, backend.released().size());
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
  void aNullChunkIsRefused() {
    assertRefused(
        NullPointerException.class,
        () -> layer.referenceStatistics(Arrays.asList(chunk(1, 1), null)),
        "reference batch is null",
        "expected");
  }

  @Test
  void chunksOfTwoTypesAreRefusedAndNothingIsKept() {
    HostTensor wide = HostTensor.zeros(DType.FLOAT64, 1, 1);

    assertRefused(
        IllegalArgumentException.class,
        () -> layer.referenceStatistics(List.of(chunk(1, 1), wide)),
        "a chunk is FLOAT64 after FLOAT32",
        "expected one type");
    assertEquals(4, backend.released().size());
  }

  @Test
  void aChunkOfOtherFeaturesIsRefused() {
    HostTensor other = HostTensor.zeros(DType.FLOAT32, 1, 2);

    assertRefused(
        IllegalArgumentException.class,
        () -> layer.referenceStatistics(List.of(chunk(1, 1), other)),
        "2 features",
        "expected 1");
  }

  private static HostTensor chunk(long examples, long positions) {
    return HostTensor.zeros(DType.FLOAT32, examples, 1, positions);
  }

  private void answer(double mean, double variance) {
    backend.answer(
        HostTensor.of(new double[] {mean}, 1), HostTensor.of(new double[] {variance}, 1));
  }
}
