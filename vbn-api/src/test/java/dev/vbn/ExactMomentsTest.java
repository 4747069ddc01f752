package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.Shapes;
import dev.vbn.testing.Streams;
import java.io.InvalidObjectException;
import java.lang.management.ManagementFactory;
import java.math.BigDecimal;
import java.nio.ByteBuffer;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.DoubleSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Exact sums: against decimal arithmetic, in every order, from every layout, and over streams. */
final class ExactMomentsTest {
  private static final double NAN = Double.NaN;
  private static final double INFINITY = Double.POSITIVE_INFINITY;
  private static final double LARGEST = Double.MAX_VALUE;
  private static final double LEAST = Double.MIN_VALUE;

  /** Finite values of one character each, from a seed. */
  enum Values {
    USUAL {
      @Override
      double next(Random random) {
        return 3 + random.nextGaussian();
      }
    },
    FAR_FROM_ZERO {
      @Override
      double next(Random random) {
        return -1e9 + random.nextGaussian();
      }
    },
    ANY {
      @Override
      double next(Random random) {
        return finite(() -> Double.longBitsToDouble(random.nextLong()));
      }
    },
    ANY_FLOAT {
      @Override
      double next(Random random) {
        return finite(() -> Float.intBitsToFloat(random.nextInt()));
      }
    },
    SUBNORMAL {
      @Override
      double next(Random random) {
        return Double.longBitsToDouble(random.nextLong() & 0x800fffffffffffffL);
      }
    },
    LARGE {
      @Override
      double next(Random random) {
        return Math.copySign(LARGEST, random.nextGaussian()) * (1 - 0.1 * random.nextDouble());
      }
    },
    SPARSE {
      @Override
      double next(Random random) {
        return Math.max(0, random.nextGaussian());
      }
    };

    abstract double next(Random random);

    double[] array(int length, long seed) {
      Random random = new Random(seed);
      double[] values = new double[length];
      Arrays.setAll(values, i -> next(random));
      return values;
    }

    private static double finite(DoubleSupplier values) {
      while (true) {
        double value = values.getAsDouble();
        if (Double.isFinite(value)) {
          return value;
        }
      }
    }
  }

  @Test
  void smallNumbers() {
    var moments = new ExactMoments(2)
        .add(new double[] {1, 0.1})
        .add(new float[] {3, 0.5f})
        .add(HostTensor.of(new double[] {5, 0.1, -1, 0.1, 8, 0.1}, 3, 2), 1);
    var result = moments.result();

    assertEquals(5, result.examples());
    assertEquals(5, result.elements());
    // sums 16 and 0.9, sums of squares 100 and 0.29
    assertArrayEquals(new double[] {3.2, 0.18}, result.mean());
    assertEquals(9.76, result.variance()[0]);
    assertEquals(0.0256, result.variance()[1], 1e-17);
    assertTrue(result.isFinite());
    assertEquals(2, moments.features());
    assertEquals(5, moments.examples());
    assertEquals(5, moments.elements());
    assertArrayEquals(new long[2], moments.nonFinite());
    assertEquals("ExactMoments(features=2, examples=5, elements=5)", moments.toString());
  }

