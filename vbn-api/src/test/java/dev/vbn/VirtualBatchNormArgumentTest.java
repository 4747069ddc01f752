package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.Capability;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** A good batch with a wrong companion is refused too: statistics, upstream, output, gradients. */
final class VirtualBatchNormArgumentTest {
  private static final VbnConfig DETACHED = VbnConfig.of(3);
  private static final VbnConfig ATTACHED =
      DETACHED.withReferenceGradient(ReferenceGradient.ATTACHED);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);
  private final HostTensor like = HostTensor.zeros(DType.FLOAT32, 2, 3);
  private final ReferenceStatistics<HostTensor> reference = statistics(3);

  private VirtualBatchNorm<HostTensor> layer(VbnConfig config) {
    return VirtualBatchNorm.of(backend, config)
        .withGamma(HostTensor.zeros(DType.FLOAT32, 3))
        .withBeta(HostTensor.zeros(DType.FLOAT32, 3));
  }

  private ReferenceStatistics<HostTensor> statistics(int features) {
    return ReferenceStatistics.of(backend, moments(features));
  }

  private static ReferenceMoments moments(int features) {
    return ReferenceMoments.of(new double[features], new double[features], 2, 2);
  }

  @AfterEach
  void noKernelWasCalled() {
    assertEquals(List.of(), kernels.calls());
  }

  /** With the layer attached and detached. */
  private void assertStatisticsRefused(
      Class<? extends Throwable> type,
      Entrance entrance,
      @Nullable ReferenceStatistics<HostTensor> statistics,
      String... fragments) {
    for (VbnConfig config : List.of(ATTACHED, DETACHED)) {
      assertRefused(
          type,
          () -> entrance.give(layer(config), x, Entrance.Others.with(backend, statistics)),
          fragments);
    }
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void noStatistics(Entrance entrance) {
    assertStatisticsRefused(
        NullPointerException.class,
        entrance,
        null,
        "reference is null",
        "expected the statistics of a reference batch");
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void statisticsOfAnotherNumberOfFeatures(Entrance entrance) {
    assertStatisticsRefused(
        IllegalArgumentException.class,
        entrance,
        statistics(4),
        "reference statistics have 4 features",
        "expected 3");
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void statisticsOfABackendOfAnotherName(Entrance entrance) {
    assertStatisticsRefused(
        IllegalArgumentException.class,
        entrance,
        ReferenceStatistics.of(RecordingKernels.capable().open("other"), moments(3)),
        "reference statistics are on backend 'other'",
        "expected 'recording'",
        "moments()");
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void closedStatistics(Entrance entrance) {
    var closed = statistics(3);
    closed.close();

    assertStatisticsRefused(
        IllegalStateException.class,
        entrance,
        closed,
        "reference statistics used after close",
        "expected an open one");
  }

  @Test
  void aWrongUpstream() {
    for (VbnConfig config : List.of(ATTACHED, DETACHED)) {
      assertLikeRefused("upstream", upstream -> layer(config).backward(x, reference, upstream));
      assertLikeRefused(
          "upstream", upstream -> layer(config).backwardInto(like, x, reference, upstream));
      assertLikeRefused(
          "upstream", upstream -> layer(config).referenceBackward(x, reference, upstream));
    }
  }

  @Test
  void aWrongOutput() {
    assertRefused(
        NullPointerException.class,
        () -> layer(DETACHED).forwardInto(null, x, reference),
        "output is null",
        "expected");
    assertNotLikeRefused("output", output -> layer(DETACHED).forwardInto(output, x, reference));
  }

  @Test
  void aWrongTensorForDx() {
    assertRefused(
        NullPointerException.class,
        () -> layer(DETACHED).backwardInto(null, x, reference, like),
        "dx is null",
        "expected");
    assertNotLikeRefused("dx", dx -> layer(DETACHED).backwardInto(dx, x, reference, like));
  }

  /** Takes a tensor that has to be like x. */
  private interface Taker {
    void take(@Nullable HostTensor tensor);
  }

  private void assertLikeRefused(String name, Taker taker) {
    assertRefused(
        NullPointerException.class,
        () -> taker.take(null),
        name + " is null",
        "expected the shape of x");
    assertNotLikeRefused(name, taker);
  }

  private void assertNotLikeRefused(String name, Taker taker) {
    assertRefused(
        IllegalArgumentException.class,
        () -> taker.take(HostTensor.zeros(DType.FLOAT32, 3, 2)),
        name + " has shape [3, 2]",
        "expected that of x, [2, 3]");
    assertRefused(
        IllegalArgumentException.class,
        () -> taker.take(HostTensor.zeros(DType.FLOAT32, 2, 3, 1)),
        name + " has shape [2, 3, 1]",
        "expected that of x, [2, 3]");
    assertRefused(
        IllegalArgumentException.class,
        () -> taker.take(HostTensor.zeros(DType.FLOAT64, 2, 3)),
        name + " is FLOAT64",
        "expected the type of x, FLOAT32");
  }

  @Test
  void anOutputThatTheBackendCannotTake() {
    RecordingKernels poor = RecordingKernels.without(Capability.CALLER_SUPPLIED_OUTPUT);
    var plain = VirtualBatchNorm.of(poor.open(), DETACHED);

    for (HostTensor output : List.of(like, x)) {
      assertOutputRefused("output", () -> plain.forwardInto(output, x, reference));
      assertOutputRefused("dx", () -> plain.backwardInto(output, x, reference, like));
    }
    assertEquals(List.of(), poor.calls());
  }

  private static void assertOutputRefused(String name, Executable call) {
    var refusal = assertRefused(
        UnsupportedCapabilityException.class,
        call,
        "a tensor for " + name + " was given",
        "FLOAT64");
    assertEquals(Capability.CALLER_SUPPLIED_OUTPUT, refusal.capability());
  }

  private static GradientUpstream<HostTensor> second(HostTensor v) {
    return GradientUpstream.ofDx(v);
  }

  @Test
  void aWrongUpstreamGradientOfAGradient() {
    assertLikeRefused(
        "upstream", dy -> layer(DETACHED).doubleBackward(x, reference, dy, second(like)));
    assertLikeRefused(
        "upstream gradient of dx",
        v -> layer(DETACHED).doubleBackward(x, reference, like, second(v)));
    assertRefused(
        NullPointerException.class,
        () -> layer(DETACHED).doubleBackward(x, reference, like, null),
        "second is null",
        "expected the upstream gradients of the gradients");
    HostTensor four = HostTensor.zeros(DType.FLOAT32, 4);
    HostTensor wide = HostTensor.zeros(DType.FLOAT64, 3);
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(DETACHED).doubleBackward(x, reference, like, second(like).withDgamma(four)),
        "upstream gradient of dgamma has shape [4]",
        "expected [3]");
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(DETACHED).doubleBackward(x, reference, like, second(like).withDbeta(wide)),
        "upstream gradient of dbeta FLOAT64",
        "expected upstream gradient of dbeta to be FLOAT32");
  }

  @Test
  void aSecondGradientOfAnAttachedLayer() {
    assertRefused(
        IllegalStateException.class,
        () -> layer(ATTACHED).doubleBackward(x, reference, like, second(like)),
        "ATTACHED",
        "expected DETACHED");
  }

  @Test
  void aSecondGradientThatTheBackendDoesNotCompute() {
    RecordingKernels poor = RecordingKernels.without(Capability.DOUBLE_BACKWARD);
    var plain = VirtualBatchNorm.of(poor.open(), DETACHED);
    var refusal = assertRefused(
        UnsupportedCapabilityException.class,
        () -> plain.doubleBackward(x, reference, like, second(like)),
        "a second gradient was asked for",
        "FLOAT64");
    assertEquals(Capability.DOUBLE_BACKWARD, refusal.capability());
    assertEquals(List.of(), poor.calls());
  }

  /** A count that a file lacks is not 1, nor anything else. */
  @Test
  void statisticsWithoutTheCountThatTheVariantGoesBy() {
    double[] zeros = new double[3];
    var uncounted = ReferenceStatistics.of(backend, ReferenceMoments.of(zeros, zeros));
    var examples = ReferenceStatistics.of(backend, ReferenceMoments.of(zeros, zeros, 2));
    HostTensor tensor = HostTensor.zeros(DType.FLOAT64, 3);
    for (var each : List.of(uncounted, ReferenceStatistics.wrap(backend, tensor, tensor))) {
      assertUncountedRefused(each, Variant.BATCH, "examples");
      assertUncountedRefused(each, Variant.PER_EXAMPLE, "examples");
      assertUncountedRefused(each, Variant.POOLED, "elements");
    }
    for (var each : List.of(examples, ReferenceStatistics.wrap(backend, tensor, tensor, 2))) {
      assertUncountedRefused(each, Variant.POOLED, "elements");
      assertEquals(2, each.moments().examples());
    }
    assertEquals(ReferenceMoments.of(zeros, zeros), uncounted.moments());
    assertRefused(
        IllegalStateException.class,
        () -> layer(DETACHED).referenceBackward(x, uncounted, like),
        "number of elements per feature",
        "is not known");
  }

  private void assertUncountedRefused(
      ReferenceStatistics<HostTensor> statistics, Variant variant, String count) {
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(DETACHED).withVariant(variant).forward(x, statistics),
        "reference statistics have no count of " + count,
        "expected it for variant " + variant.label());
  }

  @Test
  void noGradients() {
    assertRefused(
        NullPointerException.class,
        () -> layer(ATTACHED).referenceGradient(x, reference, null),
        "gradients is null",
        "expected the gradients of a live batch");
  }

  @Test
  void aReferenceGradientOfADetachedLayer() {
    assertRefused(
        IllegalStateException.class,
        () -> layer(DETACHED).referenceGradient(x, reference, Entrance.Others.gradients(backend)),
        "detached",
        "expected ATTACHED");
  }

  @Test
  void aReferenceGradientFromTheGradientsOfADetachedLayer() {
    var detached = new Gradients<>(backend, Part.supplied(backend, "dx", like), like, like, null);
    assertRefused(
        IllegalStateException.class,
        () -> layer(ATTACHED).referenceGradient(x, reference, detached),
        "detached",
        "expected ATTACHED");
  }

  @Test
  void aReferenceGradientOfAnotherNumberOfFeatures() {
    HostTensor four = HostTensor.zeros(DType.FLOAT64, 4);
    var other = new Gradients<>(
        backend, Part.supplied(backend, "dx", like), like, like, new Moments<>(four, four));
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(ATTACHED).referenceGradient(x, reference, other),
        "reference gradient has shape [4]",
        "expected [3]");
  }

  @Test
  void closedGradients() {
    Gradients<HostTensor> gradients = Entrance.Others.gradients(backend);
    gradients.close();
    assertRefused(
        IllegalStateException.class,
        () -> layer(ATTACHED).referenceGradient(x, reference, gradients),
        "dreference used after close",
        "expected");
  }

  @Test
  void moreOfTheReferenceBatchThanItsStatisticsAreOf() {
    HostTensor three = HostTensor.zeros(DType.FLOAT32, 3, 3);
    assertRefused(
        IllegalArgumentException.class,
        () ->
            layer(ATTACHED).referenceGradient(three, reference, Entrance.Others.gradients(backend)),
        "reference batch has 3 elements per feature",
        "expected at most 2");
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(DETACHED).referenceBackward(three, reference, three),
        "reference batch has 3 elements per feature",
        "expected at most 2");
  }

  @Test
  void aPartOfTheReferenceBatchWhereItsOwnStatisticsAreDifferentiated() {
    HostTensor one = HostTensor.zeros(DType.FLOAT32, 1, 3);
    assertRefused(
        IllegalArgumentException.class,
        () -> layer(ATTACHED).referenceBackward(one, reference, one),
        "reference batch has 1 elements per feature",
        "expected the 2");
  }
}
