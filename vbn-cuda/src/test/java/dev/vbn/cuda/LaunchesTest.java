package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** How many kernels a call launches, and how often it asks for memory. */
@EnabledForJreRange(min = JRE.JAVA_22)
class LaunchesTest extends OnEmulator {
  private long launches;
  private long allocations;

  /** Counts from here on. */
  private void start() {
    launches = emulator.calls("cuLaunchKernel");
    allocations = emulator.calls("cuMemAllocFromPoolAsync");
  }

  private void assertSince(long launched, long allocated, String call) {
    assertEquals(launched, emulator.calls("cuLaunchKernel") - launches, "launches of " + call);
    assertEquals(
        allocated,
        emulator.calls("cuMemAllocFromPoolAsync") - allocations,
        "allocations of " + call);
  }

  /** Nothing is computed or allocated for mixed statistics, which nobody reads. */
  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, 3", // sums, mixture, output
    "PER_EXAMPLE, 3",
    "REFERENCE_ONLY, 2" // no sums
  })
  void ofEachCall(Variant variant, long forward) {
    VbnConfig config = VbnConfig.of(4).withVariant(variant);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        CudaTensor x = backend.unwrap(CudaBackend.class).allocate(DType.FLOAT32, 2, 4, 1024);
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config)) {
      start();
      try (ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x)) {
        assertSince(2, 3, "statistics: mean, variance and sums");
        start();
        try (Output<CudaTensor> live = layer.forward(x, statistics)) {
          assertSince(forward, 2, "forward: output and scratch");
          start();
          layer.forwardInto(live.output(), x, statistics).close();
          assertSince(forward, 1, "forwardInto: scratch");
          start();
          try (Gradients<CudaTensor> gradients = layer.backward(x, statistics, live.output())) {
            assertSince(4, 4, "backward: dx, dgamma, dbeta and scratch");
            start();
            layer.backwardInto(gradients.dx(), x, statistics, live.output()).close();
            assertSince(4, 3, "backwardInto");
          }
        }
      }
    }
  }
}
