package dev.vbn;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
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

  private final RecordingBackend backend = RecordingBackend.capable();
  private final HostTensor gamma = HostTensor.zeros(DType.FLOAT32, 3);
  private final HostTensor beta = HostTensor.zeros(DType.FLOAT32, 3);
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);
  private final HostTensor upstream = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);

  /** One example of nine positions. */
  private final ReferenceStatistics<HostTensor> reference =
      ReferenceStatistics.of(backend, DType.FLOAT32, new double[3], new double[] {1, 1, 1}, 1, 9);

  private VirtualBatchNorm<HostTensor> layer(VbnConfig config) {
    return VirtualBatchNorm.of(backend, config, gamma, beta);
  }

  private RecordingBackend.Call onlyCall() {
    assertEquals(1, backend.calls().size());
    return backend.calls().get(0);
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
        new RecordingBackend.Forward(
            x,
            new Normalization(LIVE, scope, weight, EPSILON, ReferenceGradient.DETACHED),
            reference.moments(),
            gamma,
            beta,
            null),
        onlyCall());
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
        new RecordingBackend.Backward(
            x,
            upstream,
            new Normalization(LIVE, scope, weight, EPSILON, ReferenceGradient.DETACHED),
            reference.moments(),
            gamma,
            null),
        onlyCall());
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void theReferencePassIsTheWholeBatchWithWeightOneWhateverTheVariant(Variant variant) {
    layer(CONFIG.withVariant(variant)).reference(x);

    assertEquals(
        new RecordingBackend.Forward(
            x,
            new Normalization(LIVE, Scope.BATCH, 1, EPSILON, ReferenceGradient.DETACHED),
            null,
            gamma,
            beta,
            null),
        onlyCall());
  }

  @Test
  void theBackwardOfADetachedReferencePassTakesTheStatisticsAsConstants() {
    HostTensor batch = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    HostTensor dy = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    layer(CONFIG).referenceBackward(batch, reference, dy);

    assertEquals(
        new RecordingBackend.Backward(
            batch,
            dy,
            new Normalization(
                new Geometry(1, 1, 3, 9), Scope.NONE, 0, EPSILON, ReferenceGradient.DETACHED),
            reference.moments(),
            gamma,
            null),
        onlyCall());
  }

  @Test
  void theBackwardOfAnAttachedReferencePassIsThatOfBatchNorm() {
    HostTensor batch = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    HostTensor dy = HostTensor.zeros(DType.FLOAT32, 1, 3, 9);
    layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED))
        .referenceBackward(batch, reference, dy);

    assertEquals(
        new RecordingBackend.Backward(
            batch,
            dy,
            new Normalization(
                new Geometry(1, 1, 3, 9), Scope.BATCH, 1, EPSILON, ReferenceGradient.ATTACHED),
            null,
            gamma,
            null),
        onlyCall());
  }

  @Test
  void anAttachedBackwardAsksForTheReferenceGradientAndADetachedDoesNot() {
    var attached = layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED))
        .backward(x, reference, upstream);
    assertEquals(
        ReferenceGradient.ATTACHED,
        ((RecordingBackend.Backward) onlyCall()).normalization().referenceGradient());

    assertNotNull(attached.reference());
    assertNull(layer(CONFIG).backward(x, reference, upstream).reference());
  }

  @Test
  void theReferenceGradientOfAChunkIsToldTheElementsOfTheWholeReferenceBatch() {
    var layer = layer(CONFIG.withReferenceGradient(ReferenceGradient.ATTACHED));
    Moments<HostTensor> gradient =
        new Moments<>(HostTensor.zeros(DType.FLOAT64, 3), HostTensor.zeros(DType.FLOAT64, 3));
    HostTensor chunk = HostTensor.zeros(DType.FLOAT32, 1, 3, 2);
    layer.referenceGradient(chunk, reference, new Gradients<>(x, gamma, beta, gradient));

    assertEquals(
        new RecordingBackend.IntoReference(
            chunk, new Geometry(1, 1, 3, 2), reference.moments(), gradient, 9),
        onlyCall());
  }

  @Test
  void statisticsAloneNormaliseNothing() {
    backend.answer(
        HostTensor.of(new double[] {1, 2, 3}, 3), HostTensor.of(new double[] {4, 5, 6}, 3));
    var statistics = layer(CONFIG).referenceStatistics(x);

    assertEquals(new RecordingBackend.Statistics(x, LIVE), onlyCall());
    assertEquals(5, statistics.variance()[1]);
    assertEquals(3, statistics.examples());
    assertEquals(15, statistics.elements());
    assertEquals(DType.FLOAT32, statistics.dtype());
  }

  @Test
  void theStatisticsOfTheReferencePassAreThoseThatTheKernelGave() {
    HostTensor mean = HostTensor.of(new double[] {1, 2, 3}, 3);
    HostTensor variance = HostTensor.of(new double[] {4, 5, 6}, 3);
    backend.answer(mean, variance);
    var statistics = layer(CONFIG).reference(x).statistics();

    assertEquals(new Moments<>(mean, variance), statistics.moments());
    assertEquals(3, statistics.examples());
    assertEquals(15, statistics.elements());
    assertEquals(3, statistics.features());
    assertEquals(DType.FLOAT32, statistics.dtype());
  }

  @Test
  void theStatisticsOfALiveBatchAreThoseThatTheKernelGave() {
    HostTensor mean = HostTensor.of(new double[9], 3, 3);
    HostTensor variance = HostTensor.of(new double[9], 3, 3);
    backend.answer(mean, variance);
    var live = layer(CONFIG.withVariant(Variant.PER_EXAMPLE)).forward(x, reference);

    assertEquals(new Moments<>(mean, variance), live.statistics().moments());
  }

  @Test
  void aGivenOutputIsPassedOnAndGivenBack() {
    HostTensor output = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);
    var live = layer(CONFIG).forward(x, reference, output);

    assertSame(output, ((RecordingBackend.Forward) onlyCall()).output());
    assertSame(output, live.output());
  }

  @Test
  void theInputItselfMayBeTheOutput() {
    assertSame(x, layer(CONFIG).forward(x, reference, x).output());
    assertSame(x, ((RecordingBackend.Forward) onlyCall()).output());
  }

  @Test
  void aTensorGivenForDxIsPassedOnAndGivenBack() {
    HostTensor dx = HostTensor.zeros(DType.FLOAT32, 3, 3, 5);
    var gradients = layer(CONFIG).backward(x, reference, upstream, dx);

    assertSame(dx, ((RecordingBackend.Backward) onlyCall()).dx());
    assertSame(dx, gradients.input());
  }

  @Test
  void theUpstreamGradientAndTheInputMayTakeDx() {
    for (HostTensor dx : List.of(upstream, x)) {
      assertSame(dx, layer(CONFIG).backward(x, reference, upstream, dx).input());
    }
    assertSame(upstream, ((RecordingBackend.Backward) backend.calls().get(0)).dx());
    assertSame(x, ((RecordingBackend.Backward) backend.calls().get(1)).dx());
  }

  @Test
  void withoutScaleAndCenterTheKernelsGetNoParameters() {
    VbnConfig plain = CONFIG.withScale(false).withCenter(false);
    var layer = VirtualBatchNorm.of(backend, plain, null, null);
    layer.forward(x, reference);
    layer.backward(x, reference, upstream);

    RecordingBackend.Forward forward =
        (RecordingBackend.Forward) backend.calls().get(0);
    assertNull(forward.gamma());
    assertNull(forward.beta());
    assertNull(((RecordingBackend.Backward) backend.calls().get(1)).gamma());
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
        ((RecordingBackend.Forward) onlyCall()).normalization().geometry());
  }

  @ParameterizedTest
  @EnumSource(
      value = DType.class,
      names = {"FLOAT16", "BFLOAT16"})
  void batchesOf16BitsGoWithParametersOf32(DType dtype) {
    HostTensor narrow = backend.batch(dtype, 3, 3, 5);
    layer(CONFIG).forward(narrow, reference.to(dtype));

    assertSame(narrow, ((RecordingBackend.Forward) onlyCall()).x());
  }

  @Test
  void statisticsOfAnotherBackendWithTensorsOfTheSameTypeAreTaken() {
    RecordingBackend other = RecordingBackend.capable();
    var statistics = reference.to(other);
    layer(CONFIG).forward(x, statistics);

    assertEquals(statistics.moments(), ((RecordingBackend.Forward) onlyCall()).reference());
  }
}
