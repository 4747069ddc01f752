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

/** How many kernels a call launches, and how often it calls the driver once its like has been called before. */
@EnabledForJreRange(min = JRE.JAVA_22)
class LaunchesTest extends OnEmulator {
  private static final String ALL = "";

  /** To make the context current, and what was current again. */
  private static final long ENTRY = 3;

  /** To ask whether the stream captures, for scratch memory is then another. */
  private static final long QUESTION = 1;

  private long launches;
  private long allocations;
  private long calls;

  /** Counts from here on. */
  private void start() {
    launches = launches();
    allocations = emulator.calls("cuMemAllocFromPoolAsync");
    calls = emulator.calls(ALL);
  }

  private long launches() {
    return emulator.calls("cuLaunchKernel") + emulator.calls("cuLaunchCooperativeKernel");
  }

  private void assertSince(String call, long launched, long allocated, long others) {
    assertEquals(launched, launches() - launches, "launches of " + call);
    assertEquals(
        allocated,
        emulator.calls("cuMemAllocFromPoolAsync") - allocations,
        "allocations of " + call);
    assertEquals(launched + allocated + others, emulator.calls(ALL) - calls, "calls of " + call);
  }

  /**
   * Nothing is computed for mixed statistics, which nobody reads, and nothing allocated but what the
   * caller gets.
   *
   * @param scratch whether forward needs memory of its own, backward likewise
   */
  @ParameterizedTest
  @CsvSource({
    "auto, LIVE_BATCH, 1, 1, 1, false, false",
    "one, PER_EXAMPLE, 1, 1, 2, false, true", // the gradients of groups are added up
    "one, REFERENCE_ONLY, 1, 1, 1, false, false",
    "together, LIVE_BATCH, 1, 1, 1, true, true",
    "together, PER_EXAMPLE, 1, 1, 2, true, true",
    "together, REFERENCE_ONLY, 1, 2, 1, true, true", // forward has no sums to wait for
    "two, LIVE_BATCH, 1, 2, 2, true, true", // sums with the mixture, and output
    "two, PER_EXAMPLE, 1, 2, 3, true, true",
    "two, REFERENCE_ONLY, 1, 2, 2, true, true", // no sums: mixture, and output
    "three, LIVE_BATCH, 2, 3, 3, true, true",
    "three, PER_EXAMPLE, 2, 3, 4, true, true"
  })
  void ofEachCall(
      String plan,
      Variant variant,
      long ofStatistics,
      long ofForward,
      long ofBackward,
      boolean scratch,
      boolean backwardScratch) {
    VbnConfig config = VbnConfig.of(4).withVariant(variant);
    try (VbnBackend<CudaTensor> backend = Emulator.open(plan);
        CudaTensor x = backend.unwrap(CudaBackend.class).allocate(DType.FLOAT32, 2, 4, 1024);
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x);
        Output<CudaTensor> live = layer.forward(x, statistics);
        Gradients<CudaTensor> first = layer.backward(x, statistics, live.output())) {
      start();
      try (ReferenceStatistics<CudaTensor> again = layer.referenceStatistics(x)) {
        assertSince(
            "statistics", ofStatistics, 2, ENTRY + (again != null && scratch ? QUESTION : 0));
      }
      start();
      try (Output<CudaTensor> again = layer.forward(x, statistics)) {
        assertSince("forward", ofForward, 1, ENTRY + (again != null && scratch ? QUESTION : 0));
      }
      start();
      layer.forwardInto(live.output(), x, statistics).close();
      assertSince("forwardInto", ofForward, 0, ENTRY + (scratch ? QUESTION : 0));
      start();
      try (Gradients<CudaTensor> again = layer.backward(x, statistics, live.output())) {
        assertSince(
            "backward", ofBackward, 3, ENTRY + (again != null && backwardScratch ? QUESTION : 0));
      }
      start();
      try (Gradients<CudaTensor> again =
          layer.backwardInto(first.dx(), x, statistics, live.output())) {
        assertSince(
            "backwardInto",
            ofBackward,
            2,
            ENTRY + (again != null && backwardScratch ? QUESTION : 0));
      }
    }
  }
}
