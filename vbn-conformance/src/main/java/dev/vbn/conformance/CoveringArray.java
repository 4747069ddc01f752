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
 * Rows of choices, one of each dimension, in which every two choices of different dimensions meet, or
 * every three (Cohen, Dalal, Fredman and Patton 1997): a few dozen rows stand for a product of
 * millions.
 */
final class CoveringArray {
  /** Of a dimension that has not been chosen yet. */
  static final int OPEN = -1;

  private static final int TRIES = 5; // of which the row that covers most is taken

  private final int[] sizes;
  private final int strength;
  private final Predicate<int[]> allowed;
  private final Random random;
  private final int[] starts;
  private final int choices;

  /** The choices that are still to meet, with one digit per dimension, to the base of all. */
  private final BitSet missing = new BitSet();

  private CoveringArray(int[] sizes, int strength, Predicate<int[]> allowed, long seed) {
    this.sizes = sizes;
    this.strength = strength;
    this.allowed = allowed;
    random = new Random(seed);
    starts = new int[sizes.length];
    for (int i = 1; i < sizes.length; i++) {
      starts[i] = starts[i - 1] + sizes[i - 1];
    }
    choices = Arrays.stream(sizes).sum();
  }

  /**
   * The rows, the same for the same seed. What no allowed row can have is left out.
   *
   * @param sizes number of choices in each dimension
   * @param strength how many choices meet
   * @param allowed whether choices may meet; asked of rows with {@link #OPEN} dimensions too
   */
  static List<int[]> of(int[] sizes, int strength, Predicate<int[]> allowed, long seed) {
    return new CoveringArray(sizes, strength, allowed, seed).rows();
  }

  private List<int[]> rows() {
    miss(0, strength, 0);
    List<int[]> rows = new ArrayList<>();
    while (!missing.isEmpty()) {
      int first = missing.nextSetBit(0);
      int[] best = null;
      int most = 0;
      for (int i = 0; i < TRIES; i++) {
        int[] row = complete(first);
        int gain = row == null ? 0 : gain(row);
        if (gain > most) {
          most = gain;
          best = row;
        }
      }
      if (best == null) {
        missing.clear(first); // no allowed row has it
      } else {
        cover(best, 0, strength, 0);
        rows.add(best);
      }
    }
    return rows;
  }

  /** A row with some given choices and, in each other dimension, the one that covers most. */
  private int @Nullable [] complete(int given) {
    int[] row = new int[sizes.length];
    Arrays.fill(row, OPEN);
    for (int rest = given, i = 0; i < strength; i++, rest /= choices) {
      int choice = rest % choices;
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
          int gain = gain(row, dimension, 0, strength, 0);
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

  private int gain(int[] row) {
    int gain = 0;
    for (int last = strength - 1; last < row.length; last++) {
      gain += gain(Arrays.copyOf(row, last + 1), last, 0, strength, 0);
    }
    return gain;
  }

  /**
   * How many missing combinations the row has, of those with a choice of one dimension.
   *
   * @param from first dimension that may be added to {@code chosen}
   * @param more how many are to be added
   */
  private int gain(int[] row, int dimension, int from, int more, int chosen) {
    boolean without = from <= dimension;
    if (more == 0) {
      return !without && missing.get(chosen) ? 1 : 0;
    }
    int gain = 0;
    for (int i = from; i <= (without ? dimension : row.length - 1); i++) {
      if (row[i] != OPEN) {
        gain += gain(row, dimension, i + 1, more - 1, with(chosen, i, row[i]));
      }
    }
    return gain;
  }

  private void miss(int from, int more, int chosen) {
    if (more == 0) {
      missing.set(chosen);
      return;
    }
    for (int i = from; i < sizes.length; i++) {
      for (int choice = 0; choice < sizes[i]; choice++) {
        miss(i + 1, more - 1, with(chosen, i, choice));
      }
    }
  }

  private void cover(int[] row, int from, int more, int chosen) {
    if (more == 0) {
      missing.clear(chosen);
      return;
    }
    for (int i = from; i < row.length; i++) {
      cover(row, i + 1, more - 1, with(chosen, i, row[i]));
    }
  }

  private int with(int chosen, int dimension, int choice) {
    return chosen * choices + starts[dimension] + choice;
  }
}
