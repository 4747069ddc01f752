package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Every two choices that may meet do, in few rows. */
class CoveringArrayTest {
  private static final int[] SIZES = {5, 10, 8, 7, 4, 4, 4, 2, 2, 3};

  private static boolean meet(List<int[]> rows, int i, int a, int j, int b) {
    return rows.stream().anyMatch(row -> row[i] == a && row[j] == b);
  }

  @Test
  void everyTwoChoicesMeet() {
    List<int[]> rows = CoveringArray.of(SIZES, 2, row -> true, 1);
    int pairs = 0;
    for (int i = 0; i < SIZES.length; i++) {
      for (int j = i + 1; j < SIZES.length; j++) {
        for (int a = 0; a < SIZES[i]; a++) {
          for (int b = 0; b < SIZES[j]; b++) {
            String pair = i + "=" + a + " and " + j + "=" + b;
            assertTrue(meet(rows, i, a, j, b), () -> pair + " do not meet");
            pairs++;
          }
        }
      }
    }
    assertTrue(pairs > 1000, "pairs are " + pairs);
    // The two largest dimensions alone need 80.
    assertTrue(
        rows.size() < 110, () -> "rows are " + rows.size() + "; expected hardly more than 80");
  }

  @Test
  void everyThreeChoicesMeet() {
    int[] sizes = {5, 4, 2, 3, 1, 2, 3, 4};
    List<int[]> rows = CoveringArray.of(sizes, 3, row -> true, 1);
    Set<List<Integer>> met = new HashSet<>();
    Set<List<Integer>> expected = new HashSet<>();
    for (int i = 0; i < sizes.length; i++) {
      for (int j = i + 1; j < sizes.length; j++) {
        for (int k = j + 1; k < sizes.length; k++) {
          for (int[] row : rows) {
            met.add(List.of(i, row[i], j, row[j], k, row[k]));
          }
          for (int product = 0; product < sizes[i] * sizes[j] * sizes[k]; product++) {
            expected.add(List.of(
                i,
                product % sizes[i],
                j,
                product / sizes[i] % sizes[j],
                k,
                product / sizes[i] / sizes[j]));
          }
        }
      }
    }
    assertTrue(expected.size() > 1000, () -> "expected are " + expected.size());
    assertEquals(expected, met);
    // The three largest dimensions alone need 80.
    assertTrue(rows.size() < 120, () -> "rows are " + rows.size());
  }

  @Test
  void whatMayNotMeetDoesNotAndTheRestDoes() {
    List<int[]> rows = CoveringArray.of(SIZES, 2, row -> row[0] != 0 || row[1] <= 0, 1);
    assertTrue(meet(rows, 0, 0, 1, 0));
    for (int b = 1; b < SIZES[1]; b++) {
      int choice = b;
      assertTrue(!meet(rows, 0, 0, 1, b), () -> "0 meets " + choice + ", which is not allowed");
      assertTrue(meet(rows, 0, 1, 1, b), () -> "1 does not meet " + choice);
    }
  }

  @Test
  void theSameSeedGivesTheSameRows() {
    int[][] rows = CoveringArray.of(SIZES, 2, row -> true, 7).toArray(int[][]::new);
    int[][] again = CoveringArray.of(SIZES, 2, row -> true, 7).toArray(int[][]::new);
    assertArrayEquals(rows, again);
  }

  /** The table of the kit: of each condition every choice is in some row, and rows stay small. */
  @Test
  void theTableHasEveryChoice() {
    List<Conditions> rows = Conditions.all();
    assertTrue(rows.size() > 300 && rows.size() < 500, () -> "rows are " + rows.size());
    long[] features = {1, 2, 4, 8, 10, 12, 16, 17, 20, 100};
    for (long count : features) {
      assertTrue(
          rows.stream()
              .map(row -> row.of(DType.FLOAT32))
              .anyMatch(c -> c.config().features() == count),
          () -> "no case has " + count + " features");
    }
    assertTrue(
        rows.stream()
            .map(row -> row.of(DType.FLOAT32))
            .allMatch(c -> Arrays.stream(c.x().shape()).reduce(1, (a, b) -> a * b) <= 21_000),
        "a case is larger than the table allows");
  }
}
