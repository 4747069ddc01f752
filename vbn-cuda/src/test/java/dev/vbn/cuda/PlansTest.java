package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What {@code vbn.cuda.plan} chooses from. */
@EnabledForJreRange(min = JRE.JAVA_22)
class PlansTest extends OnEmulator {
  private static final String TOGETHER = "cuLaunchCooperativeKernel";

  @Test
  void anotherNameIsRefusedWithTheChoices() {
    Throwable e = assertThrows(RuntimeException.class, () -> Emulator.open("four"));
    while (e.getCause() != null) {
      e = e.getCause();
    }
    assertEquals(
        "vbn.cuda.plan is 'four'; expected auto, one, together, two, three", e.getMessage());
    assertEquals(0, emulator.live(), "left open");
  }

  /** Who mixes makes no difference to a bit; how a batch is cut makes one of rounding. */
  @ParameterizedTest
  @CsvSource({
    "LIVE_BATCH, FLOAT32, 5, 2, 8192",
    "PER_EXAMPLE, FLOAT32, 2, 2, 20000",
    "LIVE_BATCH, FLOAT32, 700, 3, 1",
    "POOLED, FLOAT32, 1501, 8, 1",
    "LIVE_BATCH, FLOAT64, 900, 4, 3",
    "LIVE_BATCH, FLOAT64, 40, 3, 100",
    "PER_EXAMPLE, FLOAT32, 40, 6, 12",
    "PER_EXAMPLE, FLOAT32, 9, 3, 5"
  })
  void twoAndThreeGiveTheSameBitsAndTheOthersNearlyThose(
      Variant variant, DType dtype, int examples, int features, int positions) {
    emulator.device(16, 40 << 10);
    int[] shape = {examples, features, positions};
    List<double[]> two = results("two", variant, dtype, shape);
    List<double[]> three = results("three", variant, dtype, shape);
    List<double[]> one = results("one", variant, dtype, shape);
    long before = emulator.calls(TOGETHER);
    List<double[]> together = results("together", variant, dtype, shape);
    assertEquals(2, emulator.calls(TOGETHER) - before, "forward and backward");
    double rounding = dtype == DType.FLOAT64 ? 1e-13 : 1e-5;
    for (int i = 0; i < two.size(); i++) {
      double near = rounding * (1 + largest(two.get(i)));
      assertArrayEquals(three.get(i), two.get(i), "result " + i);
      assertArrayEquals(two.get(i), one.get(i), near, "one, " + i);
      assertArrayEquals(two.get(i), together.get(i), near, "together, " + i);
    }
  }

  /** Also the order in which blocks come to wait for each other. */
  @Test
  void everyOrderGivesTheSameBits() {
    emulator.device(16, 40 << 10);
    int[] shape = {60, 5, 333};
    emulator.seed(1);
    List<double[]> expected = results("together", Variant.POOLED, DType.FLOAT32, shape);
    for (int seed = 2; seed <= 5; seed++) {
      emulator.seed(seed);
      List<double[]> actual = results("together", Variant.POOLED, DType.FLOAT32, shape);
      for (int i = 0; i < expected.size(); i++) {
        assertArrayEquals(expected.get(i), actual.get(i), "result " + i + ", seed " + seed);
      }
    }
  }

  @Test
  void wherePartsHaveNoRoomOrBlocksDoNotRunAtOnceTwoLaunchesDo() {
    int[] shape = {5, 2, 8192};
    List<double[]> two = results("two", Variant.LIVE_BATCH, DType.FLOAT32, shape);
    List<double[]> tooLarge = results("together", Variant.LIVE_BATCH, DType.FLOAT32, shape);
    emulator.cooperative(false);
    emulator.device(16, 40 << 10);
    List<double[]> twoOnMore = results("two", Variant.LIVE_BATCH, DType.FLOAT32, shape);
    List<double[]> refused = results("together", Variant.LIVE_BATCH, DType.FLOAT32, shape);
    for (int i = 0; i < two.size(); i++) {
      assertArrayEquals(two.get(i), tooLarge.get(i), "result " + i);
      assertArrayEquals(twoOnMore.get(i), refused.get(i), "result " + i);
    }
    assertEquals(0, emulator.calls(TOGETHER));
  }

  private static double largest(double[] values) {
    double largest = 0;
    for (double value : values) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  private static List<double[]> results(String plan, Variant variant, DType dtype, int... shape) {
    VbnConfig config = VbnConfig.of(shape[1]).withVariant(variant);
    List<double[]> results = new ArrayList<>();
    try (VbnBackend<CudaTensor> backend = Emulator.open(plan);
        VirtualBatchNorm<CudaTensor> layer =
            VirtualBatchNorm.of(backend, config).initialized(dtype, 5);
        CudaTensor reference = random(backend, 1, dtype, shape);
        CudaTensor x = random(backend, 2, dtype, shape);
        CudaTensor upstream = random(backend, 3, dtype, shape);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(reference);
        Output<CudaTensor> live = layer.forward(x, statistics);
        Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream)) {
      for (CudaTensor tensor : List.of(
          statistics.mean(),
          statistics.variance(),
          live.output(),
          gradients.dx(),
          gradients.dgamma(),
          gradients.dbeta())) {
        double[] result = backend.toHost(tensor).toDoubles();
        assertTrue(Arrays.stream(result).noneMatch(Double::isNaN), "NaN tells nothing");
        results.add(result);
      }
    }
    return results;
  }

  private static CudaTensor random(
      VbnBackend<CudaTensor> backend, long seed, DType dtype, int[] shape) {
    Random random = new Random(seed);
    double[] values = new double[shape[0] * shape[1] * shape[2]];
    for (int i = 0; i < values.length; i++) {
      values[i] = 3 + random.nextGaussian();
    }
    return backend.fromHost(HostTensor.of(values, shape[0], shape[1], shape[2]), dtype);
  }
}
