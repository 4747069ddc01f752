package dev.vbn.spi;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import dev.vbn.tensor.Mask;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

final class CountedTest {
  /** The spans of all rows, a row a line. */
  private static List<String> spans(Geometry geometry) {
    Counted counted = assertNotNullCounted(geometry);
    List<String> rows = new ArrayList<>();
    for (long row = 0; row < geometry.batch() * geometry.before(); row++) {
      StringBuilder line = new StringBuilder();
      for (int i = 0; i < counted.spans(row); i++) {
        line.append(counted.from(row, i)).append('-').append(counted.to(row, i)).append(' ');
      }
      rows.add(line.toString().strip());
    }
    return rows;
  }

  private static Counted assertNotNullCounted(Geometry geometry) {
    assertNotNull(geometry.counted());
    return geometry.counted();
  }

  @Test
  void lengthsBehindTheFeaturesAreOneSpanARow() {
    Geometry geometry = Geometry.of(new long[] {3, 2, 5}, 1, Mask.lengths(5, 0, 2));

    assertEquals(List.of("0-5", "", "0-2"), spans(geometry));
    assertEquals(2, geometry.countedExamples());
    assertEquals(7, geometry.countedElements());
    assertEquals(5, geometry.countedElements(0));
    assertEquals(0, geometry.countedElements(1));
    assertEquals(2, geometry.countedElements(2));
    assertEquals(15, geometry.elementsPerFeature());
  }

  @Test
  void lengthsBeforeTheFeaturesAreWholeRows() {
    Geometry geometry = Geometry.of(new long[] {3, 4, 2}, -1, Mask.lengths(1, 4, 0));

    assertEquals(
        List.of("0-1", "", "", "", "0-1", "0-1", "0-1", "0-1", "", "", "", ""), spans(geometry));
  }

  @Test
  void lengthsAlongTheFirstOfTwoAxesTakeTheOtherWhole() {
    long[] shape = {2, 2, 4, 3};
    assertEquals(List.of("0-6", "0-12"), spans(Geometry.of(shape, 1, Mask.lengths(2, 4))));
    assertEquals(
        List.of("0-6", "0-12"), spans(Geometry.of(shape, 1, Mask.lengths(2, 4).along(2))));
  }

  @Test
  void lengthsAlongTheLastOfTwoAxesAreSpansOfEachOfTheOther() {
    Geometry geometry =
        Geometry.of(new long[] {3, 2, 4, 3}, 1, Mask.lengths(2, 3, 0).along(-1));

    assertEquals(List.of("0-2 3-5 6-8 9-11", "0-12", ""), spans(geometry));
    assertEquals(20, geometry.countedElements());
  }

  @Test
  void lengthsAlongOneOfTheAxesBeforeTheFeatures() {
    long[] shape = {1, 2, 3, 5, 4};
    assertEquals(
        List.of("0-4", "0-4", "0-4", "", "", ""),
        spans(Geometry.of(shape, 3, Mask.lengths(1).along(1))));
    assertEquals(
        List.of("0-4", "0-4", "", "0-4", "0-4", ""),
        spans(Geometry.of(shape, 3, Mask.lengths(2).along(2))));
    assertEquals(
        List.of("0-3", "0-3", "0-3", "0-3", "0-3", "0-3"),
        spans(Geometry.of(shape, 3, Mask.lengths(3).along(4))));
  }

  @Test
  void aMaskIsTheLongestSpansOfEachRow() {
    boolean[] counts = {
      true, true, false, true,
      false, false, false, false,
      false, true, true, true
    };
    Geometry geometry = Geometry.of(new long[] {3, 7, 4}, 1, Mask.of(counts, 3, 4));

    assertEquals(List.of("0-2 3-4", "", "1-4"), spans(geometry));
    assertEquals(2, geometry.countedExamples());
    assertEquals(6, geometry.countedElements());
  }

  @Test
  void aBatchWithoutPositionsIsMaskedByExamples() {
    Geometry geometry =
        Geometry.of(new long[] {3, 2}, 1, Mask.of(new boolean[] {true, false, true}, 3));

    assertEquals(List.of("0-1", "", "0-1"), spans(geometry));
    assertEquals(2, geometry.countedExamples());
  }

