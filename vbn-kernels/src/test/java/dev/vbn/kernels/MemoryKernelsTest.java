package dev.vbn.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.sun.management.ThreadMXBean;
import dev.vbn.kernels.MemoryKernels.Gradients;
import dev.vbn.kernels.MemoryKernels.Statistics;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.lang.management.ManagementFactory;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.DoubleBuffer;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

class MemoryKernelsTest {
  /** Long and short runs, below and above a window; rows that make a strip together; channels-last. */
  private static final int[][] SHAPES = {
    {8, 1, 64, 1}, {5, 1, 3, 700}, {3, 1, 2, 9001}, {7, 1, 900, 3}, {300, 2, 5, 1}, {4, 3, 40, 70}
  };

  /**
   * No copy of the batch, which is 32 KiB, and no buffer. With the scalar loops, since vectors are
   * objects until C2 has compiled their methods.
   */
  @Test
  void aCallAllocatesLittle() {
    int features = 8;
    Elements<float[]> x = Elements.of(normal(1, 64 * features * 16));
    Elements<float[]> output = Elements.of(new float[64 * features * 16]);
    Elements<double[]> mean = Elements.of(new double[features]);
    Elements<double[]> variance = Elements.of(ones(features));
    Normalization how = how(new Geometry(64, 1, features, 16), Scope.BATCH);
    ThreadMXBean threads = (ThreadMXBean) ManagementFactory.getThreadMXBean();
    try (MemoryKernels scalar = new MemoryKernels(new FloatLoops(), Runnable::run, 1)) {
      scalar.forward(x, how, mean, variance, null, null, output);
      long before = threads.getCurrentThreadAllocatedBytes();
      for (int i = 0; i < 100; i++) {
        scalar.forward(x, how, mean, variance, null, null, output);
      }
      long perCall = (threads.getCurrentThreadAllocatedBytes() - before) / 100;
      assertTrue(perCall < 2048, () -> perCall + " bytes a call");
    }
  }

  private static Normalization how(Geometry geometry, Scope scope) {
    double weight = scope == Scope.NONE ? 0 : 0.125;
    return new Normalization(geometry, scope, weight, 1e-5, ReferenceGradient.ATTACHED);
  }

  private static float[] normal(long seed, int count) {
    Random random = new Random(seed);
    float[] numbers = new float[count];
    for (int i = 0; i < count; i++) {
      numbers[i] = (float) (3 + 2 * random.nextGaussian());
    }
    return numbers;
  }

  private static double[] ones(int count) {
    double[] ones = new double[count];
    Arrays.fill(ones, 1);
    return ones;
  }

  /** Memory that is no array, of either type: the bits that arrays have. */
  @Test
  void buffersHaveTheBitsOfArrays() {
    for (int[] shape : SHAPES) {
      Geometry geometry = new Geometry(shape[0], shape[1], shape[2], shape[3]);
      int size = (int) geometry.size();
      float[] x = normal(1, size);
      float[] dy = normal(2, size);
      x[size / 2] = 1e30f; // a feature that is computed with in 64 bits
      for (Scope scope : Scope.values()) {
        Normalization how = how(geometry, scope);
        float[] expected = new float[size];
        FloatBuffer actual = direct(size).asFloatBuffer();
        assertSame(
            run(Elements.of(x), Elements.of(dy), how, Elements.of(expected)),
            run(Elements.of(buffer(x)), Elements.of(buffer(dy)), how, Elements.of(actual)));
        float[] read = new float[size];
        actual.get(0, read);
        assertArrayEquals(expected, read);

        double[] wide = new double[size];
        DoubleBuffer wideActual = direct(size).asDoubleBuffer();
        assertSame(
            run(Elements.of(wide(x)), Elements.of(wide(dy)), how, Elements.of(wide)),
            run(
                Elements.of(wideBuffer(x)),
                Elements.of(wideBuffer(dy)),
                how,
                Elements.of(wideActual)));
        double[] wideRead = new double[size];
        wideActual.get(0, wideRead);
        assertArrayEquals(wide, wideRead);
      }
    }
  }

  private record Results(Statistics statistics, Gradients gradients) {}

