package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.testing.Streams;
import java.io.InvalidObjectException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.ByteBuffer;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Statistics as plain numbers: what is kept, merged, refused, and what a stream can hold. */
final class ReferenceMomentsTest {
  private static final double NAN = Double.NaN;
  private static final double INFINITY = Double.POSITIVE_INFINITY;
  private static final double[] ONE = {1};
  private static final double[] TWO = {1, 2};

  @Test
  void whatIsGivenIsKept() {
    var moments = ReferenceMoments.of(new double[] {0.1, -3}, new double[] {0, 0.5}, 2, 6);

    assertEquals(2, moments.features());
    assertEquals(2, moments.examples());
    assertEquals(6, moments.elements());
    assertArrayEquals(new double[] {0.1, -3}, moments.mean());
    assertArrayEquals(new double[] {0, 0.5}, moments.variance());
    assertArrayEquals(new double[] {0.1 * 0.1, 9.5}, moments.meanSquare());
    assertFalse(moments.isEmpty());
    assertTrue(moments.isFinite());
    assertEquals(0, moments.nonFiniteFeatures());
    assertEquals("ReferenceMoments(features=2, examples=2, elements=6)", moments.toString());
  }

  @Test
  void arraysAreCopiedInAndOut() {
    double[] mean = {1};
    double[] variance = {2};
    var moments = ReferenceMoments.of(mean, variance, 1, 1);
    mean[0] = 10;
    variance[0] = 20;
    moments.mean()[0] = 100;
    moments.variance()[0] = 200;
    moments.meanSquare()[0] = 300;

    assertArrayEquals(new double[] {1}, moments.mean());
    assertArrayEquals(new double[] {2}, moments.variance());
    assertArrayEquals(new double[] {3}, moments.meanSquare());
  }

  @Test
  void nanAndInfinityAreLetThroughAndSeen() {
    var moments = ReferenceMoments.of(
        new double[] {NAN, -INFINITY, 1, 1, 1}, new double[] {1, 1, NAN, INFINITY, 1}, 1, 1);

    assertFalse(moments.isFinite());
    assertEquals(4, moments.nonFiniteFeatures());
    assertArrayEquals(new double[] {NAN, -INFINITY, 1, 1, 1}, moments.mean());
    assertArrayEquals(new double[] {1, 1, NAN, INFINITY, 1}, moments.variance());
  }