  /** Whatever the axis, a position counts if its place on the axis is below the length. */
  @ParameterizedTest
  @CsvSource({"1, 2", "1, 3", "1, 4", "2, 1", "2, 3", "2, 4", "3, 1", "3, 2", "3, 4", "4, 1", "4, 3"
  })
  void lengthsCountAsTheirDefinitionSays(int featureAxis, int axis) {
    long[] shape = {4, 3, 2, 5, 4};
    long[] lengths = {0, 1, shape[axis] - 1, shape[axis]};
    boolean[] counts = new boolean[(int) (480 / shape[featureAxis])];
    for (int i = 0; i < counts.length; i++) {
      int rest = i;
      long place = 0;
      for (int a = 4; a > 0; a--) {
        if (a != featureAxis) {
          place = a == axis ? rest % shape[a] : place;
          rest = (int) (rest / shape[a]);
        }
      }
      counts[i] = place < lengths[rest];
    }
    long[] without = new long[4];
    for (int i = 0; i < 4; i++) {
      without[i] = shape[i < featureAxis ? i : i + 1];
    }

    Geometry ofLengths = Geometry.of(shape, featureAxis, Mask.lengths(lengths).along(axis));
    Geometry ofCounts = Geometry.of(shape, featureAxis, Mask.of(counts, without));
    assertEquals(ofCounts, ofLengths);
    assertEquals(ofCounts.hashCode(), ofLengths.hashCode());
    assertEquals(ofCounts.countedExamples(), ofLengths.countedExamples());
    assertEquals(ofCounts.countedElements(), ofLengths.countedElements());
    assertRowsAlikeAreThoseOfTheSameSpans(ofLengths);
    assertRowsAlikeAreThoseOfTheSameSpans(ofCounts);
  }

  private static void assertRowsAlikeAreThoseOfTheSameSpans(Geometry geometry) {
    List<String> rows = spans(geometry);
    for (int row = 0; row < rows.size(); row++) {
      int end = row;
      while (end < rows.size() && rows.get(end).equals(rows.get(row))) {
        end++;
      }
      assertEquals(end - row, assertNotNullCounted(geometry).alike(row), "of row " + row);
    }
  }

  @Test
  void rowsOfAMaskAreAlikeWhereTheirSpansAre() {
    boolean[] counts = new boolean[4 * 2 * 3];
    for (int at : new int[] {3, 6, 9, 10, 12, 13, 15, 18, 19, 20, 21, 22, 23}) {
      counts[at] = true;
    }
    assertRowsAlikeAreThoseOfTheSameSpans(
        Geometry.of(new long[] {4, 2, 5, 3}, 2, Mask.of(counts, 4, 2, 3)));
    assertRowsAlikeAreThoseOfTheSameSpans(
        Geometry.of(new long[] {4, 2, 3, 5}, 3, Mask.of(counts, 4, 2, 3)));
    assertRowsAlikeAreThoseOfTheSameSpans(
        Geometry.of(new long[] {4, 2, 3, 5}, 3, Mask.lengths(2, 2, 0, 2)));
    assertRowsAlikeAreThoseOfTheSameSpans(
        Geometry.of(new long[] {4, 2, 3, 5}, 2, Mask.lengths(2, 2, 0, 0).along(3)));
  }

  @Test
  void spansAndSingleElementsAgree() {
    Random random = new Random(5);
    boolean[] counts = new boolean[2 * 3 * 40];
    for (int i = 0; i < counts.length; i++) {
      counts[i] = random.nextInt(3) > 0;
    }
    Geometry geometry = Geometry.of(new long[] {2, 3, 7, 40}, 2, Mask.of(counts, 2, 3, 40));
    Counted counted = assertNotNullCounted(geometry);
    for (int i = 0; i < counts.length; i++) {
      assertEquals(counts[i], counted.counts(i / 120, i / 40 % 3, i % 40), "element " + i);
    }
  }

  @Test
  void aMaskThatLeavesEverythingIsNone() {
    Geometry all = new Geometry(2, 1, 3, 4);
    assertNull(Geometry.of(new long[] {2, 3, 4}, 1, Mask.lengths(4, 4)).counted());
    assertEquals(all, Geometry.of(new long[] {2, 3, 4}, 1, Mask.lengths(4, 4)));
    assertEquals(all, Geometry.of(new long[] {2, 3, 4}, 1, null));
    assertNotEquals(all, Geometry.of(new long[] {2, 3, 4}, 1, Mask.lengths(4, 3)));
    assertEquals(2, all.countedExamples());
    assertEquals(8, all.countedElements());
    assertEquals(4, all.countedElements(1));
  }

