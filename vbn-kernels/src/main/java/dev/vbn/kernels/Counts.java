package dev.vbn.kernels;

import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import org.jspecify.annotations.Nullable;

/**
 * What counts of the rows of a masked group: of each row some spans of every run.
 *
 * @param firstRow of the group, in the batch
 * @param elements of each feature that count
 * @param wholeRows whether each row of the batch counts as a whole, or not at all
 */
record Counts(Counted counted, long firstRow, long elements, boolean wholeRows) {
  /** Of each group of a masked batch: one, or as many as there are examples. */
  static Counts[] of(Geometry geometry, Counted counted, int groups) {
    boolean wholeRows = wholeRows(geometry, counted);
    if (groups == 1) {
      return new Counts[] {new Counts(counted, 0, counted.elements(), wholeRows)};
    }
    Counts[] all = new Counts[groups];
    for (int i = 0; i < groups; i++) {
      all[i] = new Counts(counted, i * geometry.before(), counted.elements(i), wholeRows);
    }
    return all;
  }

  private static boolean wholeRows(Geometry geometry, Counted counted) {
    long rows = geometry.batch() * geometry.before();
    for (long row = 0; geometry.after() > 1 && row < rows; row += counted.alike(row)) {
      int spans = counted.spans(row);
      if (spans > 1
          || (spans == 1 && counted.to(row, 0) - counted.from(row, 0) < geometry.after())) {
        return false;
      }
    }
    return true;
  }

  /** What is done with neighbouring rows that are alike. */
  interface Action {
    /**
     * With some positions of each run of some rows.
     *
     * @param row the first, counted from the group's
     * @param from the first position
     * @param length positions
     */
    void accept(long row, int rows, long from, long length);
  }

  /**
   * Goes through some rows, in order, and through some positions of each.
   *
   * @param row the first, counted from the group's
   * @param from the first position
   * @param gaps what is done with what does not count; null for nothing
   */
  void forEach(
      long row, long rows, long from, long length, Action counting, @Nullable Action gaps) {
    long to = from + length;
    int alike;
    for (long done = 0; done < rows; done += alike) {
      long each = firstRow + row + done;
      alike = (int) Math.min(Math.min(counted.alike(each), rows - done), Integer.MAX_VALUE);
      int spans = counted.spans(each);
      int together = spans > 1 ? 1 : alike; // in the order of the memory
      for (int i = 0; i < alike; i += together) {
        long next = from;
        for (int span = 0; span < spans; span++) {
          long begin = Math.max(counted.from(each, span), next);
          long end = Math.min(counted.to(each, span), to);
          if (begin < end) {
            if (gaps != null && next < begin) {
              gaps.accept(row + done + i, together, next, begin - next);
            }
            counting.accept(row + done + i, together, begin, end - begin);
            next = end;
          }
        }
        if (gaps != null && next < to) {
          gaps.accept(row + done + i, together, next, to - next);
        }
      }
    }
  }

  /**
   * The next row of the group of which something counts, from one on and around its end.
   *
   * @param row counted from the group's first, as is the result
   * @param rows of the group
   */
  long countingFrom(long row, long rows) {
    long each = row;
    while (counted.spans(firstRow + each) == 0) {
      each += counted.alike(firstRow + each);
      if (each >= rows) {
        each = 0;
      }
    }
    return each;
  }

  /** First position of a row that counts. */
  long from(long row) {
    return counted.from(firstRow + row, 0);
  }

  /** The position behind the first span of a row. */
  long to(long row) {
    return counted.to(firstRow + row, 0);
  }
}
