package dev.vbn.conformance;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.BitSet;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Rows of choices, one of each dimension, in which every two choices of different dimensions meet
 * (Cohen, Dalal, Fredman and Patton 1997): a few dozen rows stand for a product of millions.
 */
final class CoveringArray {
  /** Of a dimension that has not been chosen yet. */
  static final int OPEN = -1;

  private static final int TRIES = 30; // of which the row that covers most is taken

  private final int[] sizes;
  private final Predicate<int[]> allowed;
  private final Random random;
  private final int[] starts;
  private final int choices;
  private final BitSet missing = new BitSet();

  private CoveringArray(int[] sizes, Predicate<int[]> allowed, long seed) {
    this.sizes = sizes;
    this.allowed = allowed;
    random = new Random(seed);
    starts = new int[sizes.length];
    for (int i = 1; i < sizes.length; i++) {
      starts[i] = starts[i - 1] + sizes[i - 1];
    }
    choices = Arrays.stream(sizes).sum();
  }

  /**
   * The rows, the same for the same seed. Pairs that no allowed row can have are left out.
   *
   * @param sizes number of choices in each dimension
   * @param allowed whether choices may meet; asked of rows with {@link #OPEN} dimensions too
   */
  static List<int[]> of(int[] sizes, Predicate<int[]> allowed, long seed) {
    return new CoveringArray(sizes, allowed, seed).rows();
  }

  private List<int[]> rows() {
    for (int i = 0; i < sizes.length; i++) {
      for (int j = i + 1; j < sizes.length; j++) {
        for (int a = 0; a < sizes[i]; a++) {
          for (int b = 0; b < sizes[j]; b++) {
            missing.set(pair(i, a, j, b));
          }
        }
      }
    }
    List<int[]> rows = new ArrayList<>();
    while (!missing.isEmpty()) {
      int pair = missing.nextSetBit(0);
      int[] best = null;
      int most = 0;
      for (int i = 0; i < TRIES; i++) {
        int[] row = complete(pair / choices, pair % choices);
        int gain = row == null ? 0 : gain(row);
        if (gain > most) {
          most = gain;
          best = row;
        }
      }
      if (best == null) {
        missing.clear(pair); // no allowed row has both
      } else {
        cover(best);
        rows.add(best);
      }
    }
    return rows;
  }

  /** A row with two given choices and, in each other dimension, the one that covers most. */
  private int @Nullable [] complete(int first, int second) {
    int[] row = new int[sizes.length];
    Arrays.fill(row, OPEN);
    for (int choice : new int[] {first, second}) {
      int dimension = dimension(choice);
      row[dimension] = choice - starts[dimension];
    }
    if (!allowed.test(row)) {
      return null;
    }
    List<Integer> order = new ArrayList<>();
    for (int i = 0; i < row.length; i++) {
      if (row[i] == OPEN) {
        order.add(i);
      }
    }
    Collections.shuffle(order, random);
    for (int dimension : order) {
      int best = OPEN;
      int most = -1;
      int offset = random.nextInt(sizes[dimension]);
      for (int i = 0; i < sizes[dimension]; i++) {
        row[dimension] = (i + offset) % sizes[dimension];
        if (allowed.test(row)) {
          int gain = gain(row, dimension);
          if (gain > most) {
            most = gain;
            best = row[dimension];
          }
        }
      }
      row[dimension] = best;
      if (best == OPEN) {
        return null;
      }
    }
    return row;
  }

  private int dimension(int choice) {
    int dimension = starts.length - 1;
    while (starts[dimension] > choice) {
      dimension--;
    }
    return dimension;
  }

  private int gain(int[] row, int dimension) {
    int gain = 0;
    for (int other = 0; other < row.length; other++) {
      if (other != dimension && row[other] != OPEN) {
        gain += missing.get(pair(dimension, row[dimension], other, row[other])) ? 1 : 0;
      }
    }
    return gain;
  }

  private int gain(int[] row) {
    int twice = 0;
    for (int i = 0; i < row.length; i++) {
      twice += gain(row, i);
    }
    return twice / 2;
  }

  private void cover(int[] row) {
    for (int i = 0; i < row.length; i++) {
      for (int j = i + 1; j < row.length; j++) {
        missing.clear(pair(i, row[i], j, row[j]));
      }
    }
  }

  private int pair(int i, int a, int j, int b) {
    int first = starts[i] + a;
    int second = starts[j] + b;
    return Math.min(first, second) * choices + Math.max(first, second);
  }
}
