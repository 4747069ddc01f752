package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.training.GradientCollector;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Where arithmetic of the batch's own width would not do; on whichever engine the subclass is run. */
abstract class Extremes {
  /** Few elements and many, in the layouts that are summed in different ways. */
  private static final long[][] SHAPES = {{5, 2}, {64, 3, 37}, {7, 3, 1000}, {64, 1, 5000}};

  private EngineHere here;

  @BeforeEach
  void open() {
    here = EngineHere.open();
  }

  @AfterEach
  void close() {
    if (here != null) {
      here.close();
    }
  }

  private NDArray array(double[] values, DataType type, long... shape) {
    return Workspace.copyOf(here.manager, values, new Shape(shape), type);
  }

  private NDArray full(double value, DataType type, long... shape) {
    double[] values = new double[Math.toIntExact(new Shape(shape).size())];
    Arrays.fill(values, value);
    return array(values, type, shape);
  }

  /** Their deviations from the mean are 0, so that beta is left, to the bit. */
  private void checkConstants(
      double value, double epsilon, double beta, DataType type, Variant variant, long[] shape) {
    String what = value + " as " + type + " in " + new Shape(shape) + ", " + variant + ", epsilon "
        + epsilon + ", beta " + beta;
    VbnConfig config = VbnConfig.of((int) shape[1]).withVariant(variant).withEpsilon(epsilon);
    VirtualBatchNorm<NDArray> layer =
        VirtualBatchNorm.of(here.backend, config).withBeta(full(beta, type, shape[1]));
    double expected = type == DataType.FLOAT64 ? beta : (float) beta;
    try (NDArray x = full(value, type, shape);
        ReferenceOutput<NDArray> reference = layer.reference(x);
        Output<NDArray> live = layer.forward(x, reference.statistics())) {
      for (double element : EngineHere.doubles(reference.output())) {
        assertEquals(expected, element, "reference pass, " + what);
      }
      for (double element : EngineHere.doubles(live.output())) {
        assertEquals(expected, element, what);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {1, 1234.5678, 1e13, 1e38, 3e-39})
  void constantsGiveBeta(double value) {
    for (long[] shape : SHAPES) {
      for (Variant variant : Variant.values()) {
        checkConstants(value, 1e-5, 4, DataType.FLOAT32, variant, shape);
        checkConstants(value, 1e-5, 1e-6, DataType.FLOAT32, variant, shape);
      }
    }
  }

  /** A slope that has no place in the type, against differences of 0. */
  @Test
  void constantsGiveBetaWhateverEpsilonIs() {
    for (Variant variant : Variant.values()) {
      checkConstants(3, 1e-300, 4, DataType.FLOAT32, variant, SHAPES[1]);
      checkConstants(1e38, 1e-300, 4, DataType.FLOAT32, variant, SHAPES[2]);
      checkConstants(1e307, 1e-5, 4, DataType.FLOAT64, variant, SHAPES[2]);
      checkConstants(1e307, 1e-300, 4, DataType.FLOAT64, variant, SHAPES[1]);
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void aVarianceThatOverflowsIsInfiniteAndLeavesBeta(Variant variant) {
    for (long[] shape : SHAPES) {
      for (double size : new double[] {1e200, 1e307}) {
        double[] values = new double[Math.toIntExact(new Shape(shape).size())];
        Arrays.setAll(values, i -> (i % 3 - 1) * size * (1 + i * 1e-6));
        VirtualBatchNorm<NDArray> layer = VirtualBatchNorm.of(
                here.backend, VbnConfig.of((int) shape[1]).withVariant(variant))
            .withBeta(full(4, DataType.FLOAT64, shape[1]));
        try (NDArray x = array(values, DataType.FLOAT64, shape);
            NDArray dy = full(1, DataType.FLOAT64, shape);
            ReferenceOutput<NDArray> reference = layer.reference(x);
            Output<NDArray> live = layer.forward(x, reference.statistics());
            Gradients<NDArray> gradients = layer.backward(x, reference.statistics(), dy)) {
          assertAll(Double.POSITIVE_INFINITY, reference.statistics().variance(), "variance");
          assertAll(4, reference.output(), "reference pass");
          assertAll(4, live.output(), "output");
          assertAll(0, gradients.dx(), "dx");
          assertAll(0, gradients.dgamma(), "dgamma");
        }
      }
    }
  }

  private static void assertAll(double expected, NDArray actual, String what) {
    for (double element : EngineHere.doubles(actual)) {
      assertEquals(expected, element, 0, what); // -0 is 0
    }
  }

  /** A padded element, whose upstream is 0, and a mean far from 0. */
  @ParameterizedTest
  @ValueSource(doubles = {0, 1e9, 1e20})
  void sumsOfGammasGradientDoNotCancel(double padding) {
    for (Variant variant :
        new Variant[] {Variant.BATCH, Variant.PER_EXAMPLE, Variant.REFERENCE_ONLY}) {
      for (double mean : new double[] {0, 100, 1e6}) {
        for (int positions : new int[] {7, 64, 500}) {
          checkGammasGradient(variant, mean, padding, positions, false);
        }
      }
    }
  }

  /** An upstream for the element alone that is nearest to the mean, which itself is not near 0. */
  @Test
  void sumsOfGammasGradientGoByTheirTerms() {
    for (int positions : new int[] {7, 64, 500}) {
      checkGammasGradient(Variant.BATCH, 3, 0, positions, true);
      checkGammasGradient(Variant.REFERENCE_ONLY, 3, 0, positions, true);
    }
  }

  private void checkGammasGradient(
      Variant variant, double mean, double padding, int positions, boolean nearestAlone) {
    int examples = 4;
    int referenceExamples = 20000;
    Random random = new Random(positions);
    double[] r = new double[referenceExamples];
    Arrays.setAll(r, i -> (float) (mean + random.nextGaussian()));
    double[] x = new double[examples * positions];
    Arrays.setAll(x, i -> (float) (mean + random.nextGaussian()));
    double[] dy = new double[x.length];
    Arrays.setAll(dy, i -> (float) random.nextGaussian());
    if (padding != 0) {
      x[3] = (float) padding;
      dy[3] = 0;
    }
    if (nearestAlone) {
      double nearest =
          Arrays.stream(x).map(value -> Math.abs(value - mean)).min().getAsDouble();
      Arrays.setAll(dy, i -> Math.abs(x[i] - mean) == nearest ? 1 : 0);
    }
    VbnConfig config = VbnConfig.of(1).withVariant(variant);
    NDArray gamma = full(1.5, DataType.FLOAT32, 1);
    NDArray batch = array(x, DataType.FLOAT32, examples, 1, positions);
    NDArray upstream = array(dy, DataType.FLOAT32, examples, 1, positions);
    VirtualBatchNorm<NDArray> layer = VirtualBatchNorm.of(here.backend, config).withGamma(gamma);
    try (NDArray frozen = array(r, DataType.FLOAT32, referenceExamples, 1, 1);
        ReferenceStatistics<NDArray> statistics = layer.referenceStatistics(frozen);
        Gradients<NDArray> gradients = layer.backward(batch, statistics, upstream)) {
      double w = variant == Variant.REFERENCE_ONLY ? 0 : 1 / (referenceExamples + 1.0);
      int group = variant == Variant.PER_EXAMPLE ? positions : x.length;
      double expected = 0;
      double terms = 0;
      double mr = statistics.moments().mean()[0];
      double vr = statistics.moments().variance()[0];
      for (int from = 0; from < x.length; from += group) {
        double[] part = Arrays.copyOfRange(x, from, from + group);
        double ma = Arrays.stream(part).sum() / group;
        double va =
            Arrays.stream(part).map(value -> (value - ma) * (value - ma)).sum() / group;
        double m = mr + w * (ma - mr);
        double v = (1 - w) * vr + w * va + w * (1 - w) * (ma - mr) * (ma - mr);
        for (int i = 0; i < group; i++) {
          double term = dy[from + i] * (part[i] - m) / Math.sqrt(v + config.epsilon());
          expected += term;
          terms += Math.abs(term);
        }
      }
      String what =
          variant + ", mean " + mean + ", padding " + padding + ", positions " + positions;
      double bound = 4 * Math.scalb(terms, -24);
      assertEquals(expected, gradients.dgamma().getFloat(), bound, what);
      if (nearestAlone) {
        return;
      }

      gamma.setRequiresGradient(true);
      try (GradientCollector collector = here.engine.newGradientCollector()) {
        collector.backward(
            layer.forward(batch, statistics).output().mul(upstream).sum());
      }
      // A library's own sums, around a centre that is a few deviations off at most.
      assertEquals(expected, gamma.getGradient().getFloat(), 4 * bound, "recorded, " + what);
    }
  }

  /**
   * A mean that is not at 0, but not far either: squares summed around 0 would lose as many
   * digits as it has squared deviations.
   */
  @ParameterizedTest
  @ValueSource(doubles = {0, 0.9, 1.1, 2, 3, 3.9, 4.1, 30})
  void aMeanSomeDeviationsFromZeroCostsNoDigits(double distance) {
    for (long[] shape : new long[][] {{3, 20_000}, {3, 7000, 3}, {16, 1000, 2}, {9, 40, 129}}) {
      Random random = new Random(shape[1]);
      int features = (int) shape[1];
      double[] sizes = random.doubles(features, 0.5, 2).toArray();
      int positions = shape.length == 2 ? 1 : (int) shape[2];
      double[] x = new double[Math.toIntExact(new Shape(shape).size())];
      Arrays.setAll(x, i -> (float) (sizes[i / positions % features]
          * (distance + Math.sqrt(3) * (2 * random.nextDouble() - 1))));
      double[] dy = new double[x.length];
      Arrays.setAll(dy, i -> (float) (2 * random.nextDouble() - 1));
      VirtualBatchNorm<NDArray> layer = VirtualBatchNorm.of(
          here.backend,
          VbnConfig.of(features)
              .withVariant(Variant.REFERENCE_ONLY)
              .withReferenceGradient(ReferenceGradient.ATTACHED));
      try (NDArray batch = array(x, DataType.FLOAT32, shape);
          NDArray upstream = array(dy, DataType.FLOAT32, shape);
          ReferenceOutput<NDArray> reference = layer.reference(batch);
          Output<NDArray> live = layer.forward(batch, reference.statistics());
          Gradients<NDArray> gradients =
              layer.referenceBackward(batch, reference.statistics(), upstream)) {
        double[] pass = EngineHere.doubles(reference.output());
        double[] output = EngineHere.doubles(live.output());
        double[] dx = EngineHere.doubles(gradients.dx());
        for (int feature = 0; feature < features; feature++) {
          int own = feature;
          int[] group = IntStream.range(0, x.length / features)
              .map(i -> (i / positions * features + own) * positions + i % positions)
              .toArray();
          checkGroup(group, x, dy, pass, output, dx, distance + " in " + new Shape(shape));
        }
      }
    }
  }

  /** Batch norm of a group and its backward, in 64 bits; sixteen roundings are what the kit allows. */
  private static void checkGroup(
      int[] group,
      double[] x,
      double[] dy,
      double[] pass,
      double[] output,
      double[] dx,
      String what) {
    int n = group.length;
    double m = Arrays.stream(group).mapToDouble(i -> x[i]).sum() / n;
    double v = Arrays.stream(group).mapToDouble(i -> (x[i] - m) * (x[i] - m)).sum() / n;
    double s = Math.sqrt(v + 1e-5);
    double a = Arrays.stream(group).mapToDouble(i -> dy[i]).sum() / n;
    double b = Arrays.stream(group).mapToDouble(i -> dy[i] * (x[i] - m) / s).sum() / n;
    double largest = 1;
    for (int i : group) {
      largest = Math.max(largest, Math.abs(x[i] - m) / s);
    }
    double bound = Math.scalb(16 * largest, -24);
    for (int i : group) {
      double xh = (x[i] - m) / s;
      assertEquals(xh, pass[i], bound, what);
      assertEquals(xh, output[i], bound, what);
      assertEquals((dy[i] - a - xh * b) / s, dx[i], bound * largest / s, what);
    }
  }

  @Test
  void whatDoesNotFitAnArrayOfJavaIsRefused() {
    Geometry groups = new Geometry(1L << 20, 1, 1L << 11, 1);
    String message = assertThrows(
            IllegalArgumentException.class, () -> new Layout(groups, Scope.EXAMPLE))
        .getMessage();
    assertTrue(message.contains("1048576 groups for each of 2048 features"), message);
    assertEquals(1L << 31, new Layout(groups, Scope.BATCH).elements() * groups.features());

    NDArray wide = here.manager.zeros(new Shape(1)).broadcast(new Shape(1L << 29));
    message = assertThrows(
            IllegalArgumentException.class, () -> new DjlTensors(here.manager).toHost(wide))
        .getMessage();
    assertTrue(message.contains("536870912 elements of 4 bytes"), message);
  }

  /** DJL would give shape and type of an array that is closed, once it has been asked for them. */
  @Test
  void aClosedArrayIsRefused() {
    NDArray array = full(1, DataType.FLOAT32, 2, 3);
    NDArray owned = here.backend.fromHost(here.backend.toHost(array));
    assertEquals(here.backend.dtype(owned), here.backend.dtype(array));
    assertEquals(2, here.backend.shape(array)[0]);
    assertEquals(2, here.backend.shape(owned)[0]);
    DjlTensors tensors = new DjlTensors(here.manager);
    array.close();
    here.backend.close();
    for (NDArray freed : new NDArray[] {array, owned}) {
      assertThrows(IllegalStateException.class, () -> tensors.shape(freed));
      assertThrows(IllegalStateException.class, () -> tensors.dtype(freed));
      assertThrows(IllegalStateException.class, () -> tensors.toHost(freed));
      tensors.release(freed);
    }
  }
}
