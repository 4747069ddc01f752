package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.Capability;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.Shapes;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Gamma and beta: given, drawn or replaced, checked, and released by whoever made them. */
final class VirtualBatchNormParameterTest {
  private static final VbnConfig CONFIG = VbnConfig.of(3);
  private static final int MANY = 10_000;

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final VirtualBatchNorm<HostTensor> plain = VirtualBatchNorm.of(backend, CONFIG);
  private final HostTensor gamma = HostTensor.zeros(DType.FLOAT32, 3);
  private final HostTensor beta = HostTensor.zeros(DType.FLOAT32, 3);

  @Test
  void aPlainLayerHasNeither() {
    assertNull(plain.gamma());
    assertNull(plain.beta());
    assertSame(CONFIG, plain.config());
    assertSame(backend, plain.backend());
  }

  @Test
  void oneCanBeGivenWithoutTheOther() {
    var scaled = plain.withGamma(gamma);
    assertSame(gamma, scaled.gamma());
    assertNull(scaled.beta());

    var centered = plain.withBeta(beta);
    assertSame(beta, centered.beta());
    assertNull(centered.gamma());
  }

  @Test
  void givenParametersAreKeptAndStayTheCallers() {
    for (var layer :
        List.of(plain.withGamma(gamma).withBeta(beta), plain.withBeta(beta).withGamma(gamma))) {
      assertSame(gamma, layer.gamma());
      assertSame(beta, layer.beta());
      assertSame(CONFIG, layer.config());
      layer.close();
    }

    assertEquals(List.of(), kernels.released());
    assertEquals(0, kernels.closings());
  }

  @Test
  void aLayerGivenAnotherParameterLeavesTheFirstAsItWas() {
    var first = plain.withGamma(gamma).withBeta(beta);
    HostTensor other = HostTensor.zeros(DType.FLOAT32, 3);
    var second = first.withGamma(other);

    assertSame(gamma, first.gamma());
    assertSame(other, second.gamma());
    assertSame(beta, second.beta());
    second.close();
    assertSame(gamma, first.gamma());
  }

  @Test
  void drawnParametersAreReleasedOnceAndTheBackendStaysOpen() {
    var layer = plain.initialized(DType.FLOAT32, 1);
    assertEquals(List.of(layer.gamma(), layer.beta()), kernels.made());
    assertEquals(2, backend.openTensors());
    layer.close();
    layer.close();

    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
    assertEquals(0, kernels.closings());
  }

  @Test
  void aLayerWithParametersOfItsOwnIsNotMadeIntoAnother() {
    var drawn = plain.initialized(DType.FLOAT32, 1);
    for (Executable call : List.<Executable>of(
        () -> drawn.withGamma(gamma),
        () -> drawn.withBeta(gamma),
        () -> drawn.initialized(DType.FLOAT32, 2))) {
      assertRefused(
          IllegalStateException.class,
          call,
          "the layer has parameters of its own",
          "expected setGamma or setBeta");
    }

    drawn.close();
    kernels.assertReleasedAllBut();
  }

  @ParameterizedTest
  @CsvSource({"FLOAT32, FLOAT32", "FLOAT64, FLOAT64", "FLOAT16, FLOAT32", "BFLOAT16, FLOAT32"})
  void drawnParametersAreOfTheParameterTypeOfTheBatches(DType dtype, DType expected) {
    try (var layer = plain.initialized(dtype, 1)) {
      assertEquals(expected, layer.gamma().dtype());
      assertEquals(expected, layer.beta().dtype());
      assertArrayEquals(new long[] {3}, layer.gamma().shape());
      assertArrayEquals(new long[] {3}, layer.beta().shape());
    }
  }

  @ParameterizedTest
  @CsvSource({"FLOAT64", "FLOAT16", "BFLOAT16"})
  void drawingForBatchesThatTheBackendLacksIsRefused(DType dtype) {
    Capability lacking = Capability.of(dtype).orElseThrow();
    RecordingKernels poor = RecordingKernels.without(lacking);
    var layer = VirtualBatchNorm.of(poor.open(), CONFIG);

    var refusal = assertRefused(
        UnsupportedCapabilityException.class,
        () -> layer.initialized(dtype, 1),
        "dtype is " + dtype,
        "lacks");
    assertEquals(lacking, refusal.capability());
    assertEquals(List.of(), poor.made());
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
    return VirtualBatchNorm.of(backend, VbnConfig.of(MANY)).initialized(dtype, seed);
  }

  @Test
  void anotherVariantSharesAllElse() {
    var trained = plain.initialized(DType.FLOAT32, 1);
    var served = trained.withVariant(Variant.REFERENCE_ONLY);

    assertEquals(CONFIG.withVariant(Variant.REFERENCE_ONLY), served.config());
    assertSame(CONFIG, trained.config());
    assertSame(trained.gamma(), served.gamma());
    assertSame(trained.beta(), served.beta());
    assertSame(backend, served.backend());
  }

