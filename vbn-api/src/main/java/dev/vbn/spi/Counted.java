package dev.vbn.spi;

import static java.util.Objects.requireNonNull;

import dev.vbn.tensor.Mask;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The elements of a masked batch that count, in the order of its {@link Geometry}: in each row
 * {@code example * before + b}, spans of {@code after}. At least one element counts, and at least
 * one does not. Spans neither touch nor overlap, and are in ascending order.
 */
public final class Counted {
  private final long batch;
  private final long before;
  private final long after;
  private final @Nullable Lengths lengths;

  /** Whether the axis of the lengths comes after the features, so that it is cut within a row. */
  private final boolean inRows;

  /** Where the spans of each row begin in {@link #bounds}, and where the last ends; or none. */
  private final int[] firstSpans;

  /** First element of each span and the one after its last, in turn; or none. */
  private final int[] bounds;

  /** For each row, the row after those that are {@link #alike}; or none. */
  private final int[] endsOfAlike;

  private final long[] ofExample;
  private final long examples;
  private final long elements;

  /**
   * Lengths along one axis of positions. Of the {@code before*after} positions of an example, in
   * row-major order, p counts if {@code p / inner % along} is less than the example's length.
   *
   * @param ofExample length of each example; not to be changed
   * @param along length of the axis
   * @param inner neighbouring positions that share a place on the axis
   */
  public record Lengths(long[] ofExample, long along, long inner) {}

  private Counted(
      Geometry geometry,
      @Nullable Lengths lengths,
      boolean inRows,
      int[] firstSpans,
      int[] bounds,
      long[] ofExample) {
    batch = geometry.batch();
    before = geometry.before();
    after = geometry.after();
    this.lengths = lengths;
    this.inRows = inRows;
    this.firstSpans = firstSpans;
    this.bounds = bounds;
    this.ofExample = ofExample;
    endsOfAlike = new int[Math.max(0, firstSpans.length - 1)];
    for (int row = endsOfAlike.length - 1; row >= 0; row--) {
      boolean more = row + 1 < endsOfAlike.length && haveSameSpans(row, row + 1);
      endsOfAlike[row] = more ? endsOfAlike[row + 1] : row + 1;
    }
    examples = Arrays.stream(ofExample).filter(count -> count > 0).count();
    elements = Arrays.stream(ofExample).sum();
  }

  /**
   * The elements that a mask lets count.
   *
   * @param shape of the batch
   * @param axis of the features, from 1
   * @param geometry of that shape
   * @return null if everything counts
   * @throws IllegalArgumentException if the mask does not fit the shape, or nothing counts
   */
  static @Nullable Counted of(Mask mask, long[] shape, int axis, Geometry geometry) {
    Counted counted = mask.isOfLengths()
        ? ofLengths(mask, shape, axis, geometry)
        : ofPositions(mask, shape, axis, geometry);
    if (counted.elements == 0) {
      throw new IllegalArgumentException(mask + " leaves nothing of shape " + Arrays.toString(shape)
          + "; expected at least one element that counts");
    }
    return counted.elements == geometry.elementsPerFeature() ? null : counted;
  }

  private static Counted ofLengths(Mask mask, long[] shape, int featureAxis, Geometry geometry) {
    long[] lengths = mask.exampleLengths();
    int axis = axis(mask, shape, featureAxis);
    if (lengths.length != shape[0]) {
      throw new IllegalArgumentException("mask has " + lengths.length + " lengths; expected "
          + shape[0] + ", one for each example of shape " + Arrays.toString(shape));
    }
    long along = shape[axis];
    long perPlace = geometry.positions() / along;
    long[] ofExample = new long[lengths.length];
    for (int i = 0; i < lengths.length; i++) {
      if (lengths[i] > along) {
        throw new IllegalArgumentException("length of example " + i + " is " + lengths[i]
            + "; expected at most " + along + ", that of axis " + axis + " of shape "
            + Arrays.toString(shape));
      }
      ofExample[i] = lengths[i] * perPlace;
    }
    boolean inRows = axis > featureAxis;
    long inner = 1;
    for (int i = axis + 1; i < shape.length; i++) {
      inner *= i == featureAxis ? 1 : shape[i];
    }
    return new Counted(
        geometry, new Lengths(lengths, along, inner), inRows, new int[0], new int[0], ofExample);
  }

  private static int axis(Mask mask, long[] shape, int featureAxis) {
    int rank = shape.length;
    if (rank == 2) {
      throw new IllegalArgumentException(mask + " was given for shape " + Arrays.toString(shape)
          + "; expected a batch with an axis of positions, or one of Mask.of");
    }
    if (mask.axis() == 0) {
      return featureAxis == 1 ? 2 : 1;
    }
    int axis = mask.axis() < 0 ? mask.axis() + rank : mask.axis();
    if (axis < 1 || axis >= rank || axis == featureAxis) {
      throw new IllegalArgumentException("axis of lengths is " + mask.axis() + " for shape "
          + Arrays.toString(shape) + "; expected one of positions, not that of the batch or of the"
          + " features, " + featureAxis);
    }
    return axis;
  }