  @ParameterizedTest
  @EnumSource(Values.class)
  void theResultIsTheNearestDouble(Values values) {
    for (int seed = 0; seed < 25; seed++) {
      double[] x = values.array(1 + 2 * seed * seed, seed);
      var result = new ExactMoments(1).add(HostTensor.of(x, x.length, 1), 1).result();

      assertExact(x, result);
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Values.class,
      names = {"USUAL", "ANY_FLOAT", "SPARSE"})
  void floatsGiveWhatTheirDoublesGive(Values values) {
    for (int seed = 0; seed < 25; seed++) {
      double[] wide = values.array(1 + 2 * seed * seed, seed);
      float[] x = new float[wide.length];
      for (int i = 0; i < x.length; i++) {
        x[i] = (float) wide[i];
        wide[i] = x[i];
      }
      var result = new ExactMoments(1).add(HostTensor.of(x, x.length, 1), 1).result();

      assertExact(wide, result);
      assertEquals(new ExactMoments(1).add(HostTensor.of(wide, x.length, 1), 1).result(), result);
    }
  }

  /** One feature against the sums in decimal arithmetic, which nothing rounds. */
  private static void assertExact(double[] x, ReferenceMoments result) {
    BigDecimal sum = BigDecimal.ZERO;
    BigDecimal squares = BigDecimal.ZERO;
    for (double value : x) {
      BigDecimal decimal = new BigDecimal(value);
      sum = sum.add(decimal);
      squares = squares.add(decimal.multiply(decimal));
    }
    BigDecimal n = BigDecimal.valueOf(x.length);
    assertNearest(sum, n, result.mean()[0]);
    assertNearest(
        n.multiply(squares).subtract(sum.multiply(sum)), n.multiply(n), result.variance()[0]);
  }

  private static void assertNearest(BigDecimal dividend, BigDecimal divisor, double actual) {
    BigDecimal distance = distance(dividend, divisor, actual);
    for (double other : new double[] {Math.nextDown(actual), Math.nextUp(actual)}) {
      int order = distance.compareTo(distance(dividend, divisor, other));
      boolean even = (Double.doubleToRawLongBits(actual) & 1) == 0;
      assertTrue(
          order < 0 || (order == 0 && even) || other == actual,
          () -> dividend + " / " + divisor + " became " + actual + " rather than " + other);
    }
  }

  private static BigDecimal distance(BigDecimal dividend, BigDecimal divisor, double value) {
    // Infinity rounds like the double that would come after the largest.
    BigDecimal decimal = Double.isInfinite(value)
        ? BigDecimal.valueOf(Math.signum(value)).multiply(BigDecimal.valueOf(2).pow(1024))
        : new BigDecimal(value);
    return dividend.subtract(decimal.multiply(divisor)).abs();
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1.0000000000000002, 1",
    "1.0000000000000002, 1.0000000000000004, 1.0000000000000004",
    "4.9E-324, 0, 0",
    "1.5E-323, 0, 1.0E-323",
    "-4.9E-324, 0, -0.0",
    "2.2250738585072014E-308, 2.225073858507201E-308, 2.2250738585072014E-308",
    "1.7976931348623157E308, 1.7976931348623157E308, 1.7976931348623157E308",
    "0, -0.0, 0"
  })
  void aMeanHalfWayBetweenDoublesIsTheEvenOne(double one, double other, double mean) {
    var result =
        new ExactMoments(1).add(new double[] {one}).add(new double[] {other}).result();

    assertArrayEquals(new double[] {mean}, result.mean());
  }

  @Test
  void aVarianceBeyondDoublesIsInfinite() {
    var result = new ExactMoments(2)
        .add(new double[] {LARGEST, 0x1p512})
        .add(new double[] {-LARGEST, -0x1p511})
        .result();

    assertArrayEquals(new double[] {0, 0x1p510}, result.mean());
    assertArrayEquals(new double[] {INFINITY, 0x1.2p1023}, result.variance());
    assertFalse(result.isFinite());
  }

  /** All orders of awkward numbers, and all ways to split each order in two. */
  @Test
  void everyOrderAndSplitGivesTheSameBits() throws Exception {
    double[] awkward = {1e300, -1e300, 1e-300, -3 * LEAST, 0.1, 0x1.fffffep-127f};
    var expected = new ExactMoments(1).add(HostTensor.of(awkward, 6, 1), 1);
    var expectedResult = expected.result();
    byte[] expectedStream = Streams.write(expected);
    assertExact(awkward, expectedResult);
    List<double[]> orders = new ArrayList<>();
    permute(awkward, 0, orders);
    assertEquals(720, orders.size());

    for (double[] order : orders) {
      for (int split = 0; split <= order.length; split++) {
        var left = new ExactMoments(1);
        var right = new ExactMoments(1);
        for (int i = 0; i < order.length; i++) {
          (i < split ? left : right).add(new double[] {order[i]});
        }
        left.merge(right);

        assertEquals(expectedResult, left.result());
        assertArrayEquals(expectedStream, Streams.write(left));
      }
    }
  }

  private static void permute(double[] values, int fixed, List<double[]> orders) {
    if (fixed == values.length) {
      orders.add(values.clone());
    }
    for (int i = fixed; i < values.length; i++) {
      swap(values, fixed, i);
      permute(values, fixed + 1, orders);
      swap(values, fixed, i);
    }
  }

  private static void swap(double[] values, int i, int j) {
    double value = values[i];
    values[i] = values[j];
    values[j] = value;
  }

