package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.math.BigDecimal;
import java.math.MathContext;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A layer as scale and shift, alone and in the layer in front of it. */
final class FoldTest {
  private static final VbnConfig CONFIG =
      VbnConfig.of(2).withEpsilon(0.125).withVariant(Variant.REFERENCE_ONLY);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();

  /** Deviations 2 and 4. */
  private final ReferenceStatistics<HostTensor> reference = ReferenceStatistics.of(
      backend, ReferenceMoments.of(new double[] {3, -1}, new double[] {3.875, 15.875}, 5, 5));

  private final VirtualBatchNorm<HostTensor> bare = VirtualBatchNorm.of(backend, CONFIG);
  private final VirtualBatchNorm<HostTensor> layer = bare.withGamma(
          HostTensor.of(new float[] {-1, 8}, 2))
      .withBeta(HostTensor.of(new float[] {0.5f, 10}, 2));

  @Test
  void itIsScaleAndShift() {
    Fold fold = layer.fold(reference);

    assertArrayEquals(new double[] {-0.5, 2}, fold.scale().doubles());
    assertArrayEquals(new double[] {2, 12}, fold.shift().doubles());
  }

  @Test
  void withoutParametersTheyAreOnesAndZeros() {
    Fold fold = bare.fold(reference);

    assertArrayEquals(new double[] {0.5, 0.25}, fold.scale().doubles());
    assertArrayEquals(new double[] {-1.5, 0.25}, fold.shift().doubles());
  }

  @Test
  void aWeightIsScaledAlongAxis0InItsType() {
    Fold fold = layer.fold(reference);
    HostTensor weight = HostTensor.of(new float[] {1, 2, 3, 4, 5, 6, 7, 8}, 2, 1, 4);

    HostTensor folded = fold.weight(weight);
    assertEquals(DType.FLOAT32, folded.dtype());
    assertArrayEquals(new long[] {2, 1, 4}, folded.shape());
    assertArrayEquals(new float[] {-0.5f, -1, -1.5f, -2, 10, 12, 14, 16}, folded.floats());
    assertArrayEquals(new float[] {1, 2, 3, 4, 5, 6, 7, 8}, weight.floats());
    assertEquals(DType.FLOAT64, fold.weight(weight.to(DType.FLOAT64)).dtype());
  }

  @Test
  void aBiasIsNormalised() {
    Fold fold = layer.fold(reference);

    assertArrayEquals(
        new float[] {0, 22}, fold.bias(HostTensor.of(new float[] {4, 5}, 2)).floats());
  }

  /** Far from 0 {@code scale*bias + shift} would lose the bias's distance from the mean. */
  @Test
  void aBiasFarFrom0KeepsItsDistanceFromTheMeanAndIsRoundedOnce() {
    double mean = 1e15 + 0.125;
    var far = ReferenceStatistics.of(
        backend, ReferenceMoments.of(new double[] {mean, 0}, new double[] {2.875, 1}, 5, 5));
    double bias = 1e15 + 1;
    HostTensor folded = bare.fold(far).bias(HostTensor.of(new double[] {bias, 1e-3}, 2));

    MathContext digits = new MathContext(40);
    BigDecimal deviation = new BigDecimal(2.875 + 0.125).sqrt(digits);
    double expected = new BigDecimal(bias)
        .subtract(new BigDecimal(mean))
        .divide(deviation, digits)
        .doubleValue();
    assertEquals(expected, folded.get(0), Math.ulp(expected));
  }

  @ParameterizedTest
  @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "REFERENCE_ONLY")
  void anotherVariantIsRefused(Variant variant) {
    assertRefused(
        IllegalStateException.class,
        () -> layer.withVariant(variant).fold(reference),
        variant.label(),
        "expected reference-only");
  }

  @Test
  void wrongShapesAreRefused() {
    Fold fold = layer.fold(reference);
    assertRefused(
        IllegalArgumentException.class,
        () -> fold.weight(HostTensor.zeros(DType.FLOAT32, 3, 2)),
        "weight has shape [3, 2]",
        "expected 2 features on axis 0");
    assertRefused(
        IllegalArgumentException.class,
        () -> fold.weight(HostTensor.zeros(DType.FLOAT32)),
        "weight has shape []",
        "expected 2 features on axis 0");
    assertRefused(
        IllegalArgumentException.class,
        () -> fold.bias(HostTensor.zeros(DType.FLOAT32, 3)),
        "bias has shape [3]",
        "expected [2]");
    assertRefused(
        NullPointerException.class, () -> fold.weight(null), "weight is null", "expected");
    assertRefused(NullPointerException.class, () -> fold.bias(null), "bias is null", "expected");
    assertRefused(
        NullPointerException.class, () -> layer.fold(null), "reference is null", "expected");
  }

  @Test
  void aClosedLayerIsRefused() {
    layer.close();
    assertRefused(
        IllegalStateException.class, () -> layer.fold(reference), "layer used after close");
  }
}
