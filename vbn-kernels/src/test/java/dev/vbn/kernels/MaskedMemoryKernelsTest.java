package dev.vbn.kernels;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.kernels.MemoryKernels.Gradients;
import dev.vbn.kernels.MemoryKernels.Statistics;
import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.Mask;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.FloatBuffer;
import java.util.Arrays;
import java.util.Random;
import java.util.concurrent.ForkJoinPool;
import java.util.function.Consumer;
import java.util.function.IntConsumer;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * A masked batch, computed with where it lies or copied together, against plain sums of 64 bits over
 * what counts. All else is NaN, and 0 in results.
 */
class MaskedMemoryKernelsTest {
  private static final double WEIGHT = 0.125;
  private static final double EPSILON = 1e-5;

  /** A batch, and what counts of it. */
  record Masked(String name, Geometry geometry, boolean[] counts) {
    static Masked of(String name, Mask mask, int axis, long... shape) {
      Geometry geometry = Geometry.of(shape, axis, mask);
      Counted counted = geometry.counted();
      boolean[] counts = new boolean[(int) geometry.size()];
      for (int i = 0; i < counts.length; i++) {
        long after = geometry.after();
        long row = i / after / geometry.features();
        counts[i] = counted.counts(row / geometry.before(), row % geometry.before(), i % after);
      }
      return new Masked(name, geometry, counts);
    }

    @Override
    public String toString() {
      return name;
    }

    int feature(int element) {
      return (int) (element / geometry.after() % geometry.features());
    }

    int example(int element) {
      return (int) (element / (geometry.size() / geometry.batch()));
    }
  }

  private static Mask random(long seed, int spans, int... shape) {
    Random random = new Random(seed);
    boolean[] counts = new boolean[Arrays.stream(shape).reduce(1, Math::multiplyExact)];
    for (int i = 0; i < counts.length; ) {
      boolean value = random.nextBoolean();
      int end = Math.min(counts.length, i + 1 + random.nextInt(spans));
      Arrays.fill(counts, i, end, value);
      i = end;
    }
    return Mask.of(counts, Arrays.stream(shape).asLongStream().toArray());
  }

  static Stream<Masked> batches() {
    return Stream.of(
        Masked.of("lengths of long rows", Mask.lengths(1000, 300, 0, 1, 555), 1, 5, 3, 1000),
        Masked.of("lengths of rows", Mask.lengths(100, 128, 77, 128, 0), 1, 5, 70, 128),
        Masked.of("lengths of short rows", Mask.lengths(3, 8, 1, 7, 0), 1, 5, 300, 8),
        Masked.of("lengths of last axis", Mask.lengths(90, 33).along(-1), 1, 2, 5, 6, 100),
        Masked.of("lengths of first axis", Mask.lengths(3, 6), 1, 2, 5, 6, 100),
        Masked.of("lengths, channels-last", Mask.lengths(300, 12, 0, 200), -1, 4, 300, 16),
        Masked.of("lengths, many features", Mask.lengths(3, 30, 0, 20), -1, 4, 30, 3000),
        Masked.of("lengths of image rows", Mask.lengths(3, 5).along(2), -1, 2, 9, 6, 40),
        Masked.of("lengths, features between", Mask.lengths(9, 4).along(1), 2, 2, 9, 6, 40),
        Masked.of("single elements", random(1, 1, 6, 200), 1, 6, 5, 200),
        Masked.of("short spans", random(2, 30, 6, 700), 1, 6, 5, 700),
        Masked.of("long spans", random(3, 900, 4, 3000), 1, 4, 3, 3000),
        Masked.of("single positions, channels-last", random(4, 1, 6, 50), -1, 6, 50, 9),
        Masked.of("spans, channels-last", random(5, 40, 6, 500), -1, 6, 500, 12),
        Masked.of("examples", random(6, 1, 300), -1, 300, 20),
        Masked.of("single elements of short rows", random(9, 1, 40, 8), 1, 40, 130, 8),
        Masked.of("spans of short odd rows", random(10, 3, 30, 5), 1, 30, 333, 5),
        Masked.of("spans of rows of 20", random(11, 9, 17, 20), 1, 17, 60, 20),
        Masked.of("spans, features between", random(12, 30, 3, 4, 50), 2, 3, 4, 9, 50),
        Masked.of("a part and more", random(7, 9000, 2, 300_000), 1, 2, 1, 300_000),
        Masked.of("parts of rows", random(8, 900, 20, 9000), -1, 20, 9000, 2));
  }

  private static float[] batch(Masked masked, long seed) {
    Random random = new Random(seed);
    float[] batch = new float[(int) masked.geometry.size()];
    for (int i = 0; i < batch.length; i++) {
      float value = (float) (50 + 2 * random.nextGaussian());
      batch[i] = masked.counts[i] ? value : Float.NaN;
    }
    return batch;
  }

