package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.types.Shape;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;

/**
 * How a batch is viewed, so that an engine sums and broadcasts along long contiguous runs. Values
 * per group are held as {@code [groups, features]}.
 *
 * <p>Sums go over one axis in the arithmetic of the batch and over what is left in 64 bits. Short
 * runs of a feature are not summed by themselves: whole examples are added up first.
 */
final class Layout {
  /** Shorter runs than this cost an engine more to enter than to walk. */
  private static final long SHORT_RUN = 64;

  /** Runs shorter than this are multiplied faster as whole examples. */
  private static final long VECTOR = 8;

  /** Rows that are added up at once: more, a power of two apart, would contend for cache lines. */
  private static final long STRIPS = 16;

  /**
   * Longer runs than this are too long for an accumulator of 32 bits that adds one by one: sums of
   * squares were off by 32 units of 2^-24 for 2226 elements, and by 60 for 4100.
   */
  private static final long LONG_RUN = 256;

  /** DJL gives them to Java in one buffer of at most 2^31 bytes. */
  private static final long MOST_GROUPS = Integer.MAX_VALUE / Double.BYTES;

  private final Geometry geometry;
  private final boolean perExample;
  private final boolean wholeRows;

  /**
   * The view of a batch.
   *
   * @throws IllegalArgumentException if there are more groups than a Java array holds
   */
  Layout(Geometry geometry, Scope scope) {
    this.geometry = geometry;
    perExample = scope == Scope.EXAMPLE;
    wholeRows = !perExample && geometry.after() < SHORT_RUN;
    if (groups() > MOST_GROUPS / features()) {
      throw new IllegalArgumentException(
          "the batch has statistics of " + groups() + " groups for each of " + features()
              + " features; expected at most " + MOST_GROUPS + " in all");
    }
  }

  /** Elements of a group. */
  long elements() {
    return perExample ? geometry.positions() : geometry.elementsPerFeature();
  }

  /** Groups of one feature. */
  long groups() {
    return perExample ? geometry.batch() : 1;
  }

  long features() {
    return geometry.features();
  }

  /** Shape of statistics in the results: without groups where there is only one. */
  Shape statisticsShape() {
    return perExample ? new Shape(groups(), features()) : new Shape(features());
  }

  /** Shape of a value per group. */
  Shape groupShape() {
    return new Shape(groups(), features());
  }

  /** The batch, row-major whatever its strides were. */
  NDArray view(NDArray batch) {
    NDArray flat = batch.reshape(geometry.size());
    NDArray view = flat.reshape(viewShape());
    flat.close();
    return view;
  }

  private Shape viewShape() {
    long rows = geometry.batch() * geometry.before();
    if (wholeRows) {
      return new Shape(rows, features() * geometry.after());
    }
    return perExample
        ? new Shape(groups(), geometry.before(), features(), geometry.after())
        : new Shape(rows, features(), geometry.after());
  }

  /** Sums of a view over each group, in 64 bits. */
  NDArray sum(Workspace work, NDArray view) {
    if (wholeRows) {
      long row = features() * geometry.after();
      long rows = view.size() / row;
      long strips = largestDivisor(rows, STRIPS);
      NDArray sums = view.reshape(strips, rows / strips * row).sum(new int[] {0});
      return work.wide(sums.reshape(rows / strips, row).sum(new int[] {0}))
          .reshape(features(), geometry.after())
          .sum(new int[] {1})
          .reshape(groupShape());
    }
    if (!perExample) {
      return work.wide(view.sum(new int[] {2})).sum(new int[] {0}).reshape(groupShape());
    }
    return geometry.after() == 1
        ? work.wide(view.sum(new int[] {1})).reshape(groupShape())
        : work.wide(view.sum(new int[] {3})).sum(new int[] {1});
  }

  private static long largestDivisor(long number, long limit) {
    long divisor = Math.min(number, limit);
    while (number % divisor != 0) {
      divisor--;
    }
    return divisor;
  }

  /** Sums of a view's squares over each group, in 64 bits. */
  NDArray sumOfSquares(Workspace work, NDArray view) {
    long run = largestDivisor(geometry.after(), LONG_RUN);
    if (wholeRows || run < SHORT_RUN || !work.hasFusedNorm(view)) {
      NDArray squares = view.square();
      NDArray sums = sum(work, squares);
      squares.close();
      return sums;
    }
    NDArray runs = view.reshape(groups(), -1, features(), geometry.after() / run, run);
    NDArray norms = work.wide(runs.norm(new int[] {4}));
    return norms.square().sum(new int[] {1, 3}).reshape(groupShape());
  }

  /** {@code slope * view + constant}, with a slope and a constant for each group. */
  NDArray line(Workspace work, NDArray view, NDArray slope, NDArray constant) {
    if (perExample ? geometry.before() > 1 : geometry.after() < VECTOR) {
      return work.addToProduct(view.mul(spread(slope)), spread(constant));
    }
    long channels = groups() * features();
    return work.line(
            view.reshape(-1, channels, geometry.after()),
            slope.reshape(channels),
            constant.reshape(channels))
        .reshape(viewShape());
  }

  /** Largest element of a view in each group. */
  NDArray max(NDArray view) {
    if (wholeRows) {
      return view.max(new int[] {0})
          .reshape(features(), geometry.after())
          .max(new int[] {1})
          .reshape(groupShape());
    }
    return perExample
        ? view.max(new int[] {3}).max(new int[] {1})
        : view.max(new int[] {2}).max(new int[] {0}).reshape(groupShape());
  }

  /** A value per group, in a shape that broadcasts against a view. */
  NDArray spread(NDArray perGroup) {
    if (perExample) {
      return perGroup.reshape(groups(), 1, features(), 1);
    }
    if (!wholeRows) {
      return perGroup.reshape(1, features(), 1);
    }
    return geometry.after() == 1
        ? perGroup
        : perGroup
            .reshape(features(), 1)
            .broadcast(features(), geometry.after())
            .reshape(1, features() * geometry.after());
  }
}