  /** The output is dx + dr of the output. */
  private static Results run(Elements<?> x, Elements<?> dy, Normalization how, Elements<?> output) {
    int features = (int) how.geometry().features();
    Elements<double[]> mean = Elements.of(new double[features]);
    Elements<double[]> variance = Elements.of(ones(features));
    try (MemoryKernels kernels = new MemoryKernels(Runnable::run, 1)) {
      Statistics statistics = kernels.statistics(x, how.geometry(), Scope.BATCH);
      kernels.forward(x, how, mean, variance, variance, mean, output);
      Gradients gradients = kernels.backward(x, dy, how, mean, variance, variance, output);
      kernels.referenceGradient(
          output, how.geometry(), mean, mean, variance, how.geometry().size(), output);
      return new Results(statistics, gradients);
    }
  }

  /** Memory that fails at one of its copies: the next call is none the wiser. */
  private static final class Failing extends Elements<float[]> {
    private final Elements<float[]> sound;
    private int copies;

    Failing(float[] numbers, int copies) {
      sound = Elements.of(buffer(numbers));
      this.copies = copies;
    }

    private Elements<float[]> sound() {
      if (copies-- == 0) {
        throw new IllegalStateException("gone");
      }
      return sound;
    }

    @Override
    public DType dtype() {
      return DType.FLOAT32;
    }

    @Override
    public void load(long at, int count, float[] into, int to) {
      sound().load(at, count, into, to);
    }

    @Override
    public void store(long at, int count, float[] from, int first) {
      sound().store(at, count, from, first);
    }

    @Override
    public void read(long at, int count, double[] into) {
      sound().read(at, count, into);
    }

    @Override
    public void write(long at, int count, double[] from) {
      sound().write(at, count, from);
    }
  }

  /** Wherever it comes: sums that were begun are nobody's. */
  @Test
  void aCallThatFailsLeavesNothingToTheNext() {
    for (int[] shape : SHAPES) {
      Geometry geometry = new Geometry(shape[0], shape[1], shape[2], shape[3]);
      float[] x = normal(1, (int) geometry.size());
      try (MemoryKernels kernels = new MemoryKernels(Runnable::run, 1)) {
        Statistics expected = kernels.statistics(Elements.of(x), geometry, Scope.BATCH);
        boolean failed = true;
        for (int copies = 0; failed; copies += 1 + copies / 4) {
          Failing failing = new Failing(x, copies);
          failed = false;
          try {
            kernels.statistics(failing, geometry, Scope.BATCH);
          } catch (IllegalStateException e) {
            failed = true;
          }
          Statistics next = kernels.statistics(Elements.of(x), geometry, Scope.BATCH);
          assertArrayEquals(expected.mean(), next.mean());
          assertArrayEquals(expected.variance(), next.variance());
          assertTrue(failed || copies > 0, "no copy has failed");
        }
      }
    }
  }

  private static void assertSame(Results expected, Results actual) {
    assertArrayEquals(expected.statistics.mean(), actual.statistics.mean());
    assertArrayEquals(expected.statistics.variance(), actual.statistics.variance());
    assertArrayEquals(expected.gradients.gamma(), actual.gradients.gamma());
    assertArrayEquals(expected.gradients.beta(), actual.gradients.beta());
    assertArrayEquals(expected.gradients.referenceMean(), actual.gradients.referenceMean());
    assertArrayEquals(expected.gradients.referenceVariance(), actual.gradients.referenceVariance());
  }

  private static ByteBuffer direct(int count) {
    return ByteBuffer.allocateDirect(8 * count).order(ByteOrder.nativeOrder());
  }

  private static FloatBuffer buffer(float[] numbers) {
    return direct(numbers.length).asFloatBuffer().put(0, numbers);
  }

  private static double[] wide(float[] numbers) {
    double[] wide = new double[numbers.length];
    for (int i = 0; i < wide.length; i++) {
      wide[i] = numbers[i];
    }
    return wide;
  }

  private static DoubleBuffer wideBuffer(float[] numbers) {
    return direct(numbers.length).asDoubleBuffer().put(0, wide(numbers));
  }
}
