package dev.vbn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Moments;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Statistics made from plain arrays, merged, and carried between backends and types. */
final class ReferenceStatisticsTest {
  private final RecordingBackend backend = RecordingBackend.capable();

  @Test
  void whatIsGivenIsKept() {
    var statistics = ReferenceStatistics.of(
        backend, DType.FLOAT32, new double[] {0.1, -3}, new double[] {0, 0.5}, 2, 6);

    assertEquals(DType.FLOAT32, statistics.dtype());
    assertEquals(2, statistics.features());
    assertEquals(2, statistics.examples());
    assertEquals(6, statistics.elements());
    assertArrayEquals(new double[] {0.1, -3}, statistics.mean());
    assertArrayEquals(new double[] {0, 0.5}, statistics.variance());
    assertArrayEquals(new double[] {0.1 * 0.1, 9.5}, statistics.meanSquare());
    assertEquals(
        "ReferenceStatistics(features=2, dtype=FLOAT32, examples=2, elements=6)",
        statistics.toString());
  }

  @Test
  void arraysAreCopiedInAndOut() {
    double[] mean = {1};
    double[] variance = {2};
    var statistics = ReferenceStatistics.of(backend, DType.FLOAT64, mean, variance, 1, 1);
    mean[0] = 10;
    variance[0] = 20;
    statistics.mean()[0] = 100;
    statistics.variance()[0] = 200;
    statistics.meanSquare()[0] = 300;

    assertArrayEquals(new double[] {1}, statistics.mean());
    assertArrayEquals(new double[] {2}, statistics.variance());
  }

