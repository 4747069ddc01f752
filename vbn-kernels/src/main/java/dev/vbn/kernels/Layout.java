package dev.vbn.kernels;

import org.jspecify.annotations.Nullable;

/**
 * How the elements of one group lie: {@code rows} rows of {@code features} runs of {@code run}
 * neighbours each.
 *
 * <p>A tile is the features that are computed together. With long runs these are as many as
 * possible, so that rows are processed in memory order; what is kept for each of them limits their
 * number. With short runs they are a strip, which is still in cache when it is written. A part is
 * what one thread sums or writes at a time: a range of rows of a tile or, where rows are long, a
 * range of features or of positions of all rows. Parts are cut by the shape alone, so that no bit
 * depends on the number of threads.
 *
 * @param order in which elements are processed
 * @param counts what counts; null where everything does
 */
record Layout(
    long rows,
    long features,
    long run,
    Order order,
    @Nullable Counts counts) {
  /** The order in which elements are processed. */
  enum Order {
    /** Strip by strip. */
    STRIPS,
    /** Row by row, and in each row run by run. */
    ROWS,
    /** Feature by feature, and in each run by run. */
    FEATURES
  }

  /** Most features of a tile, whose statistics and parameters are copied at once. */
  private static final int FEATURES = Elements.LONGEST_COPY;

  /** Run length from which memory order gains nothing over using less memory. */
  private static final int SEPARATE = 2048;

  /** Elements of a part: enough for a hand-over, and 1 MiB of 32 bits. */
  private static final int PART = 1 << 18;

  /** A layout in which everything counts. */
  Layout(long rows, long features, long run, Order order) {
    this(rows, features, run, order, null);
  }

  long rowLength() {
    return features * run;
  }

  long size() {
    return rows * features * run;
  }

  /** Elements of each feature that count. */
  long elements() {
    return counts == null ? rows * run : counts.elements();
  }

  /** Whether each row counts either entirely or not at all. */
  boolean hasWholeRows() {
    return counts == null || counts.wholeRows();
  }

  /**
   * Whether rows that count only in part are processed whole: for an element that does not count,
   * the shift is summed, which adds nothing, and 0 is written.
   */
  boolean blends() {
    return counts != null && counts.lanes() != null;
  }

  /** The row itself, or the next one in which something counts. */
  long countingRow(long row) {
    return counts == null ? row : counts.countingFrom(row);
  }

  int tiles() {
    return Math.toIntExact(ceil(features, featuresOfTile()));
  }

  boolean longRuns() {
    return order != Order.STRIPS;
  }

  private long featuresOfTile() {
    return switch (order) {
      case STRIPS -> Math.max(1, Scratch.LANES / run);
      case ROWS -> run < SEPARATE ? FEATURES : Math.max(1, PART / rows / run);
      case FEATURES -> 1;
    };
  }

  long firstFeature(int tile) {
    return tile * featuresOfTile();
  }

  int features(int tile) {
    return (int) Math.min(featuresOfTile(), features - firstFeature(tile));
  }

  int parts(int tile) {
    return Math.toIntExact(
        ceil(rows, rowsOfPart(tile)) * ceil(features(tile), featuresOfPart(tile)) * cuts());
  }

  private long rowsOfPart(int tile) {
    if (size() <= PART) {
      return rows;
    }
    return Math.min(rows, Math.max(1, PART / features(tile) / run));
  }

  /** Features of a part, fewer where a row is too long for one. */
  private long featuresOfPart(int tile) {
    if (size() <= PART) {
      return features(tile);
    }
    return Math.min(features(tile), Math.max(1, PART / run));
  }

  /** Pieces of a run, several where it is too long for a part. */
  private long cuts() {
    return ceil(run, PART);
  }

  Part part(int tile, int index) {
    if (size() <= PART) {
      return new Part(firstFeature(tile) * run, 0, (int) rows, 0, features(tile), 0, (int) run);
    }
    long width = featuresOfPart(tile);
    long cuts = cuts();
    long columns = ceil(features(tile), width) * cuts;
    long row = index / columns * rowsOfPart(tile);
    long feature = index % columns / cuts * width;
    long from = index % cuts * PART;
    return new Part(
        (firstFeature(tile) + feature) * run + row * rowLength() + from,
        row,
        (int) Math.min(rowsOfPart(tile), rows - row),
        (int) feature,
        (int) Math.min(width, features(tile) - feature),
        from,
        (int) Math.min(PART, run - from));
  }

  /**
   * A part of a group.
   *
   * @param at index of its first element, counted from the group's
   * @param row its first row, counted from the group's
   * @param feature its first feature, counted from the tile's
   * @param from its first position in each run
   * @param length of its piece of each run
   */
  record Part(long at, long row, int rows, int feature, int features, long from, int length) {
    /** One row of it. */
    Part ofRow(int index, long rowLength) {
      return new Part(at + index * rowLength, row + index, 1, feature, features, from, length);
    }

    /** One feature of it. */
    Part of(int feature) {
      return new Part(at, row, rows, feature, 1, from, length);
    }
  }

  /** What is done with a part. */
  interface PartAction {
    void accept(Part part);
  }

  /**
   * Goes through a part in the order of its rows: what counts of it, in parts, and what does not.
   *
   * @param gaps what is done with what does not count; null for nothing
   */
  void forEachCounting(Part part, PartAction counting, @Nullable PartAction gaps) {
    if (counts == null) {
      counting.accept(part);
      return;
    }
    counts.forEach(
        part.row(),
        part.rows(),
        part.from(),
        part.length(),
        (row, rows, from, length) -> counting.accept(within(part, row, rows, from, length)),
        gaps == null
            ? null
            : (row, rows, from, length) -> gaps.accept(within(part, row, rows, from, length)));
  }

  /** What is done with neighbours of one feature. */
  interface RunAction {
    void accept(long at, int count);
  }

  /**
   * Goes through all that counts of a feature.
   *
   * @param at of the feature's first element
   * @param longest neighbours that are visited together at most
   */
  void forEachRun(long at, int longest, RunAction action) {
    if (counts == null) {
      forEachRun(at, 0, rows, 0, run, longest, action);
    } else {
      counts.forEach(
          0,
          rows,
          0,
          run,
          (row, few, from, length) -> forEachRun(at, row, few, from, length, longest, action),
          null);
    }
  }

  private void forEachRun(
      long at, long row, long few, long from, long length, int longest, RunAction action) {
    for (long i = 0; i < few; i++) {
      for (long done = 0; done < length; done += longest) {
        action.accept(
            at + (row + i) * rowLength() + from + done, (int) Math.min(longest, length - done));
      }
    }
  }

  private Part within(Part part, long row, int rows, long from, long length) {
    return new Part(
        part.at() + (row - part.row()) * rowLength() + (from - part.from()),
        row,
        rows,
        part.feature(),
        part.features(),
        from,
        (int) length);
  }

  private static long ceil(long a, long b) {
    // No division where there is only one: ten divisions took a tenth of the time of (8, 64).
    return a <= b ? 1 : (a + b - 1) / b;
  }
}