  @Test
  void saysHowMuchCounts() {
    Geometry geometry = Geometry.of(new long[] {2, 3, 4}, 1, Mask.lengths(3, 0));
    assertEquals("3 of 8 elements of 1 examples", String.valueOf(geometry.counted()));
  }

  @Test
  void whatLeavesNothingIsRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(new long[] {2, 3, 4}, 1, Mask.lengths(0, 0)),
        "2 lengths leaves nothing of shape [2, 3, 4]",
        "expected at least one");
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(new long[] {2, 3, 4}, 1, Mask.of(new boolean[8], 2, 4)),
        "leaves nothing of shape [2, 3, 4]");
  }

  @Test
  void aMaskOfAnotherShapeIsRefused() {
    Mask mask = Mask.of(new boolean[8], 4, 2);
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(new long[] {2, 3, 4}, 1, mask),
        "mask has shape [4, 2]",
        "expected [2, 4]",
        "[2, 3, 4]",
        "feature axis, 1");
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(new long[] {2, 4, 3}, -1, mask),
        "mask has shape [4, 2]",
        "expected [2, 4]",
        "feature axis, 2");
  }

  @Test
  void lengthsThatDoNotFitAreRefused() {
    long[] shape = {2, 3, 4};
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(shape, 1, Mask.lengths(1, 2, 3)),
        "3 lengths",
        "expected 2",
        "[2, 3, 4]");
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(shape, 1, Mask.lengths(1, 5)),
        "length of example 1 is 5",
        "expected at most 4",
        "axis 2",
        "[2, 3, 4]");
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(new long[] {2, 3}, 1, Mask.lengths(1, 1)),
        "2 lengths",
        "[2, 3]",
        "expected a batch with an axis of positions");
  }

  @ParameterizedTest
  @CsvSource({"1", "3", "-2", "-3", "-4"})
  void anAxisThatIsNotOneOfPositionsIsRefused(int axis) {
    assertRefused(
        IllegalArgumentException.class,
        () -> Geometry.of(new long[] {2, 3, 4}, 1, Mask.lengths(1, 1).along(axis)),
        "axis of lengths is " + axis,
        "[2, 3, 4]",
        "features, 1");
  }

  /** Shape, feature axis, axis of lengths. */
  @ParameterizedTest
  @CsvSource({
    "'3 2 5', 1, 2",
    "'3 5 2', 2, 1",
    "'3 4 5 2', 3, 2",
    "'3 2 4 5', 1, 2",
    "'3 4 2 5', 2, 1",
    "'3 4 2 5', 2, 3"
  })
  void lengthsSayWhichPositionsCount(String shapeText, int featureAxis, int axis) {
    long[] shape =
        Arrays.stream(shapeText.split(" ")).mapToLong(Long::parseLong).toArray();
    Geometry geometry = Geometry.of(shape, featureAxis, Mask.lengths(2, 0, 3).along(axis));
    Counted counted = assertNotNullCounted(geometry);
    Counted.Lengths lengths = counted.lengths();
    assertNotNull(lengths);
    byte[] positions = counted.positions();
    assertEquals(geometry.elementsPerFeature(), positions.length);
    for (int i = 0; i < positions.length; i++) {
      int ofExample = (int) geometry.positions();
      boolean counts =
          i % ofExample / lengths.inner() % lengths.along() < lengths.ofExample()[i / ofExample];
      assertEquals(counts ? 1 : 0, positions[i], "position " + i);
      assertEquals(
          counts,
          counted.counts(i / ofExample, i % ofExample / geometry.after(), i % geometry.after()),
          "position " + i);
    }
  }

  @Test
  void aMaskOfPositionsHasNoLengths() {
    boolean[] counts = {true, false, false, true};
    Counted counted =
        assertNotNullCounted(Geometry.of(new long[] {2, 3, 2}, 1, Mask.of(counts, 2, 2)));
    assertNull(counted.lengths());
    assertArrayEquals(new byte[] {1, 0, 0, 1}, counted.positions());
  }
}