  /** By the definition, in 64 bits. */
  private static final class Expected {
    final double[] mean;
    final double[] variance;
    final double[] count;
    final int[] group;
    final int features;

    Expected(Masked masked, float[] x, boolean perExample) {
      features = (int) masked.geometry.features();
      int groups = perExample ? (int) masked.geometry.batch() : 1;
      mean = new double[groups * features];
      variance = new double[groups * features];
      count = new double[groups * features];
      group = new int[x.length];
      for (int i = 0; i < x.length; i++) {
        group[i] = (perExample ? masked.example(i) * features : 0) + masked.feature(i);
      }
      forEach(masked, i -> {
        count[group[i]]++;
        mean[group[i]] += x[i];
      });
      Arrays.setAll(mean, i -> mean[i] / count[i]); // NaN where nothing counts
      forEach(masked, i -> variance[group[i]] += square(x[i] - mean[group[i]]) / count[group[i]]);
      Arrays.setAll(variance, i -> count[i] == 0 ? Double.NaN : variance[i]);
    }

    static void forEach(Masked masked, IntConsumer action) {
      for (int i = 0; i < masked.geometry.size(); i++) {
        if (masked.counts[i]) {
          action.accept(i);
        }
      }
    }

    double mixedMean(int i) {
      return 49 + WEIGHT * (mean[group[i]] - 49);
    }

    double deviation(int i) {
      double d = mean[group[i]] - 49;
      return Math.sqrt(
          (1 - WEIGHT) * 4 + WEIGHT * variance[group[i]] + WEIGHT * (1 - WEIGHT) * d * d + EPSILON);
    }
  }

  private static double square(double d) {
    return d * d;
  }

  private static void withKernels(Consumer<MemoryKernels> action) {
    for (int parallelism : new int[] {1, 3}) {
      try (MemoryKernels kernels = new MemoryKernels(ForkJoinPool.commonPool(), parallelism)) {
        action.accept(kernels);
      }
      for (FloatLoops loops : new FloatLoops[] {new FloatLoops(), new Blending()}) {
        try (MemoryKernels kernels =
            new MemoryKernels(loops, ForkJoinPool.commonPool(), parallelism)) {
          action.accept(kernels);
        }
      }
    }
  }

  /** Scalar loops that go through all rows as wholes. */
  private static final class Blending extends FloatLoops {
    @Override
    boolean blends(double span, double share) {
      return true;
    }
  }

  private static float[] sevens(int length) {
    float[] sevens = new float[length];
    Arrays.fill(sevens, 7);
    return sevens;
  }

  private static FloatBuffer direct(float[] numbers) {
    return ByteBuffer.allocateDirect(4 * numbers.length)
        .order(ByteOrder.nativeOrder())
        .asFloatBuffer()
        .put(0, numbers);
  }

  private static double[] filled(double value, int length) {
    double[] filled = new double[length];
    Arrays.fill(filled, value);
    return filled;
  }

  private static Normalization how(Masked masked, Scope scope) {
    return new Normalization(masked.geometry, scope, WEIGHT, EPSILON, ReferenceGradient.ATTACHED);
  }

  @ParameterizedTest
  @MethodSource("batches")
  void statisticsAreThoseOfWhatCounts(Masked masked) {
    float[] x = batch(masked, 1);
    for (boolean perExample : new boolean[] {false, true}) {
      Expected expected = new Expected(masked, x, perExample);
      Scope scope = perExample ? Scope.EXAMPLE : Scope.BATCH;
      withKernels(kernels -> {
        for (Elements<?> memory : new Elements<?>[] {Elements.of(x), Elements.of(direct(x))}) {
          Statistics actual = kernels.statistics(memory, masked.geometry, scope);
          assertClose(expected.mean, actual.mean(), 1e-6);
          assertClose(expected.variance, actual.variance(), 1e-5);
        }
      });
    }
  }

