package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import java.util.EnumSet;
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

  private final RecordingBackend backend = RecordingBackend.capable();
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);
  private final HostTensor like = HostTensor.zeros(DType.FLOAT32, 2, 3);
  private final ReferenceStatistics<HostTensor> reference = statistics(DType.FLOAT32, 3);

  private VirtualBatchNorm<HostTensor> layer(VbnConfig config) {
    return VirtualBatchNorm.of(
        backend, config, HostTensor.zeros(DType.FLOAT32, 3), HostTensor.zeros(DType.FLOAT32, 3));
  }

  private ReferenceStatistics<HostTensor> statistics(DType dtype, int features) {
    return ReferenceStatistics.of(backend, dtype, new double[features], new double[features], 2, 2);
  }

  @AfterEach
  void noKernelWasCalled() {
    assertEquals(List.of(), backend.calls());
  }

  /** With the layer attached and detached. */
  private void assertStatisticsRefused(
      Class<? extends Throwable> type,
      Entrance entrance,
      @Nullable ReferenceStatistics<HostTensor> statistics,
      String... fragments) {
    for (VbnConfig config : List.of(ATTACHED, DETACHED)) {
      Executable call = entrance == Entrance.REFERENCE_GRADIENT
          ? () -> layer(config).referenceGradient(x, statistics, gradients())
          : () -> entrance.give(layer(config), x, new Entrance.Others(statistics, like));
      assertRefused(type, call, fragments);
    }
  }

  private Gradients<HostTensor> gradients() {
    return new Gradients<>(like, like, like, reference.moments());
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
        statistics(DType.FLOAT32, 4),
        "reference statistics have 4 features",
        "expected 3");
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void statisticsForAnotherType(Entrance entrance) {
    assertStatisticsRefused(
        IllegalArgumentException.class,
        entrance,
        statistics(DType.FLOAT16, 3),
        "FLOAT32",
        "reference statistics are of FLOAT16 batches",
        "expected one type");
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void statisticsOfAnotherBackendWithTensorsOfAnotherType(Entrance entrance) {
    assertStatisticsRefused(
        IllegalArgumentException.class,
        entrance,
        reference.to(new RecordingBackend()),
        "reference statistics are FLOAT32 tensors of another backend",
        "expected FLOAT64",
        "to(backend)");
  }

  @ParameterizedTest
  @EnumSource(
      mode = Mode.EXCLUDE,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"})
  void closedStatistics(Entrance entrance) {
    var closed = statistics(DType.FLOAT32, 3);
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
          "upstream", upstream -> layer(config).backward(x, reference, upstream, like));
      assertLikeRefused(
          "upstream", upstream -> layer(config).referenceBackward(x, reference, upstream));
    }
  }

  @Test
  void aWrongOutput() {
    assertRefused(
        NullPointerException.class,
        () -> layer(DETACHED).forward(x, reference, null),
        "output is null",
        "expected");
    assertNotLikeRefused("output", output -> layer(DETACHED).forward(x, reference, output));
  }

  @Test
  void aWrongTensorForDx() {
    assertRefused(
        NullPointerException.class,
        () -> layer(DETACHED).backward(x, reference, like, null),
        "dx is null",
        "expected");
    assertNotLikeRefused("dx", dx -> layer(DETACHED).backward(x, reference, like, dx));
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
    EnumSet<Capability> others =
        EnumSet.complementOf(EnumSet.of(Capability.CALLER_SUPPLIED_OUTPUT));
    RecordingBackend poor = new RecordingBackend(others.toArray(Capability[]::new));
    var plain = VirtualBatchNorm.of(poor, DETACHED.withScale(false).withCenter(false), null, null);

    for (HostTensor output : List.of(like, x)) {
      assertOutputRefused("output", () -> plain.forward(x, reference, output));
      assertOutputRefused("dx", () -> plain.backward(x, reference, like, output));
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
        () -> layer(DETACHED).referenceGradient(x, reference, gradients()),
        "detached",
        "expected ATTACHED");
  }

  @Test
  void aReferenceGradientFromTheGradientsOfADetachedLayer() {
    assertRefused(
        IllegalStateException.class,
        () -> layer(ATTACHED)
            .referenceGradient(x, reference, new Gradients<>(like, like, like, null)),
        "detached",
        "expected ATTACHED");
  }
}
