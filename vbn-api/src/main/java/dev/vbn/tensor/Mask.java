package dev.vbn.tensor;

import static java.util.Objects.requireNonNull;

import java.io.InvalidObjectException;
import java.io.ObjectInputStream;
import java.io.Serializable;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Which elements of a batch count: not those that pad sequences to one length. All features of a
 * position count, or none. What does not count has no effect, NaN included, and its results are 0.
 *
 * <p>Immutable and safe to share between threads.
 */
public final class Mask implements Serializable {
  private static final long serialVersionUID = 1L;

  /** The axis of lengths where none is named: the first of the positions. */
  private static final int FIRST_POSITION_AXIS = 0;

  private final boolean @Nullable [] counts;

  /** Of {@link #counts}; else one length for each example. */
  private final long[] shapeOrLengths;

  private final int axis;

  private Mask(boolean @Nullable [] counts, long[] shapeOrLengths, int axis) {
    this.counts = counts;
    this.shapeOrLengths = shapeOrLengths;
    this.axis = axis;
  }

  /**
   * A mask of one value for each position of each example.
   *
   * @param counts whether each position counts, in row-major order; copied
   * @param shape the batch's shape without the feature axis, the batch first
   * @throws IllegalArgumentException if the shape does not hold exactly the array's elements
   * @throws NullPointerException if an argument is null
   */
  public static Mask of(boolean[] counts, long... shape) {
    requireNonNull(counts, "counts is null; expected boolean[]");
    long size = HostTensor.size(shape);
    if (size != counts.length) {
      throw new IllegalArgumentException("mask has " + counts.length + " values; expected " + size
          + " for shape " + Arrays.toString(shape));
    }
    return new Mask(counts.clone(), shape.clone(), FIRST_POSITION_AXIS);
  }

  /**
   * The mask of sequences: the first positions of each example count. Takes no memory per position.
   *
   * @param lengths how many positions of each example count along the first axis of positions, or
   *     another given by {@link #along}; 0 for an example that is not part of the batch; copied
   * @throws IllegalArgumentException if a length is negative, or there is none
   * @throws NullPointerException if {@code lengths} is null
   */
  public static Mask lengths(long... lengths) {
    requireNonNull(lengths, "lengths is null; expected one for each example");
    if (lengths.length == 0) {
      throw new IllegalArgumentException("no lengths are given; expected one for each example");
    }
    for (int i = 0; i < lengths.length; i++) {
      if (lengths[i] < 0) {
        throw new IllegalArgumentException(
            "length of example " + i + " is " + lengths[i] + "; expected 0 or more");
      }
    }
    return new Mask(null, lengths.clone(), FIRST_POSITION_AXIS);
  }

  /**
   * The same lengths along a given axis of positions.
   *
   * @param axis of the batch, the feature axis included; negative from the end
   * @throws IllegalArgumentException if the axis is 0, the batch axis
   * @throws IllegalStateException if this mask is not of lengths
   */
  public Mask along(int axis) {
    requireLengths();
    if (axis == 0) {
      throw new IllegalArgumentException(
          "axis of lengths is 0, the batch's; expected one of positions");
    }
    return new Mask(null, shapeOrLengths, axis);
  }

  /** Whether this mask was made of {@link #lengths}. */
  public boolean isOfLengths() {
    return counts == null;
  }

  /**
   * Axis of the batch that lengths go along, negative from the end; 0 for the first axis of positions.
   *
   * @throws IllegalStateException if this mask is not of lengths
   */
  public int axis() {
    requireLengths();
    return axis;
  }

  /**
   * Length of each example; a copy.
   *
   * @throws IllegalStateException if this mask is not of lengths
   */
  public long[] exampleLengths() {
    requireLengths();
    return shapeOrLengths.clone();
  }

  private void requireLengths() {
    if (counts != null) {
      throw new IllegalStateException(this + " has no lengths; expected one of Mask.lengths");
    }
  }

  /**
   * The batch's shape without the feature axis; a copy.
   *
   * @throws IllegalStateException if this mask is of lengths, which fit many shapes
   */
  public long[] shape() {
    requireCounts();
    return shapeOrLengths.clone();
  }

  /**
   * Whether the position of that index counts.
   *
   * @param index in row-major order
   * @throws IllegalStateException if this mask is of lengths
   */
  public boolean counts(int index) {
    return requireCounts()[index];
  }

  private boolean[] requireCounts() {
    if (counts == null) {
      throw new IllegalStateException(this + " has no shape; expected one of Mask.of");
    }
    return counts;
  }

  /** Whether the other was made from the same values. */
  @Override
  public boolean equals(Object object) {
    return object instanceof Mask other
        && axis == other.axis
        && Arrays.equals(shapeOrLengths, other.shapeOrLengths)
        && Arrays.equals(counts, other.counts);
  }

  @Override
  public int hashCode() {
    return 31 * (31 * Arrays.hashCode(counts) + Arrays.hashCode(shapeOrLengths)) + axis;
  }

  /** What it was made from, but not the values of each position. */
  @Override
  public String toString() {
    return counts != null
        ? "Mask of shape " + Arrays.toString(shapeOrLengths)
        : "Mask of " + shapeOrLengths.length + " lengths"
            + (axis == FIRST_POSITION_AXIS ? "" : " along axis " + axis);
  }

  private Object writeReplace() {
    return new Serialized(counts, shapeOrLengths, axis);
  }

  private void readObject(ObjectInputStream in) throws InvalidObjectException {
    throw new InvalidObjectException("stream holds a Mask itself; expected its serialized form");
  }

  /** What a stream holds. Only what the factories accept is read back. */
  private static final class Serialized implements Serializable {
    private static final long serialVersionUID = 1L;

    private final boolean @Nullable [] counts;
    private final long[] shapeOrLengths;
    private final int axis;

    Serialized(boolean @Nullable [] counts, long[] shapeOrLengths, int axis) {
      this.counts = counts;
      this.shapeOrLengths = shapeOrLengths;
      this.axis = axis;
    }

    private Object readResolve() throws InvalidObjectException {
      try {
        if (counts != null) {
          return of(counts, shapeOrLengths);
        }
        Mask lengths = lengths(shapeOrLengths);
        return axis == FIRST_POSITION_AXIS ? lengths : lengths.along(axis);
      } catch (IllegalArgumentException | NullPointerException e) {
        InvalidObjectException refusal =
            new InvalidObjectException("stream does not hold a mask: " + e.getMessage());
        refusal.initCause(e);
        throw refusal;
      }
    }
  }
}
