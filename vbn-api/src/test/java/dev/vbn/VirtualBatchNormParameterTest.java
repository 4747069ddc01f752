package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import dev.vbn.testing.Shapes;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Gamma and beta: given or drawn, checked, and released by whoever made them. */
final class VirtualBatchNormParameterTest {
  private static final VbnConfig CONFIG = VbnConfig.of(3);
  private static final int MANY = 10_000;

  private final RecordingBackend backend = RecordingBackend.capable();
  private final HostTensor gamma = HostTensor.zeros(DType.FLOAT32, 3);
  private final HostTensor beta = HostTensor.zeros(DType.FLOAT32, 3);

  @Test
  void givenParametersAreKeptAndStayTheCallers() {
    var layer = VirtualBatchNorm.of(backend, CONFIG, gamma, beta);
    assertSame(gamma, layer.gamma());
    assertSame(beta, layer.beta());
    assertSame(CONFIG, layer.config());
    layer.close();

    assertEquals(List.of(), backend.released());
    assertFalse(backend.closed());
  }

  @Test
  void drawnParametersAreReleasedOnceAndTheBackendStaysOpen() {
    var layer = VirtualBatchNorm.initialized(backend, CONFIG, DType.FLOAT32, 1);
    assertEquals(List.of(layer.gamma(), layer.beta()), backend.made());
    assertEquals(List.of(), backend.released());
    layer.close();
    layer.close();

    assertEquals(backend.made(), backend.released());
    assertFalse(backend.closed());
  }

  @Test
  void aDrawnGammaIsReleasedWhereBetaCannotBeMade() {
    backend.roomFor(1);
    assertThrows(
        IllegalStateException.class,
        () -> VirtualBatchNorm.initialized(backend, CONFIG, DType.FLOAT32, 1));
    assertEquals(1, backend.made().size());
    assertEquals(backend.made(), backend.released());
  }

  @Test
  void aMeanIsReleasedWhereTheVarianceCannotBeMade() {
    backend.roomFor(1);
    double[] ones = {1, 1, 1};
    assertThrows(
        IllegalStateException.class,
        () -> ReferenceStatistics.of(backend, DType.FLOAT32, ones, ones, 2, 2));
    assertEquals(1, backend.made().size());
    assertEquals(backend.made(), backend.released());
  }