  private static void assertClose(double[] expected, double[] actual, double tolerance) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      if (Double.isNaN(expected[i])) {
        assertEquals(Double.NaN, actual[i]);
      } else {
        assertNear(expected[i], actual[i], tolerance * Math.max(1, Math.abs(expected[i])), i);
      }
    }
  }

  private static void assertNear(double expected, double actual, double tolerance, int at) {
    if (!(Math.abs(expected - actual) <= tolerance)) {
      fail("at " + at + " is " + actual + "; expected " + expected);
    }
  }

  @ParameterizedTest
  @MethodSource("batches")
  void outputsAreThoseOfWhatCountsAndElse0(Masked masked) {
    float[] x = batch(masked, 1);
    int features = (int) masked.geometry.features();
    for (boolean perExample : new boolean[] {false, true}) {
      Expected expected = new Expected(masked, x, perExample);
      Normalization how = how(masked, perExample ? Scope.EXAMPLE : Scope.BATCH);
      withKernels(kernels -> {
        float[] output = sevens(x.length);
        FloatBuffer buffer = direct(output);
        Elements<?> mean = Elements.of(filled(49, features));
        Elements<?> variance = Elements.of(filled(4, features));
        kernels.forward(Elements.of(x), how, mean, variance, null, null, Elements.of(output));
        kernels.forward(
            Elements.of(direct(x)), how, mean, variance, null, null, Elements.of(buffer));
        float[] inPlace = x.clone();
        Elements<?> both = Elements.of(inPlace);
        kernels.forward(both, how, mean, variance, null, null, both);
        for (int i = 0; i < x.length; i++) {
          double y = masked.counts[i] ? (x[i] - expected.mixedMean(i)) / expected.deviation(i) : 0;
          assertNear(y, output[i], 1e-5, i);
          assertNear(y, buffer.get(i), 1e-5, i);
          assertNear(y, inPlace[i], 1e-5, i);
        }
      });
    }
  }

  @ParameterizedTest
  @MethodSource("batches")
  void gradientsAreThoseOfWhatCountsAndElse0(Masked masked) {
    float[] x = batch(masked, 1);
    float[] dy = batch(masked, 2);
    for (int i = 0; i < dy.length; i++) {
      dy[i] = (dy[i] - 50) / 2;
    }
    int features = (int) masked.geometry.features();
    for (boolean perExample : new boolean[] {false, true}) {
      Expected expected = new Expected(masked, x, perExample);
      double[] a = new double[expected.mean.length];
      double[] b = new double[expected.mean.length];
      Expected.forEach(masked, i -> {
        double xh = (x[i] - expected.mixedMean(i)) / expected.deviation(i);
        a[expected.group[i]] += dy[i];
        b[expected.group[i]] += dy[i] * xh;
      });
      double[] dgamma = new double[features];
      double[] dbeta = new double[features];
      for (int i = 0; i < a.length; i++) {
        dbeta[i % features] += a[i];
        dgamma[i % features] += b[i];
      }
      Normalization how = how(masked, perExample ? Scope.EXAMPLE : Scope.BATCH);
      withKernels(kernels -> {
        for (boolean buffers : new boolean[] {false, true}) {
          float[] dx = sevens(x.length);
          FloatBuffer buffer = direct(dx);
          Gradients actual = kernels.backward(
              buffers ? Elements.of(direct(x)) : Elements.of(x),
              buffers ? Elements.of(direct(dy)) : Elements.of(dy),
              how,
              Elements.of(filled(49, features)),
              Elements.of(filled(4, features)),
              null,
              buffers ? Elements.of(buffer) : Elements.of(dx));
          assertClose(dgamma, actual.gamma(), 2e-5);
          assertClose(dbeta, actual.beta(), 2e-5);
          for (int i = 0; i < x.length; i++) {
            int group = expected.group[i];
            double s = expected.deviation(i);
            double xh = (x[i] - expected.mixedMean(i)) / s;
            double share = WEIGHT / expected.count[group] * (a[group] + xh * b[group]);
            double slope = masked.counts[i] ? (dy[i] - share) / s : 0;
            assertNear(slope, buffers ? buffer.get(i) : dx[i], 1e-5, i);
          }
        }
      });
    }
  }

  /** What is written without sums, and what is summed without being written. */
  @ParameterizedTest
  @MethodSource("batches")
  void linesAndSumsAreThoseOfWhatCounts(Masked masked) {
    float[] x = batch(masked, 1);
    int groups = (int) masked.geometry.batch();
    int features = (int) masked.geometry.features();
    GroupLines lines = new GroupLines(
        filled(50, groups * features),
        filled(2, groups * features),
        null,
        filled(3, groups * features));
    Normalization how =
        new Normalization(masked.geometry, Scope.EXAMPLE, 0, 0, ReferenceGradient.DETACHED);
    double[] sums = new double[groups * features];
    Expected.forEach(masked, i -> sums[masked.example(i) * features + masked.feature(i)] += x[i]);
    withKernels(kernels -> {
      float[] output = sevens(x.length);
      kernels.write(
          Elements.of(x), null, masked.geometry, Scope.EXAMPLE, lines, Elements.of(output));
      for (int i = 0; i < x.length; i++) {
        assertNear(masked.counts[i] ? 2 * (x[i] - 50.0) + 3 : 0, output[i], 1e-5, i);
      }
      GroupSums actual = kernels.sums(
          Elements.of(x),
          Elements.of(x),
          how,
          Elements.of(filled(0, features)),
          Elements.of(filled(1, features)));
      assertClose(sums, actual.upstream(), 1e-6);
    });
  }

  /** A feature whose squares overflow 32 bits is summed in 64, over what counts too. */
  @Test
  void whatIsSummedAgainIsWhatCounts() {
    for (Masked masked : batches().toList()) {
      float[] x = batch(masked, 1);
      for (int i = 0; i < x.length; i++) {
        x[i] *= masked.feature(i) == 0 ? 1e25f : 1;
      }
      Expected expected = new Expected(masked, x, false);
      withKernels(kernels -> {
        Statistics actual = kernels.statistics(Elements.of(x), masked.geometry, Scope.BATCH);
        assertClose(expected.mean, actual.mean(), 1e-6);
        assertClose(expected.variance, actual.variance(), 1e-5);
      });
    }
  }

  /** With one set of kernels for all batches, masked and not. */
  @Test
  void whatCameBeforeChangesNoBit() {
    withKernels(kernels -> {
      for (Masked masked : batches().toList()) {
        float[] x = batch(masked, 1);
        float[] whole = new float[x.length];
        for (int i = 0; i < x.length; i++) {
          whole[i] = masked.counts[i] ? x[i] : 51;
        }
        Geometry geometry = masked.geometry;
        Geometry all = new Geometry(
            geometry.batch(), geometry.before(), geometry.features(), geometry.after());
        Statistics first = kernels.statistics(Elements.of(x), geometry, Scope.BATCH);
        Statistics unmasked = kernels.statistics(Elements.of(whole), all, Scope.BATCH);
        Statistics again = kernels.statistics(Elements.of(x), geometry, Scope.BATCH);
        assertArrayEquals(first.mean(), again.mean());
        assertArrayEquals(first.variance(), again.variance());
        kernels.statistics(Elements.of(x), geometry, Scope.EXAMPLE);
        assertArrayEquals(
            unmasked.mean(),
            kernels.statistics(Elements.of(whole), all, Scope.BATCH).mean());
      }
    });
  }

  /** No bit of an example depends on what counts of its companions, nor on whether all of them does. */
  @ParameterizedTest
  @MethodSource("batches")
  void anExampleDoesNotDependOnItsCompanions(Masked masked) {
    float[] x = batch(masked, 4);
    float[] dy = batch(masked, 5);
    Geometry geometry = masked.geometry;
    int size = x.length / (int) geometry.batch();
    int features = (int) geometry.features();
    withKernels(kernels -> {
      float[] all = new float[x.length];
      backward(kernels, x, dy, geometry, features, all);
      for (int example = 0; example < geometry.batch(); example++) {
        if (geometry.counted().elements(example) == 0) {
          continue;
        }
        Geometry one = alone(masked, example);
        float[] dx = new float[size];
        int from = example * size;
        backward(
            kernels,
            Arrays.copyOfRange(x, from, from + size),
            Arrays.copyOfRange(dy, from, from + size),
            one,
            features,
            dx);
        assertArrayEquals(Arrays.copyOfRange(all, from, from + size), dx);
      }
    });
  }

  private static void backward(
      MemoryKernels kernels, float[] x, float[] dy, Geometry geometry, int features, float[] dx) {
    Normalization how =
        new Normalization(geometry, Scope.EXAMPLE, WEIGHT, EPSILON, ReferenceGradient.DETACHED);
    kernels.backward(
        Elements.of(x),
        Elements.of(dy),
        how,
        Elements.of(filled(49, features)),
        Elements.of(filled(4, features)),
        null,
        Elements.of(dx));
  }

  /** One example of the batch, channels in the middle of its shape. */
  private static Geometry alone(Masked masked, int example) {
    Geometry geometry = masked.geometry;
    int positions = (int) (geometry.before() * geometry.after());
    boolean[] counts = new boolean[positions];
    for (int i = 0; i < positions; i++) {
      counts[i] = geometry.counted().counts(example, i / geometry.after(), i % geometry.after());
    }
    long[] shape = {1, geometry.before(), geometry.features(), geometry.after()};
    return Geometry.of(shape, 2, Mask.of(counts, 1, geometry.before(), geometry.after()));
  }

  /** All ways of going through a masked batch are among those tried. */
  @Test
  void someArePackedAndSomeAreNot() {
    assertEquals(
        2,
        batches()
            .map(masked ->
                Counts.of(masked.geometry, masked.geometry.counted(), 0, 1).span()
                    < new FloatLoops().longSpan())
            .distinct()
            .count());
  }
}
