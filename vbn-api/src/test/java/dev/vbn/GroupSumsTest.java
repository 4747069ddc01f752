package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;

import dev.vbn.spi.Capability;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.ArrayProvider;
import dev.vbn.testing.RecordingKernels;
import org.junit.jupiter.api.Test;

/** Sums of groups that a backend gives, or lacks. */
final class GroupSumsTest {
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);

  @Test
  void tooFewOfThemAreTheBackendsFailure() {
    VbnBackend<HostTensor> backend = VbnBackend.open(new ArrayProvider("short", 0) {
      @Override
      protected RecordingKernels kernels() {
        return RecordingKernels.giving(new GroupSums(new double[3], new double[2]));
      }
    });
    VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(3));
    Entrance.Others others = Entrance.Others.of(backend);
    assertRefused(
        BackendFailedException.class,
        () -> Entrance.GRADIENT_SUMS.give(layer, x, others),
        "gave 2 of b; expected 3");
  }

  @Test
  void aBackendWithoutThemRefusesWhatTakesThem() {
    VbnBackend<HostTensor> backend =
        RecordingKernels.without(Capability.CONDITIONAL).open();
    VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(3));
    Entrance.Others others = Entrance.Others.of(backend);
    assertRefused(
        UnsupportedCapabilityException.class,
        () -> layer.withGamma(HostTensor.zeros(DType.FLOAT32, 2, 3)),
        "gamma of shape [2, 3] was given");
    assertRefused(
        UnsupportedCapabilityException.class,
        () -> Entrance.SHARED_FORWARD.give(layer, x, others),
        "shared live statistics");
  }
}
