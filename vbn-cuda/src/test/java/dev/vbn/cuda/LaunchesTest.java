package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * How many kernels a call launches. A batch that the cache does not keep is worked through in ranges of
 * features, but not where a range is read faster than its launches start. On the emulated device, ranges
 * have from 24000 to 32768 bytes.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
class LaunchesTest extends OnEmulator {
  private static final long FORWARD = 3; // of a range: sums, mixture, output
  private static final long BACKWARD = 3; // of a range; one more adds up groups

  /** Of the four features of a batch, read in a pass: once forward, with the gradient backward. */
  @ParameterizedTest
  @CsvSource({
    "1024, 1, 2", // 8 KiB, which the cache keeps; 16 KiB, of which it keeps two
    "2048, 2, 4", // 16 KiB, two; 32 KiB, one
    "2560, 1, 1", // 20 KiB, of which it keeps one, which is too little; 40 KiB, more than it keeps
    "8192, 1, 1"
  })
  void ranges(int positions, int forward, int backward) {
    VbnConfig config = VbnConfig.of(4).withScale(false).withCenter(false);
    try (CudaBackend backend = CudaProvider.open(0);
        CudaTensor x = backend.allocate(DType.FLOAT32, 2, 4, positions);
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config, null, null);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x)) {
      long before = emulator.calls("cuLaunchKernel");
      LiveOutput<CudaTensor> live = layer.forward(x, statistics);
      long between = emulator.calls("cuLaunchKernel");
      Gradients<CudaTensor> gradients = layer.backward(x, statistics, live.output());
      long after = emulator.calls("cuLaunchKernel");
      assertEquals(FORWARD * forward, between - before, "forward");
      assertEquals(BACKWARD * backward + 1, after - between, "backward");
      gradients.input().close();
    }
  }
}