  /** Trees of merges over shuffled parts, each part sent through a stream now and then. */
  @ParameterizedTest
  @EnumSource(Values.class)
  void everyTreeOfMergesGivesTheSameBits(Values values) throws Exception {
    int features = 3;
    double[] x = values.array(700 * features, 1);
    var expected = new ExactMoments(features).add(HostTensor.of(x, 700, features), 1);
    byte[] expectedStream = Streams.write(expected);
    Random random = new Random(2);
    for (int trial = 0; trial < 20; trial++) {
      List<ExactMoments> parts = new ArrayList<>();
      for (int i = 0; i < 1 + 3 * trial; i++) {
        parts.add(new ExactMoments(features));
      }
      List<Integer> rows = new ArrayList<>();
      for (int row = 0; row < 700; row++) {
        rows.add(row);
      }
      Collections.shuffle(rows, random);
      for (int row : rows) {
        parts
            .get(random.nextInt(parts.size()))
            .add(Arrays.copyOfRange(x, row * features, (row + 1) * features));
      }
      while (parts.size() > 1) {
        ExactMoments part = parts.remove(random.nextInt(parts.size()));
        if (random.nextBoolean()) {
          part = (ExactMoments) Streams.read(Streams.write(part));
        }
        parts.get(random.nextInt(parts.size())).merge(part);
      }

      assertEquals(expected.result(), parts.get(0).result());
      assertArrayEquals(expectedStream, Streams.write(parts.get(0)));
    }
  }

  @ParameterizedTest
  @CsvSource({
    "4x3, 1",
    "4x3, -1",
    "2x3x5, 1",
    "2x5x3, 2",
    "2x5x3, -1",
    "2x3x4x5, 1",
    "2x3x4x5, 2",
    "2x3x4x5, -1",
    "2x3x1x2x2, 1",
    "2x2x3x2x2, -3",
    "1x1x1, 2",
    "1x2x300, 1",
    "2x2x255, 1",
    "2x300x2, 2"
  })
  void everyLayoutIsReadByItsFeatureAxis(String lengths, int featureAxis) {
    long[] shape = Shapes.parse(lengths);
    int axis = featureAxis < 0 ? featureAxis + shape.length : featureAxis;
    int features = (int) shape[axis];
    int after = 1;
    for (int i = axis + 1; i < shape.length; i++) {
      after *= (int) shape[i];
    }
    int size = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    double[] x = Values.USUAL.array(size, 7);
    float[] floats = new float[size];
    List<List<Double>> byFeature = new ArrayList<>();
    for (int c = 0; c < features; c++) {
      byFeature.add(new ArrayList<>());
    }
    for (int i = 0; i < size; i++) {
      floats[i] = (float) x[i];
      byFeature.get(i / after % features).add(x[i]);
    }
    var moments = new ExactMoments(features).add(HostTensor.of(x, shape), featureAxis);
    var result = moments.result();

    assertEquals(shape[0], result.examples());
    assertEquals(size / features, result.elements());
    for (int c = 0; c < features; c++) {
      double[] values = byFeature.get(c).stream().mapToDouble(v -> v).toArray();
      double[] mean = {result.mean()[c]};
      double[] variance = {result.variance()[c]};
      assertExact(values, ReferenceMoments.of(mean, variance, 1, 1));
    }
    HostTensor single = HostTensor.of(floats, shape);
    assertEquals(
        new ExactMoments(features)
            .add(HostTensor.of(single.toDoubles(), shape), featureAxis)
            .result(),
        new ExactMoments(features).add(single, featureAxis).result());
  }

  /** Sums of many equal numbers: their digits would overflow if carries were late or lost. */
  @ParameterizedTest
  @ValueSource(doubles = {LARGEST, -LARGEST, 0x1.fffffffffffffp-1, -0x1.fffffffffffffp30, -1})
  void manyLargeSignificandsAreCarried(double value) {
    double[] x = new double[2 * 50_000];
    Arrays.fill(x, value);
    var expected = ReferenceMoments.of(new double[] {value, value}, new double[2], 50_000, 50_000);
    var rows = new ExactMoments(2);
    for (int i = 0; i < 50_000; i++) {
      rows.add(new double[] {value, value});
    }

    assertEquals(expected, rows.result());
    assertEquals(
        expected, new ExactMoments(2).add(HostTensor.of(x, 50_000, 2), 1).result());
    var positions = new ExactMoments(2).add(HostTensor.of(x, 1, 2, 50_000), 1).result();
    assertArrayEquals(expected.mean(), positions.mean());
    assertArrayEquals(expected.variance(), positions.variance());
  }

