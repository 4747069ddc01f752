package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.Moments;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** What no reference batch can have is refused, in words, before the backend hears of it. */
final class ReferenceStatisticsValidationTest {
  private static final double[] ONE = {1};
  private static final double[] TWO = {1, 2};

  private final RecordingBackend backend = RecordingBackend.capable();

  @AfterEach
  void nothingWasReleased() {
    assertEquals(List.of(), backend.released());
  }

  @Test
  void arraysOfDifferentLengthsAreRefused() {
    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, TWO, ONE, 1, 1),
        "mean has 2 values and variance 1",
        "expected one of each per feature");
    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.ofMeanSquare(backend, DType.FLOAT32, ONE, TWO, 1, 1),
        "mean has 1 values and mean square 2",
        "expected one of each per feature");
  }

  @Test
  void noFeatureAtAllIsRefused() {
    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, new double[0], new double[0], 1, 1),
        "mean has 0 values and variance 0",
        "expected one of each per feature");
  }

  @ParameterizedTest
  @ValueSource(doubles = {-1, -Double.MIN_VALUE, Double.NEGATIVE_INFINITY})
  void aNegativeVarianceIsRefused(double variance) {
    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, TWO, new double[] {0, variance}, 1, 1),
        "variance[1] is " + variance,
        "expected 0 or more");
  }

  @ParameterizedTest
  @ValueSource(doubles = {3.99, 0, -4})
  void aMeanSquareFarBelowTheSquaredMeanIsRefused(double meanSquare) {
    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.ofMeanSquare(
            backend, DType.FLOAT32, new double[] {0, -2}, new double[] {1, meanSquare}, 1, 1),
        "mean square[1] is " + meanSquare,
        "mean -2.0",
        "expected at least 4.0");
  }

  @ParameterizedTest
  @CsvSource({"0, 0", "0, 5", "-1, 5", "2, 1", "1, 0"})
  void countsThatNoBatchHasAreRefused(long examples, long elements) {
    String[] words = {
      examples + " examples", elements + " elements per feature", "expected at least 1 example"
    };

    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, ONE, ONE, examples, elements),
        words);
    assertRefusedBeforeTheBackend(
        IllegalArgumentException.class,
        () ->
            ReferenceStatistics.ofMeanSquare(backend, DType.FLOAT32, ONE, ONE, examples, elements),
        words);
  }

  @Test
  void nullsAreRefusedByName() {
    assertNullRefused("backend", () -> ReferenceStatistics.of(null, DType.FLOAT32, ONE, ONE, 1, 1));
    assertNullRefused("dtype", () -> ReferenceStatistics.of(backend, null, ONE, ONE, 1, 1));
    assertNullRefused(
        "mean", () -> ReferenceStatistics.of(backend, DType.FLOAT32, null, ONE, 1, 1));
    assertNullRefused(
        "variance", () -> ReferenceStatistics.of(backend, DType.FLOAT32, ONE, null, 1, 1));
    assertNullRefused(
        "backend", () -> ReferenceStatistics.ofMeanSquare(null, DType.FLOAT32, ONE, ONE, 1, 1));
    assertNullRefused(
        "dtype", () -> ReferenceStatistics.ofMeanSquare(backend, null, ONE, ONE, 1, 1));
    assertNullRefused(
        "mean", () -> ReferenceStatistics.ofMeanSquare(backend, DType.FLOAT32, null, ONE, 1, 1));
    assertNullRefused(
        "mean square",
        () -> ReferenceStatistics.ofMeanSquare(backend, DType.FLOAT32, ONE, null, 1, 1));
  }

  private void assertNullRefused(String name, Executable call) {
    assertRefusedBeforeTheBackend(NullPointerException.class, call, name + " is null", "expected");
  }

  private void assertRefusedBeforeTheBackend(
      Class<? extends Throwable> type, Executable call, String... fragments) {
    assertRefused(type, call, fragments);
    assertEquals(List.of(), backend.made());
  }

  @Test
  void mergingAnotherNumberOfFeaturesIsRefused() {
    var one = ReferenceStatistics.of(backend, DType.FLOAT32, ONE, ONE, 1, 1);
    var two = ReferenceStatistics.of(backend, DType.FLOAT32, TWO, TWO, 1, 1);

    assertRefused(
        IllegalArgumentException.class,
        () -> one.merge(two),
        "2 features of FLOAT32",
        "expected 1 features of FLOAT32");
  }

  @Test
  void tensorsOfAnotherShapeOrTypeAreRefused() {
    HostTensor one = HostTensor.of(ONE, 1);
    HostTensor two = HostTensor.of(TWO, 2);
    HostTensor square = HostTensor.of(ONE, 1, 1);
    HostTensor single = HostTensor.of(new float[] {1}, 1);

    assertTensorsRefused(one, two, "variance has shape [2]", "expected that of the mean, [1]");
    assertTensorsRefused(square, one, "mean has shape [1, 1]", "expected [features]");
    assertTensorsRefused(
        single, one, "mean is FLOAT32", "expected FLOAT64 beside batches of FLOAT32");
    assertTensorsRefused(one, single, "variance is FLOAT32", "expected FLOAT64");
  }

  private void assertTensorsRefused(HostTensor mean, HostTensor variance, String... fragments) {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, new Moments<>(mean, variance), 1, 1),
        fragments);
  }

  @Test
  void tensorsWithImpossibleCountsAreRefused() {
    HostTensor one = HostTensor.of(ONE, 1);

    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, new Moments<>(one, one), 2, 1),
        "2 examples and 1 elements");
  }

  @Test
  void mergingAnotherTypeIsRefused() {
    var single = ReferenceStatistics.of(backend, DType.FLOAT32, ONE, ONE, 1, 1);
    var wide = ReferenceStatistics.of(backend, DType.FLOAT64, ONE, ONE, 1, 1);

    assertRefused(
        IllegalArgumentException.class,
        () -> single.merge(wide),
        "1 features of FLOAT64",
        "expected 1 features of FLOAT32");
  }

  @Test
  void mergingNullIsRefused() {
    var statistics = ReferenceStatistics.of(backend, DType.FLOAT32, ONE, ONE, 1, 1);

    assertRefused(
        NullPointerException.class, () -> statistics.merge(null), "other is null", "expected");
  }

  @Test
  void movingToNoBackendOrTypeIsRefused() {
    var statistics = ReferenceStatistics.of(backend, DType.FLOAT32, ONE, ONE, 1, 1);

    assertRefused(
        NullPointerException.class,
        () -> statistics.to((RecordingBackend) null),
        "backend is null",
        "expected");
    assertRefused(
        NullPointerException.class, () -> statistics.to((DType) null), "dtype is null", "expected");
  }
}
