package dev.vbn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.Shapes;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** What the layer passes to the kernels: the one formula with its two numbers, and the tensors. */
final class VirtualBatchNormKernelCallTest {
  private static final double EPSILON = 0.25;
  private static final VbnConfig CONFIG = VbnConfig.of(3).withEpsilon(EPSILON);

  /** Three examples of five positions. */
  private static final Geometry LIVE = new Geometry(3, 1, 3, 5);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor gamma = HostTensor.zeros(DType.FLOAT32, 3);
  private final HostTensor beta = HostTensor.zeros(DType.FLOAT32, 3);
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);
  private final HostTensor upstream = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);

  /** One example of nine positions. */
  private final ReferenceStatistics<HostTensor> reference = ReferenceStatistics.of(
      backend, ReferenceMoments.of(new double[3], new double[] {1, 1, 1}, 1, 9));

  private VirtualBatchNorm<HostTensor> layer(VbnConfig config) {
    return VirtualBatchNorm.of(backend, config).withGamma(gamma).withBeta(beta);
  }

  private Moments<HostTensor> moments() {
    return new Moments<>(reference.mean(), reference.variance());
  }

  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, BATCH, 0.25",
    "BATCH, BATCH, 0.5",
    "PER_EXAMPLE, EXAMPLE, 0.5",
    "POOLED, BATCH, 0.625",
    "REFERENCE_ONLY, NONE, 0"
  })
  void aLiveBatchGoesWithScopeAndWeightOfTheVariant(Variant variant, Scope scope, double weight) {
    layer(CONFIG.withVariant(variant)).forward(x, reference);

    assertEquals(
        new RecordingKernels.Forward(
            x,
            new Normalization(LIVE, scope, weight, EPSILON, ReferenceGradient.DETACHED),
            moments(),
            gamma,
            beta,
            null),
        kernels.onlyCall());
  }

  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, BATCH, 0.25",
    "BATCH, BATCH, 0.5",
    "PER_EXAMPLE, EXAMPLE, 0.5",
    "POOLED, BATCH, 0.625",
    "REFERENCE_ONLY, NONE, 0"
  })
  void theBackwardOfALiveBatchGoesWithTheSame(Variant variant, Scope scope, double weight) {
    layer(CONFIG.withVariant(variant)).backward(x, reference, upstream);

    assertEquals(
        new RecordingKernels.Backward(
            x,
            upstream,
            new Normalization(LIVE, scope, weight, EPSILON, ReferenceGradient.DETACHED),
            moments(),
            gamma,
            null),
        kernels.onlyCall());
  }

  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, BATCH, 0.25",
    "BATCH, BATCH, 0.5",
    "PER_EXAMPLE, EXAMPLE, 0.5",
    "POOLED, BATCH, 0.625",
    "REFERENCE_ONLY, NONE, 0"
  })
  void theDoubleBackwardOfALiveBatchGoesWithTheSame(Variant variant, Scope scope, double weight) {
    GradientUpstream<HostTensor> second =
        GradientUpstream.ofDx(x).withDgamma(gamma).withDbeta(beta);
    layer(CONFIG.withVariant(variant)).doubleBackward(x, reference, upstream, second);

    assertEquals(
        new RecordingKernels.DoubleBackward(
            x,
            upstream,
            new GradientUpstream<>(x, gamma, beta),
            new Normalization(LIVE, scope, weight, EPSILON, ReferenceGradient.DETACHED),
            moments(),
            gamma),
        kernels.onlyCall());
  }

  @ParameterizedTest
  @CsvSource({"LIVE_BATCH, false, 0.25", "REFERENCE_ONLY, false, 0", "PER_EXAMPLE, true, 0.5"})
  void aCountThatTheWeightDoesNotGoByMayBeUnknown(
      Variant variant, boolean examples, double weight) {
    double[] zeros = new double[3];
    ReferenceMoments moments =
        examples ? ReferenceMoments.of(zeros, zeros, 1) : ReferenceMoments.of(zeros, zeros);
    layer(CONFIG.withVariant(variant)).forward(x, ReferenceStatistics.of(backend, moments));

    assertEquals(weight, ((RecordingKernels.Forward) kernels.onlyCall()).how().weight());
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void theReferencePassIsTheWholeBatchWithWeightOneWhateverTheVariant(Variant variant) {
    layer(CONFIG.withVariant(variant)).reference(x);

    assertEquals(
        new RecordingKernels.Reference(
            x,
            new Normalization(LIVE, Scope.BATCH, 1, EPSILON, ReferenceGradient.DETACHED),
            gamma,
            beta),
        kernels.onlyCall());
  }

  @Test
  void theBackwardOfADetachedReferencePassTakesTheStatisticsAsConstants() {
    HostTensor batch = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    HostTensor dy = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    layer(CONFIG).referenceBackward(batch, reference, dy);

    assertEquals(
        new RecordingKernels.Backward(
            batch,
            dy,
            new Normalization(
                new Geometry(1, 1, 3, 9), Scope.NONE, 0, EPSILON, ReferenceGradient.DETACHED),
            moments(),
            gamma,
            null),
        kernels.onlyCall());
  }

  @Test
  void theBackwardOfAnAttachedReferencePassIsThatOfBatchNorm() {
    HostTensor batch = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    HostTensor dy = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED))
        .referenceBackward(batch, reference, dy);

    assertEquals(
        new RecordingKernels.Backward(
            batch,
            dy,
            new Normalization(
                new Geometry(1, 1, 3, 9), Scope.BATCH, 1, EPSILON, ReferenceGradient.ATTACHED),
            moments(),
            gamma,
            null),
        kernels.onlyCall());
  }

  @Test
  void anAttachedBackwardGivesTheReferenceGradientAndADetachedDoesNot() {
    try (var attached = layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED))
            .backward(x, reference, upstream);
        var detached = layer(CONFIG).backward(x, reference, upstream)) {
      assertNotNull(attached.dreference());
      assertNull(detached.dreference());
    }
  }

  @Test
  void theReferenceGradientOfAChunkIsToldTheElementsOfTheWholeReferenceBatch() {
    var layer = layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED));
    HostTensor chunk = HostTensor.zeros(DType.FLOAT32, 1, 3, 2);
    try (var gradients = layer.backward(x, reference, upstream);
        var dr = layer.referenceGradient(chunk, reference, gradients)) {
      assertEquals(
          new RecordingKernels.IntoReference(
              chunk, new Geometry(1, 1, 3, 2), moments(), gradients.dreference(), 9),
          kernels.calls().get(1));
      assertSame(last(), dr.output());
    }
  }

  @Test
  void statisticsAloneNormaliseNothing() {
    kernels.answer(
        HostTensor.of(new double[] {1, 2, 3}, 3), HostTensor.of(new double[] {4, 5, 6}, 3));
    try (var statistics = layer(CONFIG).referenceStatistics(x)) {
      assertEquals(new RecordingKernels.Statistics(x, LIVE, Scope.BATCH), kernels.onlyCall());
      assertEquals(
          ReferenceMoments.of(new double[] {1, 2, 3}, new double[] {4, 5, 6}, 3, 15),
          statistics.moments());
    }
  }

  @Test
  void theReferencePassGivesTheOutputAndTheStatisticsOfTheKernel() {
    HostTensor mean = HostTensor.of(new double[] {1, 2, 3}, 3);
    HostTensor variance = HostTensor.of(new double[] {4, 5, 6}, 3);
    kernels.answer(mean, variance);
    try (var result = layer(CONFIG).reference(x)) {
      assertSame(kernels.made().get(kernels.made().indexOf(mean) - 1), result.output());
      assertSame(mean, result.statistics().mean());
      assertSame(variance, result.statistics().variance());
      assertEquals(3, result.statistics().examples());
      assertEquals(15, result.statistics().elements());
      assertEquals(3, result.statistics().features());
    }
  }

  @Test
  void theOutputIsTheKernels() {
    try (var output = layer(CONFIG).forward(x, reference)) {
      assertSame(last(), output.output());
    }
  }

  @Test
  void theGradientsAreTheKernelsEachInItsPlace() {
    int before = kernels.made().size();
    try (var gradients = layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED))
        .backward(x, reference, upstream)) {
      assertEquals(
          kernels.made().subList(before, before + 5),
          List.of(
              gradients.dx(),
              gradients.dgamma(),
              gradients.dbeta(),
              gradients.dreference().mean(),
              gradients.dreference().variance()));
    }
  }

  private HostTensor last() {
    return kernels.made().get(kernels.made().size() - 1);
  }

  @Test
  void aGivenOutputIsPassedOnAndGivenBack() {
    HostTensor output = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);
    try (var live = layer(CONFIG).forwardInto(output, x, reference)) {
      assertEquals(
          new RecordingKernels.Forward(
              x,
              new Normalization(LIVE, Scope.BATCH, 0.25, EPSILON, ReferenceGradient.DETACHED),
              moments(),
              gamma,
              beta,
              output),
          kernels.onlyCall());
      assertSame(output, live.output());
    }
  }

  @Test
  void theInputItselfMayBeTheOutput() {
    try (var live = layer(CONFIG).forwardInto(x, x, reference)) {
      assertSame(x, live.output());
    }
    assertSame(x, ((RecordingKernels.Forward) kernels.onlyCall()).output());
  }

  @Test
  void aTensorGivenForDxIsPassedOnAndGivenBack() {
    HostTensor dx = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);
    try (var gradients = layer(CONFIG).backwardInto(dx, x, reference, upstream)) {
      assertEquals(
          new RecordingKernels.Backward(
              x,
              upstream,
              new Normalization(LIVE, Scope.BATCH, 0.25, EPSILON, ReferenceGradient.DETACHED),
              moments(),
              gamma,
              dx),
          kernels.onlyCall());
      assertSame(dx, gradients.dx());
    }
  }

  @Test
  void theUpstreamGradientAndTheInputMayTakeDx() {
    for (HostTensor dx : List.of(upstream, x)) {
      try (var gradients = layer(CONFIG).backwardInto(dx, x, reference, upstream)) {
        assertSame(dx, gradients.dx());
      }
    }
    assertSame(upstream, ((RecordingKernels.Backward) kernels.calls().get(0)).dx());
    assertSame(x, ((RecordingKernels.Backward) kernels.calls().get(1)).dx());
  }

  @Test
  void aLayerWithoutParametersGivesTheKernelsNone() {
    var layer = VirtualBatchNorm.of(backend, CONFIG);
    layer.reference(x);
    layer.forward(x, reference);
    layer.backward(x, reference, upstream);

    RecordingKernels.Reference pass =
        (RecordingKernels.Reference) kernels.calls().get(0);
    RecordingKernels.Forward forward =
        (RecordingKernels.Forward) kernels.calls().get(1);
    assertNull(pass.gamma());
    assertNull(pass.beta());
    assertNull(forward.gamma());
    assertNull(forward.beta());
    assertNull(((RecordingKernels.Backward) kernels.calls().get(2)).gamma());
  }

  @ParameterizedTest
  @CsvSource({
    "2x3, 1, 2, 1, 1",
    "2x3, -1, 2, 1, 1",
    "2x5x3, 2, 2, 5, 1",
    "2x5x3, -1, 2, 5, 1",
    "2x3x5x7, 1, 2, 1, 35",
    "2x5x3x7, -2, 2, 5, 7",
    "2x5x7x11x3, 4, 2, 385, 1",
    "2x3x5x7x11, -4, 2, 1, 385"
  })
  void everyRankAndAxisGoesAsItsCanonicalView(
      String shape, int axis, long batch, long before, long after) {
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, Shapes.parse(shape));
    layer(CONFIG.withFeatureAxis(axis)).forward(tensor, reference);

    assertEquals(
        new Geometry(batch, before, 3, after),
        ((RecordingKernels.Forward) kernels.onlyCall()).how().geometry());
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT16", "BFLOAT16"})
  void batchesOf16BitsGoWithParametersOf32(DType dtype) {
    HostTensor narrow = kernels.batch(dtype, 3, 3, 5);
    layer(CONFIG).forward(narrow, reference);

    assertSame(narrow, ((RecordingKernels.Forward) kernels.onlyCall()).x());
  }

  @Test
  void statisticsOfAnotherBackendOfTheSameNameAreTaken() {
    var statistics = ReferenceStatistics.of(RecordingKernels.capable().open(), reference.moments());
    layer(CONFIG).forward(x, statistics);

    assertEquals(
        new Moments<>(statistics.mean(), statistics.variance()),
        ((RecordingKernels.Forward) kernels.onlyCall()).reference());
  }
}