  @Test
  void onlyWhatTheConfigurationWantsIsMade() {
    var plain = VirtualBatchNorm.initialized(
        backend, CONFIG.withScale(false).withCenter(false), DType.FLOAT32, 1);
    assertNull(plain.gamma());
    assertNull(plain.beta());
    plain.close();
    assertEquals(List.of(), backend.made());
    assertEquals(List.of(), backend.released());

    var scaled = VirtualBatchNorm.initialized(backend, CONFIG.withCenter(false), DType.FLOAT32, 1);
    assertNull(scaled.beta());
    scaled.close();
    assertEquals(List.of(scaled.gamma()), backend.released());
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, FLOAT32", "FLOAT64, FLOAT64", "FLOAT16, FLOAT32", "BFLOAT16, FLOAT32"})
  void drawnParametersAreOfTheParameterTypeOfTheBatches(DType dtype, DType expected) {
    var layer = VirtualBatchNorm.initialized(backend, CONFIG, dtype, 1);

    assertEquals(expected, layer.gamma().dtype());
    assertEquals(expected, layer.beta().dtype());
    assertArrayEquals(new long[] {3}, layer.gamma().shape());
    assertArrayEquals(new long[] {3}, layer.beta().shape());
  }

  @Test
  void betaIsZero() {
    assertArrayEquals(new double[MANY], drawn(DType.FLOAT32, 7).beta().toDoubles());
  }

  @Test
  void theSameSeedGivesTheSameGammaAndAnotherSeedAnother() {
    double[] first = drawn(DType.FLOAT64, 7).gamma().toDoubles();

    assertArrayEquals(first, drawn(DType.FLOAT64, 7).gamma().toDoubles());
    assertFalse(Arrays.equals(first, drawn(DType.FLOAT64, 8).gamma().toDoubles()));
  }

  @Test
  void theSameSeedGivesTheSameGammaInEveryTypeButForRounding() {
    double[] wide = drawn(DType.FLOAT64, 7).gamma().toDoubles();
    float[] single = drawn(DType.FLOAT32, 7).gamma().floats();

    for (int i = 0; i < MANY; i++) {
      assertEquals((float) wide[i], single[i]);
    }
  }

  /** Mean 1 and standard deviation 0.02, within five standard errors of each. */
  @ParameterizedTest
  @CsvSource({"0", "1", "42", "-1"})
  void gammaIsDrawnAroundOne(long seed) {
    double[] gamma = drawn(DType.FLOAT64, seed).gamma().toDoubles();
    double mean = Arrays.stream(gamma).average().orElseThrow();
    double deviation =
        Math.sqrt(Arrays.stream(gamma).map(g -> (g - mean) * (g - mean)).sum() / (MANY - 1));
    double withinOne =
        Arrays.stream(gamma).filter(g -> Math.abs(g - 1) < 0.02).count() / (double) MANY;

    assertEquals(1, mean, 5 * 0.02 / Math.sqrt(MANY));
    assertEquals(0.02, deviation, 5 * 0.02 / Math.sqrt(2.0 * (MANY - 1)));
    // of a normal distribution, 68.27 % lie within one standard deviation
    assertEquals(0.6827, withinOne, 5 * Math.sqrt(0.6827 * 0.3173 / MANY));
  }

  private VirtualBatchNorm<HostTensor> drawn(DType dtype, long seed) {
    return VirtualBatchNorm.initialized(backend, VbnConfig.of(MANY), dtype, seed);
  }

  @Test
  void aParameterThatTheConfigurationDoesNotWantIsRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG.withScale(false), gamma, beta),
        "gamma was given",
        "expected null");
    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG.withCenter(false), gamma, beta),
        "beta was given",
        "expected null");
  }

  @Test
  void aParameterThatTheConfigurationWantsIsMissed() {
    assertNullRefused(
        "gamma", "expected shape [3]", () -> VirtualBatchNorm.of(backend, CONFIG, null, beta));
    assertNullRefused(
        "beta", "expected shape [3]", () -> VirtualBatchNorm.of(backend, CONFIG, gamma, null));
  }

  @ParameterizedTest
  @CsvSource({"4", "1", "1x3", "3x1", "''"})
  void aParameterOfAnotherShapeIsRefused(String shape) {
    long[] lengths = Shapes.parse(shape);
    HostTensor wrong = HostTensor.zeros(DType.FLOAT32, lengths);

    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG, wrong, beta),
        "gamma has shape " + Arrays.toString(lengths),
        "expected [3]");
    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG, gamma, wrong),
        "beta has shape " + Arrays.toString(lengths),
        "expected [3]");
  }

  @ParameterizedTest
  @CsvSource({"FLOAT16", "BFLOAT16"})
  void aParameterOf16BitsIsRefused(DType dtype) {
    HostTensor narrow = backend.batch(dtype, 3);

    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG, narrow, beta),
        "gamma is " + dtype,
        "expected FLOAT32 or FLOAT64");
    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG, gamma, narrow),
        "beta is " + dtype,
        "expected FLOAT32 or FLOAT64");
  }

  @Test
  void parametersOfTwoTypesAreRefused() {
    HostTensor wide = HostTensor.zeros(DType.FLOAT64, 3);

    assertRefused(
        IllegalArgumentException.class,
        () -> VirtualBatchNorm.of(backend, CONFIG, gamma, wide),
        "gamma is FLOAT32",
        "beta FLOAT64",
        "expected one type");
  }

  @Test
  void nullsAreRefusedByName() {
    assertNullRefused("backend", "expected", () -> VirtualBatchNorm.of(null, CONFIG, gamma, beta));
    assertNullRefused("config", "expected", () -> VirtualBatchNorm.of(backend, null, gamma, beta));
    assertNullRefused(
        "backend", "expected", () -> VirtualBatchNorm.initialized(null, CONFIG, DType.FLOAT32, 1));
    assertNullRefused(
        "config", "expected", () -> VirtualBatchNorm.initialized(backend, null, DType.FLOAT32, 1));
    assertNullRefused(
        "dtype", "expected", () -> VirtualBatchNorm.initialized(backend, CONFIG, null, 1));
  }

  private static void assertNullRefused(String name, String expected, Executable call) {
    assertRefused(NullPointerException.class, call, name + " is null", expected);
  }

  @Test
  void itsTextNamesFeaturesEpsilonAndVariant() {
    assertEquals(
        "VirtualBatchNorm(features=3, epsilon=1.0E-5, variant=live-batch)",
        VirtualBatchNorm.of(backend, CONFIG, gamma, beta).toString());
  }
}