  @Test
  void whatIsSetInOneVariantIsSetInTheOther() {
    var trained = plain.initialized(DType.FLOAT32, 1);
    var served = trained.withVariant(Variant.REFERENCE_ONLY);
    trained.setGamma(HostTensor.of(new float[] {1, 2, 3}, 3));
    served.setBeta(HostTensor.of(new float[] {4, 5, 6}, 3));

    assertArrayEquals(new double[] {1, 2, 3}, served.gamma().toDoubles());
    assertArrayEquals(new double[] {4, 5, 6}, trained.beta().toDoubles());
    assertEquals(2, backend.openTensors());
  }

  @Test
  void closingOneVariantClosesTheOtherAndReleasesOnce() {
    for (boolean first : new boolean[] {true, false}) {
      var trained = plain.initialized(DType.FLOAT32, 1);
      var served = trained.withVariant(Variant.REFERENCE_ONLY);
      (first ? trained : served).close();
      assertClosed(trained::gamma);
      assertClosed(served::gamma);
      (first ? served : trained).close();
    }
    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
  }

  @Test
  void replacingReleasesWhatTheLayerMade() {
    var layer = plain.initialized(DType.FLOAT32, 1);
    HostTensor drawnGamma = layer.gamma();
    HostTensor drawnBeta = layer.beta();
    layer.setGamma(HostTensor.of(new double[] {0.1, 2, 3}, 3));
    assertEquals(List.of(drawnGamma), kernels.released());
    layer.setBeta(HostTensor.of(new float[] {4, 5, 6}, 3));
    assertEquals(List.of(drawnGamma, drawnBeta), kernels.released());

    assertArrayEquals(new double[] {0.10000000149011612, 2, 3}, layer.gamma().toDoubles());
    assertEquals(DType.FLOAT32, layer.gamma().dtype());
    assertArrayEquals(new double[] {4, 5, 6}, layer.beta().toDoubles());
    layer.close();
    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
  }

  @Test
  void aReplacedParameterOfTheCallersStaysAsItIsAndItsReplacementIsTheLayers() {
    HostTensor wide = HostTensor.of(new double[] {7, 8, 9}, 3);
    var layer = plain.withGamma(wide);
    layer.setGamma(HostTensor.of(new float[] {1, 2, 3}, 3));

    assertNotSame(wide, layer.gamma());
    assertEquals(DType.FLOAT64, layer.gamma().dtype());
    assertArrayEquals(new double[] {1, 2, 3}, layer.gamma().toDoubles());
    assertArrayEquals(new double[] {7, 8, 9}, wide.toDoubles());
    assertEquals(List.of(), kernels.released());
    layer.close();
    kernels.assertReleasedAllBut();
  }

  @Test
  void replacementsAreCopies() {
    HostTensor source = HostTensor.of(new float[] {1, 2, 3}, 3);
    var layer = plain.withGamma(gamma);
    layer.setGamma(source);
    source.floats()[0] = 10;

    assertArrayEquals(new double[] {1, 2, 3}, layer.gamma().toDoubles());
  }

  @Test
  void theReplacementGoesToTheKernels() {
    var layer = plain.withGamma(gamma).withBeta(beta);
    layer.setGamma(HostTensor.of(new float[] {1, 2, 3}, 3));
    layer.setBeta(HostTensor.of(new float[] {4, 5, 6}, 3));
    layer.reference(HostTensor.zeros(DType.FLOAT32, 2, 3));

    var call = (RecordingKernels.Reference) kernels.onlyCall();
    assertSame(layer.gamma(), call.gamma());
    assertSame(layer.beta(), call.beta());
    assertArrayEquals(new double[] {1, 2, 3}, call.gamma().toDoubles());
    assertArrayEquals(new double[] {4, 5, 6}, call.beta().toDoubles());
  }

  @Test
  void aLayerThatHasNoneIsGivenOneWhichIsItsOwn() {
    var layer = VirtualBatchNorm.of(backend, CONFIG);
    layer.setBeta(HostTensor.of(new double[] {0.1, 2, 3}, 3));
    assertNull(layer.gamma());
    assertEquals(DType.FLOAT64, layer.beta().dtype());
    assertArrayEquals(new double[] {0.1, 2, 3}, layer.beta().toDoubles());
    assertEquals(1, backend.openTensors());
    layer.close();
    kernels.assertReleasedAllBut();
  }