  /** A float whose lowest bit is the last of a digit puts most into one digit. */
  @Test
  void manyLargeFloatsAreCarried() {
    for (int exponent = 0; exponent < 32; exponent++) {
      float value = -Math.scalb(0x1.fffffep0f, exponent);
      float[] x = new float[50_000];
      Arrays.fill(x, value);

      assertEquals(
          ReferenceMoments.of(new double[] {value}, new double[1], 50_000, 50_000),
          new ExactMoments(1).add(HostTensor.of(x, 50_000, 1), 1).result());
    }
  }

  /** Digits that are as large as they get before a carry, on both sides of a merge and after it. */
  @Test
  void mergedDigitsAreCarried() {
    for (int exponent = 0; exponent < 32; exponent++) {
      float value = Math.scalb(0x1.fffffep0f, exponent);
      float[] x = new float[255];
      Arrays.fill(x, value);
      HostTensor full = HostTensor.of(x, 255, 1);
      var moments = new ExactMoments(1).add(full, 1).merge(new ExactMoments(1).add(full, 1));

      assertEquals(
          ReferenceMoments.of(new double[] {value}, new double[1], 510, 510), moments.result());
      assertEquals(
          ReferenceMoments.of(new double[] {value}, new double[1], 765, 765),
          moments.add(full, 1).result());
      // A wider window keeps digits that no carry has gone through yet.
      double[] around = {1e-30, 1e30};
      var widened = new ExactMoments(1).add(full, 1);
      var after = new ExactMoments(1);
      for (double far : around) {
        widened.add(new double[] {far});
        after.add(new double[] {far});
      }
      assertEquals(after.add(full, 1).result(), widened.result());
    }
  }

  /** Floats with and without a leading bit, whose shifts are of one digit. */
  @Test
  void floatsNextToSubnormalOnesAreSummed() {
    float[] x = {
      Float.MIN_NORMAL, 0, -Float.MIN_VALUE, Math.nextDown(Float.MIN_NORMAL), -0.0f, 3e-38f
    };
    double[] wide = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      wide[i] = x[i];
    }

