package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * What counts in the rows of a masked group: in each row, some spans of every run.
 *
 * @param firstRow of the group, in the batch
 * @param rows of the group
 * @param elements of each feature that count
 * @param span elements that count next to each other, in the mean
 * @param wholeRows whether each row counts either entirely or not at all
 * @param lanes for rows that are processed whole although only part of them counts; else null
 */
record Counts(
    Counted counted,
    long firstRow,
    long rows,
    long elements,
    double span,
    boolean wholeRows,
    @Nullable Lanes lanes) {
  /** The counts of one of the {@code groups} of a masked batch. */
  static Counts of(Geometry geometry, Counted counted, int group, int groups) {
    long rows = geometry.batch() * geometry.before() / groups;
    long first = group * rows;
    long elements = groups == 1 ? counted.elements() : counted.elements(group);
    boolean channelsLast = geometry.after() == 1;
    boolean wholeRows = true;
    long spans = 0;
    long alike;
    for (long row = first; row < first + rows; row += alike) {
      alike = Math.min(counted.alike(row), first + rows - row);
      int ofRow = counted.spans(row);
      // Rows of one position are neighbours themselves.
      spans += ofRow * (channelsLast ? 1 : alike);
      wholeRows &= ofRow == 0
          || (ofRow == 1 && counted.to(row, 0) - counted.from(row, 0) == geometry.after());
    }
    double span = (double) elements * (channelsLast ? geometry.features() : 1) / spans;
    return new Counts(counted, first, rows, elements, span, wholeRows, null);
  }

  /** The same for rows that are processed whole, with {@code behind} positions after each run. */
  Counts inWholeRows(int run, int behind) {
    Lanes each = Lanes.of(this, run, behind);
    return new Counts(counted, firstRow, rows, elements, span, wholeRows, each);
  }

  /**
   * Whether each position of a run counts, row by row.
   *
   * @param counting for each row, {@code run} of them and then the first ones again, so that a
   *     vector may begin at any
   * @param stride from one row to the next
   */
  record Lanes(boolean[] counting, int stride) {
    private static Lanes of(Counts counts, int run, int behind) {
      Counted counted = counts.counted;
      int rows = (int) counts.rows;
      int stride = run + behind;
      boolean[] counting = new boolean[Math.multiplyExact(rows, stride)];
      int alike;
      for (int row = 0; row < rows; row += alike) {
        long of = counts.firstRow + row;
        alike = (int) Math.min(counted.alike(of), rows - row);
        int first = row * stride;
        for (int span = 0; span < counted.spans(of); span++) {
          int from = first + (int) counted.from(of, span);
          Arrays.fill(counting, from, first + (int) counted.to(of, span), true);
        }
        for (int i = first + run; i < first + stride; i++) {
          counting[i] = counting[i - run];
        }
        for (int i = 1; i < alike; i++) {
          System.arraycopy(counting, first, counting, first + i * stride, stride);
        }
      }
      return new Lanes(counting, stride);
    }
  }

  /** Whether each position counts, for rows that are processed whole. */
  boolean[] counting() {
    return requireNonNull(lanes).counting;
  }

  /** Where the first position of a row is in {@link #counting}. */
  int place(long row) {
    return (int) row * requireNonNull(lanes).stride;
  }

  /** Whether nothing in a row counts. */
  boolean isEmpty(long row) {
    return counted.spans(firstRow + row) == 0;
  }

  /** What is done with neighbouring rows that are alike. */
  interface Action {
    /**
     * Takes some positions of each run of some rows.
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
   * The next row of the group in which something counts, from a given one on, wrapping around.
   *
   * @param row counted from the group's first, as is the result
   */
  long countingFrom(long row) {
    long each = row;
    while (counted.spans(firstRow + each) == 0) {
      each += counted.alike(firstRow + each);
      if (each >= rows) {
        each = 0;
      }
    }
    return each;
  }

  /** Elements of a feature that count in a row. */
  long elementsOf(long row) {
    long elements = 0;
    for (int span = 0; span < counted.spans(firstRow + row); span++) {
      elements += counted.to(firstRow + row, span) - counted.from(firstRow + row, span);
    }
    return elements;
  }

  /** First position of a row that counts. */
  long from(long row) {
    return counted.from(firstRow + row, 0);
  }

  /** The position after the first span of a row. */
  long to(long row) {
    return counted.to(firstRow + row, 0);
  }
}