  @Test
  void givenTensorsAreTakenOverAsTheyAre() {
    HostTensor mean = HostTensor.of(new double[] {1, 2}, 2);
    HostTensor variance = HostTensor.of(new double[] {3, 4}, 2);
    var statistics =
        ReferenceStatistics.of(backend, DType.FLOAT32, new Moments<>(mean, variance), 2, 6);

    assertSame(mean, statistics.moments().mean());
    assertSame(variance, statistics.moments().variance());
    assertEquals(
        "ReferenceStatistics(features=2, dtype=FLOAT32, examples=2, elements=6)",
        statistics.toString());
    statistics.close();
    assertEquals(List.of(mean, variance), backend.released());
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32", "FLOAT64", "FLOAT16", "BFLOAT16"})
  void tensorsAreOfTheBackendsTypeForStatistics(DType dtype) {
    RecordingBackend single = new RecordingBackend(Capability.FLOAT16, Capability.BFLOAT16);
    double[] one = {1};

    var wide = ReferenceStatistics.of(backend, dtype, one, one, 1, 1).moments();
    assertEquals(DType.FLOAT64, wide.mean().dtype());
    assertEquals(DType.FLOAT64, wide.variance().dtype());
    assertArrayEquals(new long[] {1}, wide.mean().shape());
    assertArrayEquals(new long[] {1}, wide.variance().shape());
    if (dtype != DType.FLOAT64) {
      var narrow = ReferenceStatistics.of(single, dtype, one, one, 1, 1).moments();
      assertEquals(DType.FLOAT32, narrow.mean().dtype());
      assertEquals(DType.FLOAT32, narrow.variance().dtype());
    }
  }

  @Test
  void ofMeanSquareGivesTheVariance() {
    var statistics = ReferenceStatistics.ofMeanSquare(
        backend, DType.FLOAT64, new double[] {2, -3}, new double[] {5, 9}, 2, 2);

    assertArrayEquals(new double[] {2, -3}, statistics.mean());
    assertArrayEquals(new double[] {1, 0}, statistics.variance());
    assertArrayEquals(new double[] {5, 9}, statistics.meanSquare());
  }

  @ParameterizedTest
  @ValueSource(doubles = {100, -100, 1e15, 1e-15})
  void aVarianceBelowZeroByRoundingIsZero(double mean) {
    double roundedDown = mean * mean * (1 - 0x1p-23);
    var statistics = ReferenceStatistics.ofMeanSquare(
        backend, DType.FLOAT32, new double[] {mean}, new double[] {roundedDown}, 1, 1);

    assertArrayEquals(new double[] {0}, statistics.variance());
  }

  @Test
  void mergingGivesTheStatisticsOfBothBatchesTogether() {
    // [1, 3] and [5, -1, 8]: together a mean of 16/5 and a mean square of 100/5
    var merged = statistics(2, 1, 1, 2).merge(statistics(4, 14, 3, 3));

    assertArrayEquals(new double[] {3.2}, merged.mean(), 1e-15);
    assertArrayEquals(new double[] {9.76}, merged.variance(), 1e-14);
    assertArrayEquals(new double[] {20}, merged.meanSquare(), 1e-14);
    assertEquals(4, merged.examples());
    assertEquals(5, merged.elements());
  }

  @Test
  void mergingKeepsAVarianceThatIsSmallBesideTheMean() {
    var merged = statistics(1e9 + 2, 1, 1, 2).merge(statistics(1e9 + 4, 14, 3, 3));

    assertArrayEquals(new double[] {1e9 + 3.2}, merged.mean(), 1e-6);
    assertArrayEquals(new double[] {9.76}, merged.variance(), 1e-12);
  }

  @Test
  void mergingLeavesBothOperandsAsTheyAre() {
    var one = statistics(2, 1, 1, 2);
    var other = statistics(4, 14, 3, 3);
    var merged = one.merge(other);
    merged.close();

    assertArrayEquals(new double[] {2}, one.mean());
    assertArrayEquals(new double[] {1}, one.variance());
    assertArrayEquals(new double[] {4}, other.mean());
    assertArrayEquals(new double[] {14}, other.variance());
    assertEquals(2, one.elements());
    assertEquals(3, other.elements());
  }

  /** Two features of 12 values, against mean and variance computed over all of them at once. */
  @ParameterizedTest
  @ValueSource(strings = {"12", "1,11", "6,6", "4,4,4", "1,2,3,6", "1,1,1,1,1,1,1,1,1,1,1,1"})
  void anySplitMergesToTheSame(String split) {
    double[][] values = {
      {3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8}, {-2, 7, 1, 8, -2, 8, 1, 8, 2, 8, 4, -5}
    };
    ReferenceStatistics<HostTensor> merged = null;
    int from = 0;
    for (String length : split.split(",", -1)) {
      int to = from + Integer.parseInt(length);
      var part = ReferenceStatistics.of(
          backend,
          DType.FLOAT64,
          new double[] {mean(values[0], from, to), mean(values[1], from, to)},
          new double[] {variance(values[0], from, to), variance(values[1], from, to)},
          to - from,
          to - from);
      merged = merged == null ? part : merged.merge(part);
      from = to;
    }

    // sums 52 and 38, sums of squares 296 and 360
    assertArrayEquals(new double[] {52 / 12.0, 38 / 12.0}, merged.mean(), 1e-14);
    assertArrayEquals(
        new double[] {(296 - 52 * 52 / 12.0) / 12, (360 - 38 * 38 / 12.0) / 12},
        merged.variance(),
        1e-13);
    assertEquals(12, merged.examples());
    assertEquals(12, merged.elements());
  }

  private static double mean(double[] values, int from, int to) {
    return Arrays.stream(values, from, to).average().orElseThrow();
  }

  private static double variance(double[] values, int from, int to) {
    double mean = mean(values, from, to);
    return Arrays.stream(values, from, to)
        .map(v -> (v - mean) * (v - mean))
        .average()
        .orElseThrow();
  }

  @Test
  void anotherBackendGetsTensorsOfItsOwn() {
    RecordingBackend single = new RecordingBackend();
    var original = ReferenceStatistics.of(
        backend, DType.FLOAT32, new double[] {0.1}, new double[] {0.5}, 2, 6);
    var moved = original.to(single);

    assertEquals(DType.FLOAT32, moved.dtype());
    assertEquals(2, moved.examples());
    assertEquals(6, moved.elements());
    assertEquals(DType.FLOAT32, moved.moments().mean().dtype());
    assertArrayEquals(new double[] {0.10000000149011612}, moved.mean());
    assertArrayEquals(new double[] {0.5}, moved.variance());
    assertEquals(2, single.made().size());
    moved.close();
    assertEquals(2, single.released().size());
    assertArrayEquals(new double[] {0.1}, original.mean());
  }

  @Test
  void anotherTypeOfBatchesGetsTensorsOfItsOwn() {
    var original = statistics(2, 1, 1, 2);
    var converted = original.to(DType.FLOAT16);

    assertEquals(DType.FLOAT16, converted.dtype());
    assertEquals(DType.FLOAT64, original.dtype());
    assertEquals(1, converted.examples());
    assertEquals(2, converted.elements());
    assertArrayEquals(new double[] {2}, converted.mean());
    assertArrayEquals(new double[] {1}, converted.variance());
    assertNotSame(original.moments().mean(), converted.moments().mean());
  }

  @Test
  void closingReleasesBothTensorsOnce() {
    var statistics = statistics(2, 1, 1, 2);
    var moments = statistics.moments();
    assertEquals(0, backend.released().size());
    statistics.close();
    statistics.close();

    assertEquals(2, backend.released().size());
    assertSame(moments.mean(), backend.released().get(0));
    assertSame(moments.variance(), backend.released().get(1));
  }

  private ReferenceStatistics<HostTensor> statistics(
      double mean, double variance, long examples, long elements) {
    return ReferenceStatistics.of(
        backend, DType.FLOAT64, new double[] {mean}, new double[] {variance}, examples, elements);
  }
}
