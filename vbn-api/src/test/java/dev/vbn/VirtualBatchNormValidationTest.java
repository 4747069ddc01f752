package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** A wrong batch is refused in the same words wherever it is given, and no kernel sees it. */
final class VirtualBatchNormValidationTest {
  private static final VbnConfig CONFIG =
      VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();

  private static VirtualBatchNorm<HostTensor> layer(
      VbnBackend<HostTensor> backend, VbnConfig config) {
    return VirtualBatchNorm.of(backend, config)
        .withGamma(HostTensor.zeros(DType.FLOAT32, config.features()))
        .withBeta(HostTensor.zeros(DType.FLOAT32, config.features()));
  }

  private void assertBatchRefused(
      Entrance entrance, VbnConfig config, HostTensor x, String... fragments) {
    assertRefusedBeforeTheKernels(
        IllegalArgumentException.class,
        () -> entrance.give(layer(backend, config), x, Entrance.Others.of(backend)),
        fragments);
  }

  private <X extends Throwable> X assertRefusedBeforeTheKernels(
      Class<X> type, Executable call, String... fragments) {
    X refusal = assertRefused(type, call, fragments);
    assertEquals(List.of(), kernels.calls());
    return refusal;
  }

  @ParameterizedTest
  @EnumSource
  void aGoodBatchReachesTheKernels(Entrance entrance) throws Exception {
    HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);
    entrance.give(layer(backend, CONFIG), x, Entrance.Others.of(backend)).close();

    // Gradients of shared statistics take both sweeps, one at a time.
    assertEquals(entrance == Entrance.SHARED_BACKWARD ? 2 : 1, kernels.calls().size());
  }

  @ParameterizedTest
  @EnumSource
  void noBatch(Entrance entrance) {
    assertRefusedBeforeTheKernels(
        NullPointerException.class,
        () -> entrance.give(layer(backend, CONFIG), null, Entrance.Others.of(backend)),
        entrance.batch + " is null",
        "expected a batch of rank 2 to 5");
  }

  @ParameterizedTest
  @EnumSource
  void ranksOtherThanTwoToFive(Entrance entrance) {
    for (long[] shape : new long[][] {{}, {3}, {1, 3, 1, 1, 1, 1}}) {
      assertBatchRefused(
          entrance,
          CONFIG,
          HostTensor.zeros(DType.FLOAT32, shape),
          entrance.batch + ": rank is " + shape.length,
          Arrays.toString(shape),
          "expected rank 2 to 5");
    }
  }

  @ParameterizedTest
  @EnumSource
  void aFeatureAxisThatTheRankLacks(Entrance entrance) {
    for (int axis : new int[] {3, 4, -3, -4}) {
      assertBatchRefused(
          entrance,
          CONFIG.withFeatureAxis(axis),
          HostTensor.zeros(DType.FLOAT32, 3, 3, 3),
          entrance.batch + ": feature axis is " + axis,
          "[3, 3, 3]",
          "expected 1 to 2, or -1 to -2");
    }
  }

  @ParameterizedTest
  @EnumSource
  void anAxisWithoutLength(Entrance entrance) {
    for (long[] shape : new long[][] {{0, 3}, {2, 0}, {2, 3, 0}}) {
      assertBatchRefused(
          entrance,
          CONFIG,
          HostTensor.zeros(DType.FLOAT32, shape),
          entrance.batch + ": shape is " + Arrays.toString(shape),
          "expected at least 1 along every axis");
    }
  }

  @ParameterizedTest
  @EnumSource
  void anotherNumberOfFeatures(Entrance entrance) {
    assertBatchRefused(
        entrance,
        CONFIG,
        HostTensor.zeros(DType.FLOAT32, 3, 4, 3),
        entrance.batch + " has 4 features",
        "[3, 4, 3]",
        "feature axis 1",
        "expected 3");
    assertBatchRefused(
        entrance,
        CONFIG.withFeatureAxis(-1),
        HostTensor.zeros(DType.FLOAT32, 3, 3, 4),
        entrance.batch + " has 4 features",
        "[3, 3, 4]",
        "feature axis -1",
        "expected 3");
  }

  @ParameterizedTest
  @EnumSource
  void anotherTypeThanTheParametersGoWith(Entrance entrance) {
    HostTensor wide = HostTensor.zeros(DType.FLOAT64, 2, 3);
    assertBatchRefused(
        entrance,
        CONFIG,
        wide,
        entrance.batch + " is FLOAT64",
        "gamma FLOAT32",
        "expected gamma to be FLOAT64");

    HostTensor beta = HostTensor.zeros(DType.FLOAT32, 3);
    var unscaled = VirtualBatchNorm.of(backend, CONFIG).withBeta(beta);
    assertRefusedBeforeTheKernels(
        IllegalArgumentException.class,
        () -> entrance.give(unscaled, wide, Entrance.Others.of(backend)),
        entrance.batch + " is FLOAT64",
        "beta FLOAT32",
        "expected beta to be FLOAT64");
  }

  @ParameterizedTest
  @EnumSource
  void aTypeThatTheBackendLacks(Entrance entrance) {
    for (DType dtype : EnumSet.complementOf(EnumSet.of(DType.FLOAT32))) {
      Capability lacking = Capability.valueOf(dtype.name());
      RecordingKernels poor = RecordingKernels.without(lacking);
      VbnBackend<HostTensor> without = poor.open();
      HostTensor x = poor.batch(dtype, 2, 3);

      var refusal = assertRefused(
          UnsupportedCapabilityException.class,
          () -> entrance.give(layer(without, CONFIG), x, Entrance.Others.of(without)),
          entrance.batch + " is " + dtype,
          "lacks",
          "SUBNORMALS");
      assertEquals(lacking, refusal.capability());
      assertEquals(List.of(), poor.calls());
    }
  }

  @ParameterizedTest
  @EnumSource
  void aClosedLayer(Entrance entrance) {
    var layer = layer(backend, CONFIG);
    layer.close();

    assertRefusedBeforeTheKernels(
        IllegalStateException.class,
        () -> entrance.give(
            layer, HostTensor.zeros(DType.FLOAT32, 2, 3), Entrance.Others.of(backend)),
        "layer used after close",
        "expected an open one");
  }

  @Test
  void noChunksOnAClosedLayer() {
    var layer = layer(backend, CONFIG);
    layer.close();

    assertRefusedBeforeTheKernels(
        IllegalStateException.class,
        () -> layer.referenceStatistics(List.of()),
        "layer used after close");
  }
}
