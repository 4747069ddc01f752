package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNull;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import dev.vbn.testing.RecordingKernels;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What a mask makes of counts and weights, and that it gets to every kernel. */
final class VirtualBatchNormMaskTest {
  private static final long[] SHAPE = {4, 3, 5};

  /** 9 elements of 3 examples. */
  private static final Mask MASK = Mask.lengths(5, 0, 1, 3);

  private static final Geometry MASKED = Geometry.of(SHAPE, 1, MASK);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, SHAPE);

  /** 12 elements of one example. */
  private final ReferenceStatistics<HostTensor> reference = ReferenceStatistics.of(
      backend, ReferenceMoments.of(new double[3], new double[] {1, 1, 1}, 1, 12));

  private VirtualBatchNorm<HostTensor> layer(Variant variant, ReferenceGradient gradient) {
    return VirtualBatchNorm.of(
        backend, VbnConfig.of(3).withVariant(variant).withReferenceGradient(gradient));
  }

  private VirtualBatchNorm<HostTensor> masked(Variant variant) {
    return layer(variant, ReferenceGradient.ATTACHED).withMask(MASK);
  }

  private RecordingKernels.Call last() {
    List<RecordingKernels.Call> calls = kernels.calls();
    return calls.get(calls.size() - 1);
  }

  private static Normalization how(Scope scope, double weight) {
    return new Normalization(MASKED, scope, weight, 1e-5, ReferenceGradient.ATTACHED);
  }

  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, BATCH, 4",
    "BATCH, BATCH, 2",
    "PER_EXAMPLE, EXAMPLE, 2",
    "REFERENCE_ONLY, NONE, 0"
  })
  void weightsCountExamplesOfWhichSomethingCounts(Variant variant, Scope scope, int divisor) {
    double weight = divisor == 0 ? 0 : 1.0 / divisor;
    masked(variant).forward(x, reference);
    RecordingKernels.Forward forward = assertInstanceOf(RecordingKernels.Forward.class, last());
    assertEquals(how(scope, weight), forward.how());
  }

  @Test
  void thePooledWeightCountsElements() {
    masked(Variant.POOLED).backward(x, reference, x);
    RecordingKernels.Backward backward = assertInstanceOf(RecordingKernels.Backward.class, last());
    assertEquals(how(Scope.BATCH, 9.0 / 21), backward.how());
  }

  @Test
  void referenceStatisticsCountWhatCounts() {
    ReferenceStatistics<HostTensor> statistics = masked(Variant.POOLED).referenceStatistics(x);
    assertEquals(3, statistics.examples());
    assertEquals(9, statistics.elements());
    assertEquals(new RecordingKernels.Statistics(x, MASKED, Scope.BATCH), last());
  }

  @Test
  void theReferencePassCountsWhatCounts() {
    ReferenceOutput<HostTensor> pass = masked(Variant.POOLED).reference(x);
    assertEquals(3, pass.statistics().examples());
    assertEquals(9, pass.statistics().elements());
    assertEquals(new RecordingKernels.Reference(x, how(Scope.BATCH, 1), null, null), last());
  }

  /** Whatever else is changed of a layer. */
  @Test
  void aLayerMadeOfAMaskedOneHasTheMask() {
    VirtualBatchNorm<HostTensor> masked = masked(Variant.BATCH);
    HostTensor ones = HostTensor.of(new float[] {1, 1, 1}, 3);
    for (VirtualBatchNorm<HostTensor> layer : List.of(
        masked.withVariant(Variant.POOLED),
        masked.withReferenceGradient(ReferenceGradient.DETACHED),
        masked.withGamma(ones),
        masked.withBeta(ones),
        masked.initialized(DType.FLOAT32, 1))) {
      layer.forward(x, reference);
      RecordingKernels.Forward forward = assertInstanceOf(RecordingKernels.Forward.class, last());
      assertEquals(MASKED, forward.how().geometry());
    }
  }

  @Test
  void chunksAddUpWhatCounts() {
    try (ReferenceStatistics<HostTensor> statistics =
        masked(Variant.POOLED).referenceStatistics(List.of(x, x))) {
      assertEquals(6, statistics.examples());
      assertEquals(18, statistics.elements());
    }
  }

  @Test
  void theReferenceBatchIsCheckedByWhatCounts() {
    ReferenceStatistics<HostTensor> own = ReferenceStatistics.of(
        backend, ReferenceMoments.of(new double[3], new double[] {1, 1, 1}, 3, 9));
    masked(Variant.POOLED).referenceBackward(x, own, x).close();

    assertRefused(
        IllegalArgumentException.class,
        () -> layer(Variant.POOLED, ReferenceGradient.ATTACHED).referenceBackward(x, own, x),
        "20 elements per feature",
        "expected the 9");
  }

  @Test
  void theGradientOfTheReferenceDividesByWhatCountsInIt() {
    ReferenceStatistics<HostTensor> own = ReferenceStatistics.of(
        backend, ReferenceMoments.of(new double[3], new double[] {1, 1, 1}, 3, 9));
    VirtualBatchNorm<HostTensor> layer = layer(Variant.POOLED, ReferenceGradient.ATTACHED);
    try (Gradients<HostTensor> gradients = layer.backward(x, own, x)) {
      layer.withMask(MASK).referenceGradient(x, own, gradients);
    }
    RecordingKernels.IntoReference call =
        assertInstanceOf(RecordingKernels.IntoReference.class, last());
    assertEquals(MASKED, call.geometry());
    assertEquals(9, call.elements());
  }

  @Test
  void mixedStatisticsAreOfWhatCounts() {
    masked(Variant.PER_EXAMPLE).mixedStatistics(x, reference);
    assertEquals(new RecordingKernels.Statistics(x, MASKED, Scope.EXAMPLE), last());
  }

  @Test
  void aLayerWithoutTheMaskTakesTheWholeBatch() {
    masked(Variant.PER_EXAMPLE).withMask(null).forward(x, reference);
    RecordingKernels.Forward forward = assertInstanceOf(RecordingKernels.Forward.class, last());
    assertNull(forward.how().geometry().counted());
  }

  @Test
  void whatIsMadeOfAMaskedLayerIsMasked() {
    VirtualBatchNorm<HostTensor> masked = masked(Variant.POOLED);
    HostTensor ones = HostTensor.of(new float[] {1, 1, 1}, 3);
    for (VirtualBatchNorm<HostTensor> each : List.of(
        masked.withVariant(Variant.BATCH),
        masked.withGamma(ones),
        masked.withBeta(ones),
        masked.initialized(DType.FLOAT32, 1))) {
      each.forward(x, reference);
      RecordingKernels.Forward forward = assertInstanceOf(RecordingKernels.Forward.class, last());
      assertEquals(MASKED, forward.how().geometry(), each.toString());
    }
  }

  @Test
  void theLayerSharesItsParameters() {
    VirtualBatchNorm<HostTensor> layer =
        VirtualBatchNorm.of(backend, VbnConfig.of(3)).initialized(DType.FLOAT32, 1);
    VirtualBatchNorm<HostTensor> masked = layer.withMask(MASK);
    assertEquals(layer.gamma(), masked.gamma());
    masked.close();
    assertRefused(IllegalStateException.class, layer::gamma, "close");
    assertRefused(IllegalStateException.class, () -> layer.withMask(MASK), "close");
  }

  @Test
  void saysThatItIsMasked() {
    assertEquals(
        "VirtualBatchNorm(features=3, epsilon=1.0E-5, variant=pooled, Mask of 4 lengths)",
        masked(Variant.POOLED).toString());
  }

  @Test
  void whatDoesNotFitIsRefusedBeforeAnyKernelSeesIt() {
    VirtualBatchNorm<HostTensor> layer = layer(Variant.POOLED, ReferenceGradient.ATTACHED);
    assertRefused(
        IllegalArgumentException.class,
        () -> layer.withMask(Mask.lengths(0, 0, 0, 0)).forward(x, reference),
        "x: ",
        "leaves nothing of shape [4, 3, 5]");
    assertRefused(
        IllegalArgumentException.class,
        () -> layer.withMask(Mask.of(new boolean[60], SHAPE)).reference(x),
        "reference batch: ",
        "mask has shape [4, 3, 5]",
        "expected [4, 5]");
    assertRefused(
        IllegalArgumentException.class,
        () -> layer.withMask(Mask.lengths(1, 1, 1, 6)).backward(x, reference, x),
        "x: ",
        "is 6",
        "at most 5");
    assertEquals(List.of(), kernels.calls());
  }

  @Test
  void withoutTheCapabilityAMaskIsRefused() {
    VirtualBatchNorm<HostTensor> layer =
        VirtualBatchNorm.of(RecordingKernels.without(Capability.MASK).open(), VbnConfig.of(3));
    UnsupportedCapabilityException refusal = assertRefused(
        UnsupportedCapabilityException.class,
        () -> layer.withMask(MASK),
        "a mask was given",
        "lacks");
    assertEquals(Capability.MASK, refusal.capability());
    layer.withMask(null);
  }
}
