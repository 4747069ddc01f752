package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendFailedException;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * Batches of more than 2^31 elements. The emulated device has the memory only where it is used, and
 * of each launch the first and last blocks alone run: the last element is looked at.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
class LargeIndexTest extends OnEmulator {
  private static final double EPSILON = 1e-12;
  private static final double MEAN = 1;
  private static final double VARIANCE = 4;
  private static final float LAST = 5;

  private Emulator.Client memory;

  @BeforeEach
  void haveMuchMemory() {
    emulator.memory(1L << 42);
    emulator.outerBlocks(2);
    memory = Emulator.client();
  }

  private long lastOf(CudaTensor tensor) {
    return tensor.pointer() + tensor.bytes() - 4;
  }

  /** Two features, each in so many of the last positions; or many examples of one or four. */
  @ParameterizedTest
  @CsvSource({
    "1, 2, 2147483647", // rows of more than 2^32 elements, read one by one
    "1, 2, 2147483644", // by fours
    "3, 1, 1431655765", // more than 2^32 in several rows
    "2147483651, 1, 1",
    "536870913, 4, 1", // neighbouring features at once
    "65537, 2, 32769"
  })
  void theLastElementIsWritten(long examples, long features, long positions) {
    VbnConfig config = VbnConfig.of(Math.toIntExact(features))
        .withVariant(Variant.REFERENCE_ONLY)
        .withEpsilon(EPSILON);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        CudaTensor x = backend
            .unwrap(CudaBackend.class)
            .allocate(DType.FLOAT32, examples, features, positions);
        CudaTensor mean = backend.fromHost(constant(MEAN, (int) features));
        CudaTensor variance = backend.fromHost(constant(VARIANCE, (int) features));
        ReferenceStatistics<CudaTensor> statistics =
            ReferenceStatistics.wrap(backend, mean, variance, 1, 1)) {
      memory.put(lastOf(x), LAST);
      layer.forwardInto(x, x, statistics).close();
      backend.unwrap(CudaBackend.class).synchronize();
      assertEquals((LAST - MEAN) / 2, memory.floats(lastOf(x), 1)[0], 1e-6);
    }
  }

  private static HostTensor constant(double value, int features) {
    double[] values = new double[features];
    Arrays.fill(values, value);
    return HostTensor.of(values, features);
  }

  /** A group for each of more than 2^31 examples, and a gradient. */
  @Test
  void theLastGroupIsMixedAndDifferentiated() {
    long examples = (1L << 31) + 3;
    VbnConfig config = VbnConfig.of(1).withVariant(Variant.PER_EXAMPLE).withEpsilon(EPSILON);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        CudaTensor x = backend.unwrap(CudaBackend.class).allocate(DType.FLOAT32, examples, 1);
        CudaTensor mean = backend.fromHost(constant(MEAN, 1));
        CudaTensor variance = backend.fromHost(constant(VARIANCE, 1));
        ReferenceStatistics<CudaTensor> statistics =
            ReferenceStatistics.wrap(backend, mean, variance, 1, 1)) {
      memory.put(lastOf(x), LAST);
      // w = 1/2, m = 3, v = 1/2*4 + 1/4*16 = 6
      double normalized = (LAST - 3) / Math.sqrt(6);
      try (Output<CudaTensor> output = layer.forward(x, statistics)) {
        backend.unwrap(CudaBackend.class).synchronize();
        assertEquals(normalized, memory.floats(lastOf(output.output()), 1)[0], 1e-6);
      }
      try (Gradients<CudaTensor> gradients = layer.backward(x, statistics, x)) {
        backend.unwrap(CudaBackend.class).synchronize();
        // dx = (dy - w*(A + xh*B))/s of A = dy and B = dy*xh
        double expected = LAST * (1 - 0.5 * (1 + normalized * normalized)) / Math.sqrt(6);
        assertEquals(expected, memory.floats(lastOf(gradients.dx()), 1)[0], 1e-6);
      }
    }
  }

  @Test
  void moreBehindTheFeatureAxisThanKernelsCountIsRefused() {
    VbnConfig config = VbnConfig.of(1).withVariant(Variant.REFERENCE_ONLY);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config);
        CudaTensor x = backend.unwrap(CudaBackend.class).allocate(DType.FLOAT32, 1, 1, 1L << 31)) {
      BackendFailedException e =
          assertThrows(BackendFailedException.class, () -> layer.referenceStatistics(x));
      assertTrue(
          String.valueOf(e.getMessage())
              .contains(
                  "2147483648 positions behind the feature axis; expected at most 2147483647"),
          e::getMessage);
    }
  }

  /** A host tensor may be as long as an array is. */
  @Test
  void theLongestTransferIsCutIntoPieces() {
    int size = Integer.MAX_VALUE - 8;
    int capacity = 1 << 20;
    long[] covered = {0, 0};
    Insight.get().forEachPiece(size, capacity, (start, count) -> {
      assertEquals(covered[0], start);
      assertTrue(count > 0 && count <= capacity, () -> "count is " + count);
      covered[0] += count;
      covered[1]++;
    });
    assertEquals(size, covered[0]);
    assertEquals(2048, covered[1], "pieces");
  }
}
