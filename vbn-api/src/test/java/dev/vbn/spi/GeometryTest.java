package dev.vbn.spi;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.testing.Shapes;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** The canonical view of every rank and layout, and the shapes that have none. */
final class GeometryTest {

  @ParameterizedTest
  @CsvSource({
    "2x3, 1, 2, 1, 3, 1",
    "2x3, -1, 2, 1, 3, 1",
    "2x3x5, 1, 2, 1, 3, 5",
    "2x3x5, 2, 2, 3, 5, 1",
    "2x3x5, -1, 2, 3, 5, 1",
    "2x3x5, -2, 2, 1, 3, 5",
    "2x3x5x7, 1, 2, 1, 3, 35",
    "2x3x5x7, 2, 2, 3, 5, 7",
    "2x3x5x7, 3, 2, 15, 7, 1",
    "2x3x5x7, -1, 2, 15, 7, 1",
    "2x3x5x7, -3, 2, 1, 3, 35",
    "2x3x5x7x11, 1, 2, 1, 3, 385",
    "2x3x5x7x11, 3, 2, 15, 7, 11",
    "2x3x5x7x11, 4, 2, 105, 11, 1",
    "2x3x5x7x11, -4, 2, 1, 3, 385",
    "1x1x1x1x1, 2, 1, 1, 1, 1"
  })
  void view(String shape, int axis, long batch, long before, long features, long after) {
    assertEquals(
        new Geometry(batch, before, features, after), Geometry.of(Shapes.parse(shape), axis));
  }

  @Test
  void countsOfTheView() {
    Geometry geometry = new Geometry(2, 3, 5, 7);

    assertEquals(21, geometry.positions());
    assertEquals(42, geometry.elementsPerFeature());
    assertEquals(210, geometry.size());
  }

  @Test
  void countsBeyondAnIntAreKept() {
    Geometry geometry = Geometry.of(new long[] {1L << 20, 4, 1L << 20, 2}, 1);

    assertEquals(1L << 21, geometry.positions());
    assertEquals(1L << 41, geometry.elementsPerFeature());
    assertEquals(1L << 43, geometry.size());
  }

  @ParameterizedTest
  @CsvSource({"'', 0", "3, 1", "1x1x1x1x1x3, 6"})
  void ranksOtherThanTwoToFiveAreRefused(String shape, int rank) {
    long[] lengths = Shapes.parse(shape);

    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(lengths, 1),
        "rank is " + rank,
        Arrays.toString(lengths),
        "expected rank 2 to 5");
  }

  @ParameterizedTest
  @CsvSource({
    "2x3, 2, 1",
    "2x3, -2, 1",
    "2x3, 0, 1",
    "2x3x5, 3, 2",
    "2x3x5, -3, 2",
    "2x3x5x7, 4, 3",
    "2x3x5x7, -4, 3",
    "2x3x5x7x11, 5, 4",
    "2x3x5x7x11, -5, 4"
  })
  void anAxisThatTheRankLacksOrTheBatchHasIsRefused(String shape, int axis, int last) {
    long[] lengths = Shapes.parse(shape);

    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(lengths, axis),
        "feature axis is " + axis,
        Arrays.toString(lengths),
        "expected 1 to " + last + ", or -1 to -" + last);
  }

  @ParameterizedTest
  @ValueSource(strings = {"0x3", "2x0", "2x3x0", "2x3x5x0", "0x0x0x0x0"})
  void anAxisWithoutLengthIsRefused(String shape) {
    long[] lengths = Shapes.parse(shape);

    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(lengths, 1),
        "shape is " + Arrays.toString(lengths),
        "expected at least 1 along every axis");
  }

  @Test
  void asManyElementsAsALongCountsAreTaken() {
    assertEquals(1L << 62, new Geometry(1L << 31, 1, 1L << 31, 1).size());
    assertEquals(Long.MAX_VALUE, new Geometry(1, 1, Long.MAX_VALUE, 1).size());
    assertEquals(
        Long.MAX_VALUE, Geometry.of(new long[] {1, 1, Long.MAX_VALUE}, 1).positions());
  }

  @ParameterizedTest
  @CsvSource({
    "2, 1, 4611686018427387904, 1",
    "1, 2, 1, 4611686018427387904",
    "9223372036854775807, 2, 1, 1",
    "1, 1, 3037000500, 3037000500",
    "4294967296, 1, 4294967296, 1",
    "65536, 65536, 65536, 65536"
  })
  void moreElementsThanALongCountsAreRefused(long batch, long before, long features, long after) {
    assertRefused(
        IllegalArgumentException.class,
        () -> new Geometry(batch, before, features, after),
        batch + " * " + before + " * " + features + " * " + after,
        "expected at most 9223372036854775807");
    long[] shape = {batch, before, features, after};
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(shape, 2),
        "expected at most 9223372036854775807");
  }

  /** The axes on one side of the features alone are too many. */
  @Test
  void positionsBeyondALongAreRefusedWithTheShape() {
    long[] shape = {1, 1, 1L << 32, 1L << 32};
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(shape, 1),
        Arrays.toString(shape),
        "expected at most 9223372036854775807");
  }

  @ParameterizedTest
  @CsvSource({"0, 1, 1, 1", "1, 0, 1, 1", "1, 1, 0, 1", "1, 1, 1, 0", "-1, -1, 1, 1"})
  void lengthsBelowOneAreRefused(long batch, long before, long features, long after) {
    assertRefused(
        IllegalArgumentException.class,
        () -> new Geometry(batch, before, features, after),
        "lengths are " + batch + ", " + before + ", " + features + " and " + after,
        "expected 1 or more each");
  }
}