    assertExact(wide, new ExactMoments(1).add(HostTensor.of(x, x.length, 1), 1).result());
  }

  @ParameterizedTest
  @ValueSource(doubles = {LARGEST, -LARGEST, LEAST, -1.5})
  void asManyElementsAsALongCountsAreSummed(double value) throws Exception {
    var moments = new ExactMoments(1).add(new double[] {value});
    for (int i = 0; i < 62; i++) {
      assertSame(moments, moments.merge(moments));
    }
    var before = moments.result();

    assertEquals(
        ReferenceMoments.of(new double[] {value}, new double[1], 1L << 62, 1L << 62), before);
    assertEquals(before, ((ExactMoments) Streams.read(Streams.write(moments))).result());
    assertRefused(
        IllegalArgumentException.class,
        () -> moments.merge(moments),
        (1L << 62) + " examples",
        "expected at most " + Long.MAX_VALUE + " together");
    assertEquals(before, moments.result());
  }

  @Test
  void countsThatOverflowAreRefused() {
    var moments = new ExactMoments(1).add(HostTensor.of(new double[] {1, 2, 3}, 1, 1, 3), 1);
    for (int i = 0; i < 61; i++) {
      moments.merge(moments);
    }
    var before = moments.result();

    assertRefused(
        IllegalArgumentException.class,
        () -> moments.merge(moments),
        3L * (1L << 61) + " elements per feature",
        "expected at most");
    assertEquals(1L << 61, moments.examples());
    assertEquals(before, moments.result());
  }

  @Test
  void nanAndInfinityAreCountedAndSeen() {
    double[] ends = {NAN, INFINITY, -INFINITY, INFINITY, INFINITY, 1};
    double[] others = {1, 2, 3, -INFINITY, NAN, 3};
    double[] again = {NAN, 2, -INFINITY, 3, NAN, 5};
    var moments = new ExactMoments(6).add(ends).add(others).add(again);
    var merged =
        new ExactMoments(6).add(again).merge(new ExactMoments(6).add(others).add(floats(ends)));
    var result = moments.result();

    assertArrayEquals(new long[] {2, 1, 2, 2, 3, 0}, moments.nonFinite());
    assertArrayEquals(new double[] {NAN, INFINITY, -INFINITY, NAN, NAN, 3}, result.mean());
    assertArrayEquals(new double[] {NAN, NAN, NAN, NAN, NAN, 8 / 3.0}, result.variance());
    assertEquals(5, result.nonFiniteFeatures());
    assertEquals(3, result.elements());
    assertEquals(result, merged.result());
    assertArrayEquals(moments.nonFinite(), merged.nonFinite());
    moments.nonFinite()[0] = 7;
    assertEquals(2, moments.nonFinite()[0]);
  }

  private static float[] floats(double[] values) {
    float[] floats = new float[values.length];
    for (int i = 0; i < floats.length; i++) {
      floats[i] = (float) values[i];
    }
    return floats;
  }

  /** The exponents next to infinity's, with the window that also holds infinity's. */
  @Test
  void theLargestNumbersAreNotTakenForInfinity() {
    var moments = new ExactMoments(2)
        .add(new double[] {Float.MAX_VALUE, LARGEST})
        .add(new float[] {Float.MAX_VALUE, Float.POSITIVE_INFINITY})
        .add(new double[] {Float.MAX_VALUE, INFINITY});

    assertArrayEquals(new long[] {0, 2}, moments.nonFinite());
    assertArrayEquals(new double[] {Float.MAX_VALUE, INFINITY}, moments.result().mean());
    assertEquals(0, moments.result().variance()[0]);
  }

  @Test
  void nothingAddedIsTheEmptyResult() throws Exception {
    var none = new ExactMoments(3);
    var some = new ExactMoments(3).add(new double[] {1, 2, 3});
    var expected = some.result();

    assertEquals(ReferenceMoments.empty(3), none.result());
    assertEquals(expected, some.merge(none).result());
    assertEquals(expected, new ExactMoments(3).merge(some).result());
    assertEquals(
        ReferenceMoments.empty(3), ((ExactMoments) Streams.read(Streams.write(none))).result());
  }

  @Test
  void onlyZerosHaveMeanZero() throws Exception {
    var zeros = new ExactMoments(1).add(new double[] {0}).add(new float[] {-0.0f});
    var expected = ReferenceMoments.of(new double[1], new double[1], 2, 2);

    assertEquals(expected, zeros.result());
    assertEquals(expected, ((ExactMoments) Streams.read(Streams.write(zeros))).result());
  }

  @Test
  void mergingLeavesTheOtherAsItIs() throws Exception {
    var other = new ExactMoments(1).add(new double[] {-0.1}).add(new double[] {1e-200});
    byte[] before = Streams.write(other);
    new ExactMoments(1).add(new double[] {1e200}).merge(other).add(new double[] {5});

    assertArrayEquals(before, Streams.write(other));
    assertEquals(2, other.examples());
  }

  @Test
  void theResultIsOfWhatWasAddedBefore() {
    var moments = new ExactMoments(1).add(new double[] {1});
    var first = moments.result();
    moments.add(new double[] {3});

    assertArrayEquals(new double[] {1}, first.mean());
    assertArrayEquals(new double[] {2}, moments.result().mean());
    assertEquals(moments.result(), moments.result());
  }

  @ParameterizedTest
  @EnumSource(Values.class)
  void aStreamCarriesOn(Values values) throws Exception {
    double[] x = values.array(900, 3);
    var there = new ExactMoments(3);
    var here = new ExactMoments(3);
    for (int i = 0; i < 300; i++) {
      double[] example = Arrays.copyOfRange(x, 3 * i, 3 * i + 3);
      there.add(example);
      here.add(example);
      if (i % 50 == 0) {
        there.add(new double[] {NAN, -INFINITY, 1});
        here.add(new double[] {NAN, -INFINITY, 1});
        there = (ExactMoments) Streams.read(Streams.write(there));
      }
    }

    assertEquals(here.result(), there.result());
    assertArrayEquals(here.nonFinite(), there.nonFinite());
    assertArrayEquals(Streams.write(here), Streams.write(there));
  }

  @Test
  void aStreamIsSmallForUsualNumbers() throws Exception {
    double[] x = Values.USUAL.array(1000 * 256, 4);
    byte[] stream = Streams.write(new ExactMoments(256).add(HostTensor.of(x, 1000, 256), 1));

    assertTrue(stream.length < 80 * 256, () -> stream.length + " bytes");
  }

  @ParameterizedTest
  @ValueSource(ints = {0, -1, 10_631_108, Integer.MAX_VALUE})
  void anImpossibleNumberOfFeaturesIsRefused(int features) {
    assertRefused(
        IllegalArgumentException.class,
        () -> new ExactMoments(features),
        "features is " + features,
        "expected 1 to 10631107");
  }

  @Test
  void whatDoesNotFitIsRefusedAndNotAdded() throws Exception {
    var moments = new ExactMoments(2).add(new double[] {1, 2});
    byte[] before = Streams.write(moments);
    var iae = IllegalArgumentException.class;
    HostTensor x = HostTensor.of(new double[6], 1, 2, 3);

    assertRefused(iae, () -> moments.add(new double[3]), "3 values", "each of 2 features");
    assertRefused(iae, () -> moments.add(new float[1]), "1 values", "each of 2 features");
    assertRefused(
        iae, () -> moments.add(x, 2), "axis 2 of shape [1, 2, 3] has 3 features", "expected 2");
    assertRefused(iae, () -> moments.add(x, 0), "feature axis is 0", "expected 1 to 2");
    assertRefused(iae, () -> moments.add(HostTensor.of(new float[2], 2), 1), "rank is 1");
    assertRefused(
        iae,
        () -> moments.add(HostTensor.of(new float[0], 0, 2), 1),
        "shape is [0, 2]",
        "expected at least 1");
    assertRefused(
        iae, () -> moments.merge(new ExactMoments(3)), "moments of 3 features", "expected 2");
    assertArrayEquals(before, Streams.write(moments));
  }

  @Test
  @SuppressWarnings("NullAway")
  void nullsAreRefusedByName() {
    var moments = new ExactMoments(1);
    var npe = NullPointerException.class;

    assertRefused(npe, () -> moments.add((double[]) null), "example is null", "expected");
    assertRefused(npe, () -> moments.add((float[]) null), "example is null", "expected");
    assertRefused(npe, () -> moments.add(null, 1), "x is null", "expected");
    assertRefused(npe, () -> moments.merge(null), "other is null", "expected");
  }

  @Test
  void aShortStreamMakesNoLargeObject() throws Exception {
    byte[] stream = Streams.write(new ExactMoments(10_631_107));
    assertTrue(stream.length < 500, () -> stream.length + " bytes");
    long before = allocated();
    var moments = (ExactMoments) Streams.read(stream);

    long bytes = allocated() - before;
    assertTrue(bytes < 1 << 20, () -> bytes + " bytes for a stream of " + stream.length);
    assertEquals(10_631_107, moments.features());
  }

  private static long allocated() {
    return ((com.sun.management.ThreadMXBean) ManagementFactory.getThreadMXBean())
        .getCurrentThreadAllocatedBytes();
  }

  /** The sums of [1, 3] and [2, 2] with a window of one digit, which has number 31 (1 is 2^0). */
  @Test
  void aForgedStreamIsRefused() throws Exception {
    var moments = new ExactMoments(2).add(new double[] {1, 2}).add(new double[] {3, 2});
    byte[] stream = Streams.write(moments);
    byte[] head = head(2, 2, 2, 31, 1);
    assertEquals(moments.result(), ((ExactMoments) Streams.read(stream)).result());

    for (byte[] forged : List.of(
        head(-1, 2, 2, 31, 1),
        head(0, 0, 2, 31, 1),
        head(1, 2, 2, 31, 1),
        head(2, 0, 2, 31, 1),
        head(2, -1, 2, 31, 1),
        head(2, 2, 1, 31, 1),
        head(2, 2, 0, 31, 1),
        head(2, 2, -2, 31, 1),
        head(2, 2, Integer.MAX_VALUE, 31, 1),
        head(2, 2, 2, -1, 1),
        head(2, 2, 2, 64, 1),
        head(2, 2, 2, 31, 0),
        head(2, 2, 2, 31, 2),
        head(2, 2, 2, 31, -1),
        head(2, 2, 2, Integer.MAX_VALUE, Integer.MAX_VALUE))) {
      assertForged(stream, head, forged);
    }
    // 1 element cannot have a sum of 4 and a sum of squares of 10.
    assertForged(stream, head, head(1, 1, 2, 31, 1), "feature 0 has sums that no 1 elements have");
  }

  private static byte[] head(long elements, long examples, int features, int first, int window) {
    return ByteBuffer.allocate(28)
        .putLong(elements)
        .putLong(examples)
        .putInt(features)
        .putInt(first)
        .putInt(window)
        .array();
  }

  /**
   * The number 1 is {@code 2^52 * 2^(1022 - 1074)}: bit 82 of a window that begins at 992, and bit
   * 164 of the squares.
   */
  @Test
  void forgedSumsAreRefused() throws Exception {
    byte[] stream = Streams.write(new ExactMoments(1).add(new double[] {1}));
    byte[] digits = ints(0, 0, 1 << 18, 0, 0, 0, 0, 0, 0, 0, 1 << 4, 0, 0);

    for (byte[] forged : List.of(
        ints(0, 0, 1 << 19, 0, 0, 0, 0, 0, 0, 0, 1 << 4, 0, 0),
        ints(0, 0, 1 << 18, 0, -1, 0, 0, 0, 0, 0, 1 << 4, 0, 0),
        ints(0, 0, 1 << 18, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        ints(0, 0, 1 << 18, 0, 0, 0, 0, 0, 0, 0, 1 << 4, 0, -1),
        ints(0, 0, 1 << 18, 0, 0, 0, 0, 0, 0, 0, (1 << 8) + 1, 0, 0),
        ints(0, 0, 1 << 18, 0, 0, 0, 0, 0, 0, 0, 1 << 4, 0, 1))) {
      assertForged(stream, digits, forged, "feature 0 has sums that no 1 elements have");
    }
    byte[] negated = ints(0, 0, -(1 << 18), -1, -1, 0, 0, 0, 0, 0, 1 << 4, 0, 0);
    var read = (ExactMoments) Streams.read(Streams.replace(stream, digits, negated));
    assertEquals(new ExactMoments(1).add(new double[] {-1}).result(), read.result());
  }

  private static byte[] ints(int... values) {
    ByteBuffer bytes = ByteBuffer.allocate(4 * values.length);
    bytes.asIntBuffer().put(values);
    return bytes.array();
  }

  @Test
  void forgedCountsOfNanAreRefused() throws Exception {
    byte[] stream = Streams.write(new ExactMoments(1).add(new double[] {NAN}));
    byte[] counts = ints(3, 0, 1, 0, 0, 0, 0);

    for (byte[] forged : List.of(
        ints(3, 0, 2, 0, 0, 0, 0),
        ints(3, 0, 1, 0, 1, 0, 0),
        ints(3, 0, 1, 0, 0, 0, 1),
        ints(3, 0, 2, -1, -1, 0, 0),
        ints(3, 0, 1, -1, -1, 0, 1),
        ints(3, Integer.MAX_VALUE, -1, Integer.MAX_VALUE, -1, 0, 2),
        ints(2, 0, 1, 0, 0),
        ints(4, 0, 1, 0, 0, 0, 0, 0, 0))) {
      assertForged(stream, counts, forged);
    }
    var none = (ExactMoments) Streams.read(Streams.replace(stream, counts, ints(0)));
    assertArrayEquals(new long[1], none.nonFinite());
  }

  private static void assertForged(byte[] stream, byte[] old, byte[] forged, String... words) {
    var refusal = assertRefused(
        InvalidObjectException.class,
        () -> Streams.read(Streams.replace(stream, old, forged)),
        words);
    assertTrue(refusal.getMessage().contains("does not hold exact moments"));
  }

  @Test
  void aStreamWithoutTheFieldsIsRefused() throws Exception {
    byte[] direct = Streams.ofDefaults(ExactMoments.class);
    byte[] nulls = Streams.ofDefaults(Class.forName("dev.vbn.ExactMoments$Serialized"));

    assertRefused(InvalidObjectException.class, () -> Streams.read(direct), "expected");
    assertRefused(InvalidObjectException.class, () -> Streams.read(nulls), "does not hold");
  }
}