  @Test
  void whatIsGivenIsOfTheTypeOfTheOtherParameter() {
    HostTensor wide = HostTensor.of(new double[] {0.1, 2, 3}, 3);
    var centered = plain.withBeta(beta);
    centered.setGamma(wide);
    assertEquals(DType.FLOAT32, centered.gamma().dtype());
    var scaled = plain.withGamma(gamma);
    scaled.setBeta(wide);
    assertEquals(DType.FLOAT32, scaled.beta().dtype());

    HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);
    centered.reference(x).close();
    scaled.reference(x).close();
    centered.close();
    scaled.close();
    kernels.assertReleasedAllBut();
  }

  @Test
  void aReplacementThatCannotBeMadeLeavesTheLayerAsItWas() {
    var layer = plain.initialized(DType.FLOAT32, 1);
    HostTensor drawn = layer.gamma();
    kernels.fail("fromHost", 1, new IllegalStateException("no room"));

    assertRefused(BackendFailedException.class, () -> layer.setGamma(gamma), "no room");
    assertSame(drawn, layer.gamma());
    assertEquals(List.of(), kernels.released());
  }

  @ParameterizedTest
  @CsvSource({"4", "1", "1x3x1", "3x1", "''"})
  void aParameterOfAnotherShapeIsRefused(String shape) {
    long[] lengths = Shapes.parse(shape);
    HostTensor wrong = HostTensor.zeros(DType.FLOAT32, lengths);
    var layer = plain.withGamma(gamma).withBeta(beta);

    for (Executable call :
        List.<Executable>of(() -> plain.withGamma(wrong), () -> layer.setGamma(wrong))) {
      assertRefused(
          IllegalArgumentException.class,
          call,
          "gamma has shape " + Arrays.toString(lengths),
          "expected [3]");
    }
    for (Executable call :
        List.<Executable>of(() -> plain.withBeta(wrong), () -> layer.setBeta(wrong))) {
      assertRefused(
          IllegalArgumentException.class,
          call,
          "beta has shape " + Arrays.toString(lengths),
          "expected [3]");
    }
    assertSame(gamma, layer.gamma());
    assertSame(beta, layer.beta());
  }

  @ParameterizedTest
  @CsvSource({"FLOAT16", "BFLOAT16"})
  void aParameterOf16BitsIsRefused(DType dtype) {
    HostTensor narrow = kernels.batch(dtype, 3);

    assertRefused(
        IllegalArgumentException.class,
        () -> plain.withGamma(narrow),
        "gamma is " + dtype,
        "expected FLOAT32 or FLOAT64");
    assertRefused(
        IllegalArgumentException.class,
        () -> plain.withBeta(narrow),
        "beta is " + dtype,
        "expected FLOAT32 or FLOAT64");
  }

  @Test
  void parametersOfTwoTypesAreRefused() {
    HostTensor wide = HostTensor.zeros(DType.FLOAT64, 3);

    assertRefused(
        IllegalArgumentException.class,
        () -> plain.withGamma(gamma).withBeta(wide),
        "beta is FLOAT64",
        "gamma FLOAT32",
        "expected one type");
    assertRefused(
        IllegalArgumentException.class,
        () -> plain.withBeta(beta).withGamma(wide),
        "gamma is FLOAT64",
        "beta FLOAT32",
        "expected one type");
  }

  @Test
  void aClosedLayerIsRefused() {
    for (var layer : List.of(
        VirtualBatchNorm.of(backend, CONFIG),
        plain.withGamma(gamma).withBeta(beta),
        plain.initialized(DType.FLOAT32, 1))) {
      layer.close();
      assertClosed(layer::gamma);
      assertClosed(layer::beta);
      assertClosed(() -> layer.withGamma(gamma));
      assertClosed(() -> layer.withBeta(beta));
      assertClosed(() -> layer.withVariant(Variant.POOLED));
      assertClosed(() -> layer.initialized(DType.FLOAT32, 1));
      assertClosed(() -> layer.setGamma(gamma));
      assertClosed(() -> layer.setBeta(beta));
    }
    kernels.assertReleasedAllBut();
  }

  private static void assertClosed(Executable call) {
    assertRefused(
        IllegalStateException.class, call, "layer used after close", "expected an open one");
  }

  @Test
  void nullsAreRefusedByName() {
    assertNullRefused("backend", "expected", () -> VirtualBatchNorm.of(null, CONFIG));
    assertNullRefused("config", "expected", () -> VirtualBatchNorm.of(backend, null));
    assertNullRefused("dtype", "expected", () -> plain.initialized(null, 1));
    assertNullRefused("gamma", "expected shape [3]", () -> plain.withGamma(null));
    assertNullRefused("beta", "expected shape [3]", () -> plain.withBeta(null));
    assertNullRefused("variant", "expected", () -> plain.withVariant(null));
    var layer = plain.withGamma(gamma).withBeta(beta);
    assertNullRefused("gamma", "expected shape [3]", () -> layer.setGamma(null));
    assertNullRefused("beta", "expected shape [3]", () -> layer.setBeta(null));
  }

  private static void assertNullRefused(String name, String expected, Executable call) {
    assertRefused(NullPointerException.class, call, name + " is null", expected);
  }

  @Test
  void itsTextNamesFeaturesEpsilonAndVariant() {
    assertEquals(
        "VirtualBatchNorm(features=3, epsilon=1.0E-5, variant=live-batch)", plain.toString());
  }
}
