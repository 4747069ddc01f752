package dev.vbn.kernels;

/**
 * How the elements of one group lie: {@code rows} rows of {@code features} runs of {@code run}
 * neighbours each.
 *
 * <p>A tile is the features that are computed together. Of long runs these are as many as may be, so
 * that rows are gone through in the order of the memory; what is kept for each of them bounds them. Of
 * short runs they are a strip, which is found in cache when it is written. A part is what one thread
 * sums or writes at a time: a range of rows of a tile or, where rows are long, a range of features or
 * of positions of all rows. Parts are cut by the shape alone, so that no bit depends on the number of
 * threads.
 *
 * @param order how elements are gone through
 */
record Layout(long rows, long features, long run, Order order) {
  /** How elements are gone through. */
  enum Order {
    /** Strip by strip. */
    STRIPS,
    /** Row by row, and in each row run by run. */
    ROWS,
    /** Feature by feature, and of each run by run. */
    FEATURES
  }

  /** Their statistics and parameters are copied at a time. */
  private static final int FEATURES = Elements.LONGEST_COPY;

  /** Elements of a run from which on the order of the memory gains nothing over less memory. */
  private static final int SEPARATE = 2048;

  /** Elements of a part: enough for a hand-over, and 1 MiB of 32 bits. */
  private static final int PART = 1 << 18;

  long rowLength() {
    return features * run;
  }

  long size() {
    return rows * features * run;
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

  /** Of a row too long for a part. */
  private long featuresOfPart(int tile) {
    if (size() <= PART) {
      return features(tile);
    }
    return Math.min(features(tile), Math.max(1, PART / run));
  }

  /** Of a run too long for a part. */
  private long cuts() {
    return ceil(run, PART);
  }

  Part part(int tile, int index) {
    if (size() <= PART) {
      return new Part(firstFeature(tile) * run, (int) rows, 0, features(tile), (int) run);
    }
    long width = featuresOfPart(tile);
    long cuts = cuts();
    long columns = ceil(features(tile), width) * cuts;
    long row = index / columns * rowsOfPart(tile);
    long feature = index % columns / cuts * width;
    long from = index % cuts * PART;
    return new Part(
        (firstFeature(tile) + feature) * run + row * rowLength() + from,
        (int) Math.min(rowsOfPart(tile), rows - row),
        (int) feature,
        (int) Math.min(width, features(tile) - feature),
        (int) Math.min(PART, run - from));
  }

  /**
   * A part of a group.
   *
   * @param at of its first element, counted from the group's
   * @param feature its first, counted from the tile's
   * @param length of each run of it
   */
  record Part(long at, int rows, int feature, int features, int length) {}

  private static long ceil(long a, long b) {
    // Without a division where there is one of them: ten took a tenth of the time of (8, 64).
    return a <= b ? 1 : (a + b - 1) / b;
  }
}
