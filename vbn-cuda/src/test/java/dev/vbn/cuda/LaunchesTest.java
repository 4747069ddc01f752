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
    "one, LIVE_BATCH, 1, 1, 1, 0, 0",
    "one, PER_EXAMPLE, 1, 1, 2, 0, 1", // the groups are added up
    "one, REFERENCE_ONLY, 1, 1, 1, 0, 0",
    "three, LIVE_BATCH, 2, 3, 4, 1, 1", // sums, mixture, output, and their gradients added up
    "three, PER_EXAMPLE, 2, 3, 4, 1, 1",
    "three, REFERENCE_ONLY, 2, 2, 4, 1, 1" // no sums
  })
  void ofEachCall(
      String plan,
      Variant variant,
      long ofStatistics,
      long ofForward,
      long ofBackward,
      long scratch,
      long scratchBackward) {
    VbnConfig config = VbnConfig.of(4).withVariant(variant);
    try (VbnBackend<CudaTensor> backend = Emulator.open(plan);
        CudaTensor x = backend.unwrap(CudaBackend.class).allocate(DType.FLOAT32, 2, 4, 1024);
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config)) {
      start();
      try (ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x)) {
        assertSince(ofStatistics, 2 + (plan.equals("three") ? 1 : 0), "statistics");
        start();
        try (Output<CudaTensor> live = layer.forward(x, statistics)) {
          assertSince(ofForward, 1 + scratch, "forward: output and scratch");
          start();
          layer.forwardInto(live.output(), x, statistics).close();
          assertSince(ofForward, scratch, "forwardInto: scratch");
          start();
          try (Gradients<CudaTensor> gradients = layer.backward(x, statistics, live.output())) {
            assertSince(ofBackward, 3 + scratchBackward, "backward: dx, dgamma, dbeta, scratch");
            start();
            layer.backwardInto(gradients.dx(), x, statistics, live.output()).close();
            assertSince(ofBackward, 2 + scratchBackward, "backwardInto");
          }
        }
      }
    }
  }
}
