package dev.vbn.spi;

import java.util.Arrays;

/**
 * Canonical view of a batch of any rank and layout as a row-major array {@code [batch, before,
 * features, after]}: {@code before} and {@code after} are the products of the lengths between batch
 * and feature axis, and after the feature axis.
 *
 * @param batch examples
 * @param before positions of an example outside the feature axis
 * @param features features
 * @param after positions of an example inside the feature axis; 1 for channels-last
 */
public record Geometry(long batch, long before, long features, long after) {

  /**
   * Checks that the elements can be counted, so that every product of the lengths is exact.
   *
   * @throws IllegalArgumentException if a length is below 1, or all together are more elements than
   *     a long counts
   */
  public Geometry {
    if (batch < 1 || before < 1 || features < 1 || after < 1) {
      throw new IllegalArgumentException("lengths are " + batch + ", " + before + ", " + features
          + " and " + after + "; expected 1 or more each");
    }
    try {
      Math.multiplyExact(Math.multiplyExact(batch, before), Math.multiplyExact(features, after));
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          batch + " * " + before + " * " + features + " * " + after
              + " elements are more than a long counts; expected at most " + Long.MAX_VALUE,
          e);
    }
  }

  /**
   * The view of {@code shape}.
   *
   * @param shape 2 to 5 lengths, the batch first, none of them 0
   * @param featureAxis 1 to rank-1, or -1 to -(rank-1) counted from the end
   * @throws IllegalArgumentException if the shape or the axis is not so
   */
  public static Geometry of(long[] shape, int featureAxis) {
    int rank = shape.length;
    if (rank < 2 || rank > 5) {
      throw new IllegalArgumentException(
          "rank is " + rank + ", shape " + Arrays.toString(shape) + "; expected rank 2 to 5");
    }
    int axis = featureAxis < 0 ? featureAxis + rank : featureAxis;
    if (axis < 1 || axis >= rank) {
      throw new IllegalArgumentException("feature axis is " + featureAxis + " for shape "
          + Arrays.toString(shape) + "; expected 1 to " + (rank - 1) + ", or -1 to -" + (rank - 1));
    }
    for (long length : shape) {
      if (length < 1) {
        throw new IllegalArgumentException(
            "shape is " + Arrays.toString(shape) + "; expected at least 1 along every axis");
      }
    }
    try {
      return new Geometry(
          shape[0], product(shape, 1, axis), shape[axis], product(shape, axis + 1, rank));
    } catch (ArithmeticException e) {
      throw new IllegalArgumentException(
          "shape " + Arrays.toString(shape)
              + " has more elements than a long counts; expected at most " + Long.MAX_VALUE,
          e);
    }
  }

  private static long product(long[] shape, int from, int to) {
    long product = 1;
    for (int i = from; i < to; i++) {
      product = Math.multiplyExact(product, shape[i]);
    }
    return product;
  }

  /** Positions of one example: elements of one feature in it. */
  public long positions() {
    return before * after;
  }

  /** Elements of one feature in the whole batch. */
  public long elementsPerFeature() {
    return batch * positions();
  }

  /** Elements of the batch. */
  public long size() {
    return elementsPerFeature() * features;
  }
}
