package dev.vbn.spi;

import dev.vbn.tensor.Mask;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Canonical view of a batch of any rank and layout as a row-major array {@code [batch, before,
 * features, after]}: {@code before} and {@code after} are the products of the lengths between batch
 * and feature axis, and after the feature axis.
 *
 * @param batch examples
 * @param before positions of an example outside the feature axis
 * @param features features
 * @param after positions of an example inside the feature axis; 1 for channels-last
 * @param counted the elements that count; null where all do, and always without {@link
 *     Capability#MASK}
 */
public record Geometry(
    long batch,
    long before,
    long features,
    long after,
    @Nullable Counted counted) {

  /**
   * Checks that the elements can be counted, so that every product of the lengths is exact.
   *
   * @throws IllegalArgumentException if a length is below 1, or there are more elements than a long
   *     can count
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

  /** A batch of which every element counts. */
  public Geometry(long batch, long before, long features, long after) {
    this(batch, before, features, after, null);
  }

  /**
   * The view of {@code shape} under a mask.
   *
   * @param shape as below
   * @param featureAxis as below
   * @param mask null if every element counts
   * @throws IllegalArgumentException as below, or if the mask does not fit the shape, or leaves
   *     nothing of it
   */
  public static Geometry of(long[] shape, int featureAxis, @Nullable Mask mask) {
    Geometry all = of(shape, featureAxis);
    if (mask == null) {
      return all;
    }
    int axis = featureAxis < 0 ? featureAxis + shape.length : featureAxis;
    Counted counted = Counted.of(mask, shape, axis, all);
    return new Geometry(all.batch, all.before, all.features, all.after, counted);
  }

  /**
   * The view of {@code shape}.
   *
   * @param shape 2 to 5 lengths, the batch first, none of them 0
   * @param featureAxis 1 to rank-1, or -1 to -(rank-1) counted from the end
   * @throws IllegalArgumentException if the shape or the axis is invalid
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

  /** Positions of one example: elements of one feature in it, whether they count or not. */
  public long positions() {
    return before * after;
  }

  /** Elements of one feature in the whole batch, whether they count or not. */
  public long elementsPerFeature() {
    return batch * positions();
  }

  /** Examples of which something counts. */
  public long countedExamples() {
    return counted == null ? batch : counted.examples();
  }

  /** Elements of one feature that count. */
  public long countedElements() {
    return counted == null ? elementsPerFeature() : counted.elements();
  }

  /** Elements of one feature that count in one example; 0 where it is not part of the batch. */
  public long countedElements(long example) {
    return counted == null ? positions() : counted.elements(example);
  }

  /** Elements of the batch, whether they count or not. */
  public long size() {
    return elementsPerFeature() * features;
  }
}
