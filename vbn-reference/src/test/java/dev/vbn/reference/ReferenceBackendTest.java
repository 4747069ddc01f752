package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.kernels.MemoryKernels;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Executor;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import org.junit.jupiter.api.Test;

class ReferenceBackendTest {
  private final ReferenceBackend backend = backend(Runnable::run, 1);

  private static ReferenceBackend backend(Executor executor, int parallelism) {
    return new ReferenceBackend(new MemoryKernels(executor, parallelism));
  }

  /** The build runs every test with each kernel, and says which. */
  @Test
  void theKernelAskedForIsInUse() {
    String wanted = System.getProperty("vbn.kernel");
    assertNotNull(wanted, "expected the build to set vbn.kernel");
    String description = new ReferenceProvider().probe().description();
    assertTrue(
        description.contains(wanted.equals("simd") ? "SIMD kernel" : "scalar kernel"), description);
  }

  @Test
  void theNumberOfThreadsDoesNotChangeABit() {
    HostTensor x = normal(1, 32, 24, 1031);
    HostTensor upstream = normal(2, 32, 24, 1031);
    Moments<HostTensor> reference =
        new Moments<>(HostTensor.of(new double[24], 24), HostTensor.of(ones(24), 24));
    for (Scope scope : new Scope[] {Scope.BATCH, Scope.EXAMPLE}) {
      Normalization how = new Normalization(
          Geometry.of(x.shape(), 1), scope, 0.125, 1e-5, ReferenceGradient.ATTACHED);
      Result one = inPool(1, x, upstream, how, reference);
      for (int threads : new int[] {2, 3, 8}) {
        Result many = inPool(threads, x, upstream, how, reference);
        assertArrayEquals(one.output.floats(), many.output.floats());
        assertArrayEquals(one.gradients.dx().floats(), many.gradients.dx().floats());
        assertArrayEquals(
            one.gradients.dgamma().floats(), many.gradients.dgamma().floats());
        assertArrayEquals(
            reference(one.gradients).mean().doubles(),
            reference(many.gradients).mean().doubles());
      }
    }
  }

  /** One that refuses every task, and one that never comes to run any. */
  @Test
  void anExecutorThatDoesNotWorkDoesNotChangeABit() {
    HostTensor x = normal(1, 32, 24, 1031);
    HostTensor upstream = normal(2, 32, 24, 1031);
    Normalization how = new Normalization(
        Geometry.of(x.shape(), 1), Scope.BATCH, 0.125, 1e-5, ReferenceGradient.ATTACHED);
    Moments<HostTensor> reference =
        new Moments<>(HostTensor.of(new double[24], 24), HostTensor.of(ones(24), 24));
    Result one = inPool(1, x, upstream, how, reference);
    Executor refusing = task -> {
      throw new RejectedExecutionException("full");
    };
    for (Executor executor : List.of(refusing, task -> {})) {
      try (ReferenceBackend backend = backend(executor, 4)) {
        assertArrayEquals(
            one.output.floats(),
            backend.forward(x, how, reference, null, null, null).floats());
        assertArrayEquals(
            one.gradients.dx().floats(),
            backend.backward(x, upstream, how, reference, null, null).dx().floats());
      }
    }
  }

