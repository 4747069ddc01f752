package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import java.nio.file.Path;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What kernels move, in sectors of 32 bytes, which a block's cache has once it has read them: all that a
 * device's memory is asked for at worst. Large shapes are a part of those that users have, on as small a
 * part of a device.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
class TrafficTest {
  private static final int SHARED_BYTES = 227 << 10; // of a block on an H100

  /** Bytes of parameters and statistics, where the batch has not many more. */
  private static final double OF_FEW = 4096;

  private Emulator.Controls emulator;

  @BeforeEach
  void build() {
    Emulator.controls(); // skips where there is no compiler
    Path directory = Emulator.DIRECTORY.resolveSibling("emulator-with-traffic");
    emulator = Emulator.controls(Emulator.SOURCE, directory, "-DTRAFFIC");
  }

  @AfterEach
  void leaveFresh() {
    if (emulator != null) {
      emulator.reset();
    }
    Emulator.install();
  }

  /**
   * The input is moved once in one launch and twice in two, the output once. Sums and lines are less than
   * 2 % of that.
   */
  @ParameterizedTest
  @CsvSource({
    // examples, features and positions; or positions before features
    "auto, LIVE_BATCH, FLOAT32, 1, '100, 1024, 8', 132, 1",
    "auto, LIVE_BATCH, FLOAT32, 1, '8, 64', 132, 1",
    "auto, PER_EXAMPLE, FLOAT32, 1, '16, 64, 1024', 132, 1", // of (4096, 64, 1024)
    "together, LIVE_BATCH, FLOAT32, 1, '100, 16, 1024', 33, 1",
    "together, LIVE_BATCH, FLOAT32, 1, '8, 16, 8192', 40, 1",
    "together, LIVE_BATCH, BFLOAT16, 3, '8, 64, 128, 16', 33, 1",
    "two, LIVE_BATCH, FLOAT32, 1, '100, 16, 1024', 33, 2", // of (100, 64, 1024)
    "two, LIVE_BATCH, FLOAT32, 1, '8, 16, 8192', 16, 2", // of (64, 16, 8192)
    "two, LIVE_BATCH, FLOAT32, 1, '32, 2, 16384', 2, 2", // of (256, 64, 16384)
    "two, LIVE_BATCH, FLOAT32, 3, '8, 64, 128, 16', 2, 2", // of (64, 128, 128, 16)
    "two, LIVE_BATCH, BFLOAT16, 3, '8, 64, 128, 16', 2, 2",
    "two, LIVE_BATCH, FLOAT32, 1, '1000000, 1', 13, 2" // of (10000000, 1)
  })
  void ofAPass(
      String plan,
      Variant variant,
      DType dtype,
      int featureAxis,
      String dimensions,
      int multiprocessors,
      int launches) {
    emulator.device(multiprocessors, SHARED_BYTES);
    long[] shape =
        Arrays.stream(dimensions.split(", ", -1)).mapToLong(Long::parseLong).toArray();
    VbnConfig config = VbnConfig.of(Math.toIntExact(shape[featureAxis]))
        .withFeatureAxis(featureAxis)
        .withVariant(variant);
    try (VbnBackend<CudaTensor> backend = Emulator.open(plan)) {
      CudaBackend cuda = backend.unwrap(CudaBackend.class);
      try (VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
          CudaTensor x = cuda.allocate(dtype, shape);
          CudaTensor upstream = cuda.allocate(dtype, shape);
          CudaTensor output = cuda.allocate(dtype, shape);
          ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x)) {
        cuda.synchronize();
        long before = launches();
        emulator.count();
        layer.forwardInto(output, x, statistics).close();
        cuda.synchronize();
        assertEquals(launches, launches() - before, "launches of forward");
        assertMoved("forward", launches, 1, x, upstream, output);

        emulator.count();
        try (Gradients<CudaTensor> gradients =
            layer.backwardInto(output, x, statistics, upstream)) {
          cuda.synchronize();
          assertMoved("backward", launches, 2, x, upstream, gradients.dx());
        }
      }
    }
  }

  private long launches() {
    return emulator.calls("cuLaunchKernel") + emulator.calls("cuLaunchCooperativeKernel");
  }

  private void assertMoved(
      String pass, int reads, int inputs, CudaTensor x, CudaTensor upstream, CudaTensor output) {
    double bytes = x.bytes();
    double ofX = emulator.moved(x.pointer()) / bytes;
    double ofUpstream = emulator.moved(upstream.pointer()) / bytes;
    double ofOutput = emulator.moved(output.pointer()) / bytes;
    double other = emulator.moved(0) / bytes - ofX - ofUpstream - ofOutput;
    String counts = pass + " of " + x + ": x " + ofX + ", upstream " + ofUpstream + ", output "
        + ofOutput + ", other " + other;
    assertEquals(reads, ofX, 0.01, counts);
    assertEquals(inputs == 1 ? 0 : reads, ofUpstream, 0.01, counts);
    assertEquals(1, ofOutput, 0.01, counts);
    assertTrue(other < Math.max(0.02 * (reads * inputs + 1), OF_FEW / bytes), counts);
  }
}