  private static Counted ofPositions(Mask mask, long[] shape, int axis, Geometry geometry) {
    long[] expected = new long[shape.length - 1];
    for (int i = 0; i < expected.length; i++) {
      expected[i] = shape[i < axis ? i : i + 1];
    }
    if (!Arrays.equals(mask.shape(), expected)) {
      throw new IllegalArgumentException("mask has shape " + Arrays.toString(mask.shape())
          + "; expected " + Arrays.toString(expected) + ", that of the batch, "
          + Arrays.toString(shape) + ", without the feature axis, " + axis);
    }
    int before = (int) geometry.before();
    int after = (int) geometry.after();
    int rows = (int) geometry.batch() * before;
    int[] firstSpans = new int[rows + 1];
    int[] bounds = new int[16];
    int next = 0;
    long[] ofExample = new long[(int) geometry.batch()];
    for (int row = 0; row < rows; row++) {
      firstSpans[row] = next;
      for (int i = 0; i < after; i++) {
        int from = i;
        while (i < after && mask.counts(row * after + i)) {
          i++;
        }
        if (i > from) {
          bounds = next == bounds.length ? Arrays.copyOf(bounds, 2 * next) : bounds;
          bounds[next++] = from;
          bounds[next++] = i;
          ofExample[row / before] += i - from;
        }
      }
    }
    firstSpans[rows] = next;
    return new Counted(geometry, null, false, firstSpans, bounds, ofExample);
  }

  /** The lengths that say what counts; null where a mask of positions does. */
  public @Nullable Lengths lengths() {
    return lengths;
  }

  /**
   * For each position, in the order {@code [batch, before, after]}, whether it counts: 1 or 0.
   *
   * @throws ArithmeticException if there are more than an array can hold
   */
  public byte[] positions() {
    byte[] positions = new byte[Math.toIntExact(batch * before * after)];
    for (long row = 0; row < batch * before; row++) {
      long begin = row * after;
      for (int span = 0; span < spans(row); span++) {
        Arrays.fill(
            positions, (int) (begin + from(row, span)), (int) (begin + to(row, span)), (byte) 1);
      }
    }
    return positions;
  }

  /** K, elements of one feature that count. */
  public long elements() {
    return elements;
  }

  /** Elements of one feature that count in one example; 0 for one that is not part of the batch. */
  public long elements(long example) {
    return ofExample[(int) example];
  }

  /** Examples of which something counts. */
  public long examples() {
    return examples;
  }

  /**
   * Number of spans in a row.
   *
   * @param row {@code example * before + b}
   */
  public int spans(long row) {
    if (lengths == null) {
      return (firstSpans[(int) row + 1] - firstSpans[(int) row]) / 2;
    }
    long length = lengths.ofExample[(int) (row / before)];
    if (!inRows) {
      return row % before * after / lengths.inner % lengths.along < length ? 1 : 0;
    }
    return length == 0
        ? 0
        : length == lengths.along ? 1 : (int) (after / (lengths.along * lengths.inner));
  }

  /**
   * Number of neighbouring rows with the same spans: this one and all directly after it. Lengths
   * give the same number as a mask that says the same.
   *
   * @param row {@code example * before + b}
   */
  public long alike(long row) {
    if (lengths == null) {
      return endsOfAlike[(int) row] - row;
    }
    long end;
    long rows = batch * before;
    if (inRows) {
      int example = (int) (row / before);
      int next = example + 1;
      while (next < batch && lengths.ofExample[next] == lengths.ofExample[example]) {
        next++;
      }
      end = next * before;
    } else {
      int spans = spans(row);
      end = endOfPlace(row);
      while (end < rows && spans(end) == spans) {
        end = endOfPlace(end);
      }
    }
    return end - row;
  }

  private boolean haveSameSpans(int row, int other) {
    int length = firstSpans[row + 1] - firstSpans[row];
    if (after == 1 || length != firstSpans[other + 1] - firstSpans[other]) {
      return length == firstSpans[other + 1] - firstSpans[other];
    }
    return Arrays.equals(
        bounds,
        firstSpans[row],
        firstSpans[row + 1],
        bounds,
        firstSpans[other],
        firstSpans[other + 1]);
  }

  /** The row after those that count, or do not, for the same reason as this one. */
  private long endOfPlace(long row) {
    Lengths given = requireNonNull(lengths);
    long rowsOfPlace = given.inner / after;
    long whole = given.along * rowsOfPlace;
    long counting = given.ofExample[(int) (row / before)] * rowsOfPlace;
    long within = row % before % whole;
    return row - within + (within < counting ? counting : whole);
  }

  /** First element of a span of a row. */
  public long from(long row, int span) {
    if (lengths == null) {
      return bounds[firstSpans[(int) row] + 2 * span];
    }
    return inRows ? span * lengths.along * lengths.inner : 0;
  }

  /** The element after the last of a span of a row. */
  public long to(long row, int span) {
    if (lengths == null) {
      return bounds[firstSpans[(int) row] + 2 * span + 1];
    }
    long length = lengths.ofExample[(int) (row / before)];
    return inRows && length < lengths.along ? from(row, span) + length * lengths.inner : after;
  }

  /** Whether one element counts. To look at many, go from span to span instead. */
  public boolean counts(long example, long beforeFeatures, long afterFeatures) {
    long row = example * before + beforeFeatures;
    for (int span = 0; span < spans(row); span++) {
      if (afterFeatures >= from(row, span) && afterFeatures < to(row, span)) {
        return true;
      }
    }
    return false;
  }

  /** Whether the same elements of a batch of the same lengths count. */
  @Override
  public boolean equals(Object object) {
    if (!(object instanceof Counted other)
        || batch != other.batch
        || before != other.before
        || after != other.after
        || !Arrays.equals(ofExample, other.ofExample)) {
      return false;
    }
    for (long row = 0; row < batch * before; row++) {
      if (spans(row) != other.spans(row)) {
        return false;
      }
      for (int span = 0; span < spans(row); span++) {
        if (from(row, span) != other.from(row, span) || to(row, span) != other.to(row, span)) {
          return false;
        }
      }
    }
    return true;
  }

  @Override
  public int hashCode() {
    return Arrays.hashCode(ofExample);
  }

  /** How much counts. */
  @Override
  public String toString() {
    return elements + " of " + batch * before * after + " elements of " + examples + " examples";
  }
}