  /**
   * With so large a feature that its lines do not fit 32 bits, in batches so large that threads share
   * them: of two features their chunks, of more or of examples whole groups.
   */
  @Test
  void dxOverAnInputHasTheBitsOfANewOne() {
    ExecutorService pool = Executors.newFixedThreadPool(3);
    try (ReferenceBackend parallel = backend(pool, 3)) {
      for (ReferenceBackend backend : List.of(this.backend, parallel)) {
        for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
          assertDxOverInputs(backend, dtype, 1, 144, 2, 1031);
          assertDxOverInputs(backend, dtype, 1, 32, 9, 1031);
          assertDxOverInputs(backend, dtype, -1, 144, 1031, 2);
          assertDxOverInputs(backend, dtype, -1, 2100, 129);
        }
      }
    } finally {
      pool.shutdown();
    }
  }

  private static void assertDxOverInputs(
      ReferenceBackend backend, DType dtype, int axis, long... shape) {
    Geometry geometry = Geometry.of(shape, axis);
    int features = (int) geometry.features();
    HostTensor x = normal(1, shape);
    float[] values = x.floats();
    for (int i = 0; i < values.length; i++) {
      values[i] *= i / geometry.after() % features == 0 ? 1e32f : 1;
    }
    HostTensor upstream = normal(2, shape);
    Moments<HostTensor> reference = new Moments<>(
        HostTensor.of(new double[features], features), HostTensor.of(ones(features), features));
    for (Scope scope : Scope.values()) {
      Normalization how = new Normalization(
          geometry, scope, scope == Scope.NONE ? 0 : 0.125, 1e-5, ReferenceGradient.ATTACHED);
      HostTensor overX = x.to(dtype);
      HostTensor overUpstream = upstream.to(dtype);
      HostTensor expected =
          backend.backward(overX, overUpstream, how, reference, null, null).dx();
      backend.backward(x.to(dtype), overUpstream, how, reference, null, overUpstream);
      assertArrayEquals(expected.toDoubles(), overUpstream.toDoubles(), scope + " over upstream");
      backend.backward(overX, upstream.to(dtype), how, reference, null, overX);
      assertArrayEquals(expected.toDoubles(), overX.toDoubles(), scope + " over x");
    }
  }

  /** With weight 0, forward and dx: of so few elements alone that other loops might take them. */
  @Test
  void anExampleAloneHasTheBitsThatItHasInABatch() {
    for (long[] shape : new long[][] {{17, 1025, 3}, {300, 40}, {40, 7, 9}, {40, 3, 80}}) {
      HostTensor x = normal(1, shape);
      long[] one = shape.clone();
      one[0] = 1;
      float[] first = Arrays.copyOf(x.floats(), x.size() / (int) shape[0]);
      for (int axis : new int[] {1, -1}) {
        int features = (int) Geometry.of(shape, axis).features();
        Moments<HostTensor> reference = new Moments<>(
            HostTensor.of(Arrays.copyOf(normal(3, features).toDoubles(), features), features),
            HostTensor.of(ones(features), features));
        HostTensor alone = HostTensor.of(first, one);
        assertArrayEquals(
            backend
                .forward(alone, reference(one, axis), reference, null, null, null)
                .floats(),
            Arrays.copyOf(
                backend
                    .forward(x, reference(shape, axis), reference, null, null, null)
                    .floats(),
                first.length),
            Arrays.toString(shape));
        assertArrayEquals(
            backend
                .backward(alone, alone, reference(one, axis), reference, null, null)
                .dx()
                .floats(),
            Arrays.copyOf(
                backend
                    .backward(x, x, reference(shape, axis), reference, null, null)
                    .dx()
                    .floats(),
                first.length),
            Arrays.toString(shape));
      }
    }
  }

  private static Normalization reference(long[] shape, int axis) {
    return new Normalization(
        Geometry.of(shape, axis), Scope.NONE, 0, 1e-5, ReferenceGradient.DETACHED);
  }

  private record Result(HostTensor output, Differentiated<HostTensor> gradients) {}

  private static Result inPool(
      int threads,
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      Moments<HostTensor> reference) {
    ExecutorService pool = Executors.newFixedThreadPool(threads);
    try (ReferenceBackend backend = backend(pool, threads)) {
      return new Result(
          backend.forward(x, how, reference, null, null, null),
          backend.backward(x, upstream, how, reference, null, null));
    } finally {
      pool.shutdown();
    }
  }

  private static Moments<HostTensor> reference(Differentiated<HostTensor> gradients) {
    Moments<HostTensor> reference = gradients.dreference();
    assertNotNull(reference);
    return reference;
  }

  /** 0.1 is no binary fraction: summed one by one in 32 bits, the mean would be 0.099 or so. */
  @Test
  void aLongRowOfOneValueHasThatMeanAndNoVariance() {
    float[] values = new float[1 << 22];
    Arrays.fill(values, 0.1f);
    Moments<HostTensor> moments = statistics(values);
    assertEquals(0.1f, moments.mean().get(0), 0);
    assertEquals(0, moments.variance().get(0), 0);
  }

  /** Alternating 2^20 - 1/2 and 2^20 + 1/2: variance 1/4 exactly, 2 million deviations from 0. */
  @Test
  void aLongRowFarFromZeroKeepsItsVariance() {
    float[] values = new float[1 << 22];
    for (int i = 0; i < values.length; i++) {
      values[i] = 0x1p20f + (i % 2 == 0 ? -0.5f : 0.5f);
    }
    Moments<HostTensor> moments = statistics(values);
    assertEquals(0x1p20, moments.mean().get(0), 0);
    assertEquals(0.25, moments.variance().get(0), 0);
  }

  /** Log-normal: a few elements are a hundred times the deviation, and must not swallow the others. */
  @Test
  void rareLargeElementsLeaveTheVarianceExact() {
    int features = 300;
    int run = 119;
    int batch = 20;
    HostTensor x = normal(7, batch, features, run);
    float[] values = x.floats();
    for (int i = 0; i < values.length; i++) {
      values[i] = (float) Math.exp(3 * values[i]);
    }
    double[] variance =
        backend.statistics(x, Geometry.of(x.shape(), 1), Scope.BATCH).variance().doubles();
    for (int feature = 0; feature < features; feature++) {
      double mean = moment(values, features, run, feature, 0, 1);
      double expected = moment(values, features, run, feature, mean, 2);
      assertEquals(expected, variance[feature], 5e-7 * expected, "feature " + feature);
    }
  }

  private static double moment(
      float[] values, int features, int run, int feature, double center, int power) {
    double sum = 0;
    int count = 0;
    for (int row = 0; row < values.length; row += features * run) {
      for (int i = 0; i < run; i++) {
        sum += Math.pow(values[row + feature * run + i] - center, power);
        count++;
      }
    }
    return sum / count;
  }

  private Moments<HostTensor> statistics(float[] row) {
    long[] shape = {1, 1, row.length};
    return backend.statistics(HostTensor.of(row, shape), Geometry.of(shape, 1), Scope.BATCH);
  }

  private static HostTensor normal(long seed, long... shape) {
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, shape);
    Random random = new Random(seed);
    for (int i = 0; i < tensor.size(); i++) {
      tensor.floats()[i] = (float) random.nextGaussian();
    }
    return tensor;
  }

  private static double[] ones(int length) {
    double[] ones = new double[length];
    Arrays.fill(ones, 1);
    return ones;
  }
}