  @Test
  void arraysOfDifferentLengthsAreRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.of(TWO, ONE, 1, 1),
        "mean has 2 values and variance 1",
        "expected one of each per feature");
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.ofMeanSquare(ONE, TWO, 1, 1),
        "mean has 1 values and mean square 2",
        "expected one of each per feature");
  }

  @Test
  void noFeatureAtAllIsRefused() {
    double[] none = new double[0];

    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.of(none, none, 1, 1),
        "mean has 0 values and variance 0",
        "expected one of each per feature");
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.ofMeanSquare(none, none, 1, 1),
        "mean has 0 values and mean square 0");
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.empty(0),
        "features is 0",
        "expected at least 1");
  }

  @ParameterizedTest
  @ValueSource(doubles = {-1, -Double.MIN_VALUE, Double.NEGATIVE_INFINITY})
  void aNegativeVarianceIsRefused(double variance) {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.of(TWO, new double[] {0, variance}, 1, 1),
        "variance[1] is " + variance,
        "expected 0 or more");
  }

  @ParameterizedTest
  @CsvSource({"0, 0", "0, 5", "-1, 5", "2, 1", "1, 0"})
  void countsThatNoBatchHasAreRefused(long examples, long elements) {
    String[] words = {
      examples + " examples", elements + " elements per feature", "expected at least 1 example"
    };

    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.of(ONE, ONE, examples, elements),
        words);
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.ofMeanSquare(ONE, ONE, examples, elements),
        words);
  }

  @Test
  @SuppressWarnings("NullAway")
  void nullsAreRefusedByName() {
    var npe = NullPointerException.class;

    assertRefused(npe, () -> ReferenceMoments.of(null, ONE, 1, 1), "mean is null", "expected");
    assertRefused(npe, () -> ReferenceMoments.of(ONE, null, 1, 1), "variance is null");
    assertRefused(npe, () -> ReferenceMoments.ofMeanSquare(null, ONE, 1, 1), "mean is null");
    assertRefused(npe, () -> ReferenceMoments.ofMeanSquare(ONE, null, 1, 1), "mean square is null");
    assertRefused(npe, () -> moments(1, 1, 1, 1).merge(null), "other is null", "expected");
  }

  @Test
  void ofMeanSquareGivesTheVariance() {
    var moments =
        ReferenceMoments.ofMeanSquare(new double[] {2, -3, 0}, new double[] {5, 9, 0}, 2, 4);

    assertArrayEquals(new double[] {2, -3, 0}, moments.mean());
    assertArrayEquals(new double[] {1, 0, 0}, moments.variance());
    assertArrayEquals(new double[] {5, 9, 0}, moments.meanSquare());
    assertEquals(2, moments.examples());
    assertEquals(4, moments.elements());
  }

  @ParameterizedTest
  @ValueSource(doubles = {100, -100, 1e15, 1e-15, 1e150})
  void aVarianceBelowZeroByRoundingIsZero(double mean) {
    double roundedDown = mean * mean * (1 - 0x1p-23);
    var moments =
        ReferenceMoments.ofMeanSquare(new double[] {mean}, new double[] {roundedDown}, 1, 1);

    assertArrayEquals(new double[] {0}, moments.variance());
  }

  /** The mean square of 32-bit sums: subnormal, and coarser than 8 units of a usual last place. */
  @ParameterizedTest
  @ValueSource(floats = {1e-19f, 1.7e-20f, -3.3e-21f, 7e-22f, 1e-22f, 1e-23f, Float.MIN_VALUE})
  void squaresThat32BitsCannotHoldAreNotRefused(float mean) {
    for (float meanSquare : new float[] {mean * mean, Math.nextDown(mean * mean), 0}) {
      var moments = ReferenceMoments.ofMeanSquare(
          new double[] {mean}, new double[] {Math.max(meanSquare, 0)}, 1, 1);

      assertEquals(0, moments.variance()[0], 1e-44);
    }
  }

  @ParameterizedTest
  @ValueSource(doubles = {3.99, 3.99999, 0, -4, Double.NEGATIVE_INFINITY})
  void aMeanSquareFarBelowTheSquaredMeanIsRefused(double meanSquare) {
    assertRefused(
        IllegalArgumentException.class,
        () ->
            ReferenceMoments.ofMeanSquare(new double[] {0, -2}, new double[] {1, meanSquare}, 1, 1),
        "mean square[1] is " + meanSquare,
        "mean -2.0",
        "expected at least 4.0");
  }

  @ParameterizedTest
  @CsvSource({
    "0, -1e-300, 0.0",
    "NaN, -1, NaN",
    "Infinity, 5, Infinity",
    "-Infinity, 1.7e308, Infinity",
    "-1024, 1e6, 1048576.0"
  })
  void aMeanSquareThatDisagreesIsRefused(double mean, double meanSquare, String expected) {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.ofMeanSquare(new double[] {mean}, new double[] {meanSquare}, 1, 1),
        "mean square[0] is " + meanSquare,
        "mean " + mean,
        "expected at least " + expected);
  }

  @ParameterizedTest
  @ValueSource(doubles = {1e300, 0, Double.MAX_VALUE, Double.POSITIVE_INFINITY, Double.NaN})
  void aMeanWhoseSquareOverflowsIsRefusedWhateverItsMeanSquare(double meanSquare) {
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.ofMeanSquare(new double[] {1e200}, new double[] {meanSquare}, 1, 1),
        "mean square[0] is " + meanSquare,
        "mean 1.0E200",
        "expected a mean with a finite square");
  }

  @ParameterizedTest
  @CsvSource({
    "NaN, 1, NaN",
    "1, NaN, NaN",
    "NaN, NaN, NaN",
    "Infinity, Infinity, NaN",
    "Infinity, NaN, NaN",
    "1, Infinity, Infinity"
  })
  void ofMeanSquareLetsNanAndInfinityThrough(double mean, double meanSquare, double variance) {
    var moments =
        ReferenceMoments.ofMeanSquare(new double[] {mean}, new double[] {meanSquare}, 1, 1);

    assertArrayEquals(new double[] {mean}, moments.mean());
    assertArrayEquals(new double[] {variance}, moments.variance());
    assertEquals(1, moments.nonFiniteFeatures());
  }

  @Test
  void nothingHasNoMean() {
    var empty = ReferenceMoments.empty(2);

    assertTrue(empty.isEmpty());
    assertEquals(2, empty.features());
    assertEquals(0, empty.examples());
    assertEquals(0, empty.elements());
    assertArrayEquals(new double[] {NAN, NAN}, empty.mean());
    assertArrayEquals(new double[] {NAN, NAN}, empty.variance());
    assertEquals(empty, ReferenceMoments.empty(2));
    assertNotEquals(empty, ReferenceMoments.empty(3));
  }

  @Test
  void mergingNothingChangesNothing() {
    var moments = ReferenceMoments.of(
        new double[] {0.1, -0.0, NAN, INFINITY, Double.MIN_VALUE},
        new double[] {0.2, -0.0, NAN, NAN, INFINITY},
        3,
        7);
    var empty = ReferenceMoments.empty(5);

    assertEquals(moments, moments.merge(empty));
    assertEquals(moments, empty.merge(moments));
    assertEquals(empty, empty.merge(empty));
  }

  @Test
  void mergingGivesTheStatisticsOfBothBatchesTogether() {
    // [1, 3] and [5, -1, 8]: together a mean of 16/5 and a mean square of 100/5
    var merged = moments(2, 1, 1, 2).merge(moments(4, 14, 3, 3));

    assertArrayEquals(new double[] {3.2}, merged.mean(), 1e-15);
    assertArrayEquals(new double[] {9.76}, merged.variance(), 1e-14);
    assertArrayEquals(new double[] {20}, merged.meanSquare(), 1e-14);
    assertEquals(4, merged.examples());
    assertEquals(5, merged.elements());
  }

  @Test
  void mergingLeavesBothOperandsAsTheyAre() {
    var one = moments(2, 1, 1, 2);
    var other = moments(4, 14, 3, 3);
    one.merge(other);

    assertEquals(moments(2, 1, 1, 2), one);
    assertEquals(moments(4, 14, 3, 3), other);
  }

  @Test
  void mergingKeepsAVarianceThatIsSmallBesideTheMean() {
    var merged = moments(1e9 + 2, 1, 1, 2).merge(moments(1e9 + 4, 14, 3, 3));

    assertArrayEquals(new double[] {1e9 + 3.2}, merged.mean(), 1e-6);
    assertArrayEquals(new double[] {9.76}, merged.variance(), 1e-12);
  }

  /** Against the same formula in 60 digits, for counts up to what a long holds. */
  @Test
  void mergingIsAccurateAndTheSameInBothOrders() {
    Random random = new Random(17);
    for (int trial = 0; trial < 20_000; trial++) {
      long left = 1 + (random.nextLong() >>> (2 + random.nextInt(61)));
      long right = trial % 3 == 0 ? left : 1 + (random.nextLong() >>> (2 + random.nextInt(61)));
      double scale = Math.scalb(1.0, random.nextInt(200) - 100);
      double offset = random.nextBoolean() ? 0 : 1e6 * scale * random.nextGaussian();
      double m1 = offset + scale * random.nextGaussian();
      double m2 = offset + scale * random.nextGaussian();
      double v1 = scale * scale * random.nextDouble();
      double v2 = random.nextBoolean() ? 0 : scale * scale * random.nextDouble();
      var one = moments(m1, v1, left, left);
      var other = moments(m2, v2, right, right);
      var merged = one.merge(other);

      MathContext digits = new MathContext(60);
      BigDecimal n = new BigDecimal(left).add(new BigDecimal(right));
      BigDecimal a = new BigDecimal(left).divide(n, digits);
      BigDecimal b = new BigDecimal(right).divide(n, digits);
      BigDecimal d = new BigDecimal(m2).subtract(new BigDecimal(m1));
      double mean =
          a.multiply(new BigDecimal(m1)).add(b.multiply(new BigDecimal(m2))).doubleValue();
      double variance = a.multiply(new BigDecimal(v1))
          .add(b.multiply(new BigDecimal(v2)))
          .add(a.multiply(b).multiply(d).multiply(d))
          .doubleValue();

      // The difference of two rounded means is what a merge can know.
      double ulp = Math.ulp(Math.max(Math.abs(m1), Math.abs(m2)));
      assertEquals(mean, merged.mean()[0], ulp);
      assertEquals(variance, merged.variance()[0], 4e-16 * 4 * variance);
      assertEquals(left + right, merged.elements());
      assertEquals(merged, other.merge(one));
    }
  }

  @Test
  void mergingEqualStatisticsKeepsTheirBits() {
    double[] mean = {0.1, -0.0, 1e308, -Double.MIN_VALUE, 1 / 3.0, NAN, INFINITY, -INFINITY};
    double[] variance = {0.3, 0.0, 1e308, Double.MIN_VALUE, 1 / 7.0, NAN, NAN, INFINITY};
    for (long count : new long[] {1, 2, 3, 1L << 40, 5_000_000_000_000_000_001L}) {
      var merged = ReferenceMoments.of(mean, variance, 1, 7)
          .merge(ReferenceMoments.of(mean, variance, 1, count));

      assertArrayEquals(mean, merged.mean());
      assertArrayEquals(variance, merged.variance());
    }
  }

  @Test
  void aMergedVarianceIsNeverNegative() {
    double[] variances = {0, Double.MIN_VALUE, 3 * Double.MIN_VALUE, 1e-300, 1, Double.MAX_VALUE};
    for (double one : variances) {
      for (double other : variances) {
        for (long count : new long[] {1, 2, 3, 1000, Long.MAX_VALUE - 3}) {
          double merged =
              moments(1, one, 1, 3).merge(moments(1, other, 1, count)).variance()[0];

          assertTrue(
              merged >= Math.min(one, other) && merged <= Math.max(one, other),
              () -> "variances " + one + " and " + other + " became " + merged);
        }
      }
    }
  }

  @Test
  void meansFarApartDoNotOverflow() {
    double largest = Double.MAX_VALUE;
    var merged = moments(largest, 0, 1, 3).merge(moments(-largest, 0, 1, 1));

    assertEquals(largest / 2, merged.mean()[0], largest * 1e-15);
    assertEquals(INFINITY, merged.variance()[0]);
    assertEquals(0, moments(largest, 0, 1, 1).merge(moments(-largest, 0, 1, 1)).mean()[0]);
    // The squared difference alone would overflow.
    double small = 1e160 * 0x1p-60 * 1e160;
    assertEquals(
        small,
        moments(0, 0, 1, 1L << 60).merge(moments(1e160, 0, 1, 1)).variance()[0],
        1e-15 * small);
  }

  /** As if one had summed the elements in IEEE arithmetic. */
  @ParameterizedTest
  @CsvSource({
    "NaN, 1, NaN",
    "1, Infinity, Infinity",
    "-Infinity, 1, -Infinity",
    "Infinity, -Infinity, NaN",
    "Infinity, NaN, NaN"
  })
  void nanAndInfinityStayInMergedStatistics(double one, double other, double expected) {
    for (long count : new long[] {1, 2, 3}) {
      var merged = moments(one, 1, 1, 2).merge(moments(other, 1, 1, count));

      assertArrayEquals(new double[] {expected}, merged.mean());
      assertFalse(merged.isFinite());
      assertFalse(Double.isFinite(merged.variance()[0]));
    }
  }

  @Test
  void countsThatOverflowAreRefused() {
    var large = moments(0, 0, 1, Long.MAX_VALUE - 1);
    assertEquals(Long.MAX_VALUE, large.merge(moments(0, 0, 1, 1)).elements());

    assertRefused(
        IllegalArgumentException.class,
        () -> large.merge(moments(0, 0, 1, 2)),
        "2 elements per feature",
        "to " + (Long.MAX_VALUE - 1),
        "expected at most " + Long.MAX_VALUE + " together");
    var many = moments(0, 0, Long.MAX_VALUE, Long.MAX_VALUE);
    assertRefused(
        IllegalArgumentException.class, () -> many.merge(many), Long.MAX_VALUE + " examples");
  }

  @Test
  void mergingAnotherNumberOfFeaturesIsRefused() {
    var one = ReferenceMoments.of(ONE, ONE, 1, 1);
    var two = ReferenceMoments.of(TWO, TWO, 1, 1);

    assertAll(
        () -> assertRefused(
            IllegalArgumentException.class,
            () -> one.merge(two),
            "2 features",
            "expected 1 features"),
        () -> assertRefused(
            IllegalArgumentException.class,
            () -> two.merge(ReferenceMoments.empty(1)),
            "1 features",
            "expected 2 features"));
  }

  @ParameterizedTest
  @ValueSource(doubles = {0.125, 0.5, 0.75})
  void aBlendAveragesMeansAndMeansOfSquares(double weight) {
    ReferenceMoments blended = moments(2, 3, 4, 8).blend(moments(-6, 5, 100, 100), weight);

    double mean = (1 - weight) * 2 + weight * -6;
    double meanSquare = (1 - weight) * (3 + 4) + weight * (5 + 36);
    assertEquals(moments(mean, meanSquare - mean * mean, 4, 8), blended);
  }

  /** What has no weight has no effect, NaN included. */
  @Test
  void aBlendOfNoWeightAndOfAll() {
    ReferenceMoments old = moments(2, 3, 4, 8);
    ReferenceMoments unknown = moments(Double.NaN, Double.NaN, 2, 2);

    assertEquals(old, old.blend(unknown, 0));
    assertEquals(moments(2, 3, 2, 2), unknown.blend(old, 1));
  }

  @Test
  void aBlendWithNoExampleIsTheOther() {
    ReferenceMoments old = moments(2, 3, 4, 8);
    ReferenceMoments none = ReferenceMoments.empty(1);

    assertEquals(old, old.blend(none, 1));
    assertEquals(old, none.blend(old, 0));
    assertEquals(none, none.blend(none, 0.5));
  }

  @Test
  void aBlendThatCannotBeIsRefused() {
    ReferenceMoments one = moments(2, 3, 4, 8);
    assertRefused(NullPointerException.class, () -> one.blend(null, 0.5), "other is null");
    assertRefused(
        IllegalArgumentException.class,
        () -> one.blend(ReferenceMoments.empty(2), 0.5),
        "2 features were given to blend",
        "expected 1 features");
    for (double weight : new double[] {-0.1, 1.1, Double.NaN}) {
      assertRefused(
          IllegalArgumentException.class,
          () -> one.blend(one, weight),
          "weight is " + weight,
          "expected 0 to 1");
    }
  }

  private static final ReferenceMoments UNCOUNTED =
      ReferenceMoments.of(new double[] {2}, new double[] {3});
  private static final ReferenceMoments EXAMPLES_ONLY =
      ReferenceMoments.of(new double[] {2}, new double[] {3}, 4);

  @Test
  void aCountThatIsNotKnownIsNotMadeUp() {
    assertFalse(UNCOUNTED.knowsExamples());
    assertFalse(UNCOUNTED.knowsElements());
    assertFalse(UNCOUNTED.isEmpty());
    assertEquals(4, EXAMPLES_ONLY.examples());
    assertTrue(EXAMPLES_ONLY.knowsExamples());
    assertFalse(EXAMPLES_ONLY.knowsElements());
    assertRefused(
        IllegalStateException.class, UNCOUNTED::examples, "number of examples", "is not known");
    assertRefused(
        IllegalStateException.class, EXAMPLES_ONLY::elements, "number of elements", "expected");
    assertRefused(
        IllegalStateException.class, UNCOUNTED::unbiasedVariance, "number of elements", "expected");
    assertEquals(
        "ReferenceMoments(features=1, examples=4, elements=unknown)", EXAMPLES_ONLY.toString());
    assertNotEquals(UNCOUNTED, EXAMPLES_ONLY);
    assertNotEquals(EXAMPLES_ONLY, moments(2, 3, 4, 4));
    assertRefused(
        IllegalArgumentException.class,
        () -> ReferenceMoments.of(new double[1], new double[1], 0),
        "0 examples",
        "expected at least 1");
  }

  @Test
  void whatCannotBeWeighedIsNotMerged() {
    ReferenceMoments counted = moments(2, 3, 4, 8);
    for (ReferenceMoments uncounted : List.of(UNCOUNTED, EXAMPLES_ONLY)) {
      for (Executable merge :
          List.<Executable>of(() -> uncounted.merge(counted), () -> counted.merge(uncounted))) {
        assertRefused(
            IllegalArgumentException.class, merge, "without a count of elements", "expected");
      }
      assertEquals(uncounted, uncounted.merge(ReferenceMoments.empty(1)));
      assertEquals(uncounted, uncounted.blend(moments(2, 3, 5, 5), 0.5));
    }
  }

  @Test
  void aStreamKeepsWhatIsNotKnown() throws Exception {
    for (ReferenceMoments each : List.of(UNCOUNTED, EXAMPLES_ONLY)) {
      assertEquals(each, Streams.read(Streams.write(each)));
    }
  }

  @Test
  void theUnbiasedVarianceDividesByOneLess() {
    assertArrayEquals(new double[] {8}, moments(1, 6, 2, 4).unbiasedVariance());
    for (ReferenceMoments few : List.of(moments(1, 0, 1, 1), ReferenceMoments.empty(1))) {
      assertRefused(IllegalStateException.class, few::unbiasedVariance, "expected at least 2");
    }
  }

  @Test
  void equalityIsThatOfBitsAndCounts() {
    var moments = ReferenceMoments.of(new double[] {0, NAN}, TWO, 2, 6);
    double otherNan = Double.longBitsToDouble(0x7ff8000000000001L);

    assertEquals(moments, ReferenceMoments.of(new double[] {0, otherNan}, TWO.clone(), 2, 6));
    assertEquals(
        moments.hashCode(),
        ReferenceMoments.of(new double[] {0, otherNan}, TWO, 2, 6).hashCode());
    assertNotEquals(moments, ReferenceMoments.of(new double[] {-0.0, NAN}, TWO, 2, 6));
    assertNotEquals(moments, ReferenceMoments.of(new double[] {0, NAN}, new double[] {1, 3}, 2, 6));
    assertNotEquals(moments, ReferenceMoments.of(new double[] {0, NAN}, TWO, 1, 6));
    assertNotEquals(moments, ReferenceMoments.of(new double[] {0, NAN}, TWO, 2, 7));
    assertNotEquals(moments, (Object) "ReferenceMoments");
  }

  @Test
  void streamsKeepEveryBit() throws Exception {
    var moments = ReferenceMoments.of(
        new double[] {0.1, -0.0, NAN, -INFINITY, Double.MIN_VALUE},
        new double[] {0.2, 0, NAN, INFINITY, 1e308},
        3,
        7);

    assertEquals(moments, Streams.read(Streams.write(moments)));
    assertEquals(ReferenceMoments.empty(3), Streams.read(Streams.write(ReferenceMoments.empty(3))));
  }

  @Test
  void aForgedStreamIsRefused() throws Exception {
    byte[] stream = Streams.write(moments(0.1, 0.7, 0x1122334455667788L, 0x2122334455667788L));

    assertForged(stream, bytes(0.7), bytes(-0.7), "variance[0] is -0.7", "expected 0 or more");
    assertForged(stream, bytes(0x1122334455667788L), bytes(0L), "batch of 0 examples");
    assertForged(stream, bytes(0x1122334455667788L), bytes(-1L), "batch of -1 examples");
    assertForged(stream, bytes(0x2122334455667788L), bytes(5L), "5 elements per feature");
    assertForged(
        stream,
        concat(bytes(1), bytes(0.7)),
        concat(bytes(2), bytes(0.7), bytes(0.7)),
        "mean has 1 values and variance 2");
  }

  @Test
  void aForgedStreamOfNoExampleIsRefused() throws Exception {
    byte[] stream = Streams.write(ReferenceMoments.empty(1));

    assertForged(stream, bytes(Double.NaN), bytes(0.7), "of no example", "expected NaN");
    assertForged(
        stream, concat(bytes(1), bytes(Double.NaN)), bytes(0), "features is 0", "expected");
  }

  @Test
  void aStreamWithoutTheFieldsIsRefused() throws Exception {
    byte[] direct = Streams.ofDefaults(ReferenceMoments.class);
    byte[] nulls = Streams.ofDefaults(Class.forName("dev.vbn.ReferenceMoments$Serialized"));

    assertRefused(InvalidObjectException.class, () -> Streams.read(direct), "expected");
    assertRefused(InvalidObjectException.class, () -> Streams.read(nulls), "does not hold");
  }

  private static void assertForged(byte[] stream, byte[] old, byte[] forged, String... words) {
    assertRefused(
        InvalidObjectException.class,
        () -> Streams.read(Streams.replace(stream, old, forged)),
        words);
  }

  private static byte[] bytes(double value) {
    return ByteBuffer.allocate(8).putDouble(value).array();
  }

  private static byte[] bytes(long value) {
    return ByteBuffer.allocate(8).putLong(value).array();
  }

  private static byte[] bytes(int value) {
    return ByteBuffer.allocate(4).putInt(value).array();
  }

  private static byte[] concat(byte[]... parts) {
    ByteBuffer all =
        ByteBuffer.allocate(Arrays.stream(parts).mapToInt(part -> part.length).sum());
    for (byte[] part : parts) {
      all.put(part);
    }
    return all.array();
  }

  private static ReferenceMoments moments(
      double mean, double variance, long examples, long elements) {
    return ReferenceMoments.of(
        new double[] {mean}, new double[] {variance}, Math.min(examples, elements), elements);
  }
}
