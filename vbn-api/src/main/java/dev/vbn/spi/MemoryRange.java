package dev.vbn.spi;

import static java.util.Objects.requireNonNull;

import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Map;

/**
 * Where the elements of a tensor lie: the one of index {@code (i, j, ...)} at
 * {@code start + i*strides[0] + j*strides[1] + ...}. It tells whether two tensors share memory or
 * only interleave.
 */
public final class MemoryRange {
  private static final long[] NONE = {};

  /** Steps of the search for a common byte; after that many, one is assumed to exist. */
  private static final int PATIENCE = 10_000;

  private final Object space;
  private final long start;
  private final int width;

  // Contiguous bytes, and the axes around them. Axes of length 1 are left out, and axes without
  // gaps between them are merged, so that a row-major layout has only one representation.
  private final long run;
  private final long[] lengths;
  private final long[] strides;

  // The first byte of any element, and the one past the last
  private final long low;
  private final long high;

  private MemoryRange(
      Object space, long start, int width, long run, long[] lengths, long[] strides) {
    this.space = requireNonNull(space, "space is null; expected what the addresses count in");
    this.start = start;
    this.width = width;
    this.run = run;
    this.lengths = lengths;
    this.strides = strides;
    long first = start;
    long end = start + run;
    boolean empty = run == 0;
    for (int axis = 0; axis < lengths.length; axis++) {
      long reach = (lengths[axis] - 1) * strides[axis];
      first += Math.min(reach, 0);
      end += Math.max(reach, 0);
      empty |= lengths[axis] == 0;
    }
    low = empty ? start : first;
    high = empty ? start : end;
  }

  /**
   * The elements of a dense row-major tensor.
   *
   * @param space what the addresses count in: the array that holds the tensor, or one object for all
   *     tensors in the same memory
   * @param start address of the first element, in bytes
   * @param width bytes of an element
   * @param elements their number
   */
  public static MemoryRange dense(Object space, long start, int width, long elements) {
    return new MemoryRange(space, start, width, width * elements, NONE, NONE);
  }

  /**
   * The elements of a view.
   *
   * @param space as in {@link #dense}
   * @param start as in {@link #dense}
   * @param width as in {@link #dense}
   * @param shape lengths of the axes, outermost first
   * @param strides bytes between neighbours along each axis, of any sign
   */
  public static MemoryRange of(Object space, long start, int width, long[] shape, long[] strides) {
    long[] lengths = new long[shape.length];
    long[] steps = new long[shape.length];
    int axes = 0;
    for (int axis = 0; axis < shape.length; axis++) {
      if (shape[axis] == 1) {
        continue;
      }
      if (axes > 0 && steps[axes - 1] == shape[axis] * strides[axis]) {
        lengths[axes - 1] *= shape[axis];
        steps[axes - 1] = strides[axis];
      } else {
        lengths[axes] = shape[axis];
        steps[axes] = strides[axis];
        axes++;
      }
    }
    long run = width;
    if (axes > 0 && steps[axes - 1] == width) {
      axes--;
      run *= lengths[axes];
    }
    return new MemoryRange(
        space, start, width, run, Arrays.copyOf(lengths, axes), Arrays.copyOf(steps, axes));
  }

  /** Whether both have the same elements in the same order, given that their shapes are equal. */
  public boolean same(MemoryRange other) {
    return space.equals(other.space)
        && start == other.start
        && width == other.width
        && run == other.run
        && Arrays.equals(lengths, other.lengths)
        && Arrays.equals(strides, other.strides);
  }

  /**
   * Whether any element of one has a byte in common with an element of the other. Elements that
   * interleave, such as the two halves of a row's features, have none. Exact except for views so
   * entangled that no program makes them: those that several thousand steps cannot tell apart are
   * assumed to overlap.
   */
  public boolean overlaps(MemoryRange other) {
    return space.equals(other.space)
        && Math.max(low, other.low) < Math.min(high, other.high)
        && new Meeting(this, other).found();
  }

  /** The range in bytes, from the first to the one past the last. */
  @Override
  public String toString() {
    return "bytes 0x" + Long.toHexString(low) + " to 0x" + Long.toHexString(high);
  }

  /**
   * The search for two runs that meet: for numbers {@code 0 <= n[k] <= most[k]} with
   * {@code from <= sum(n[k] * steps[k]) <= to}. Axes of equal stride share one unknown, in both
   * tensors, so that views of one array have few; a step larger than all smaller ones reach
   * together leaves no choice.
   */
  private static final class Meeting {
    private final long[] steps;
    private final long[] most;

    /** What the steps from here on reach together, and their greatest common divisor. */
    private final long[] reach;

    private final long[] divisor;
    private final long from;
    private final long to;
    private int patience = PATIENCE;

    Meeting(MemoryRange one, MemoryRange other) {
      Map<Long, Long> unknowns = new HashMap<>();
      count(unknowns, one);
      count(unknowns, other);
      unknowns.remove(0L);
      steps = unknowns.keySet().stream()
          .sorted(Comparator.reverseOrder())
          .mapToLong(step -> step)
          .toArray();
      most = Arrays.stream(steps).map(unknowns::get).toArray();
      reach = new long[steps.length + 1];
      divisor = new long[steps.length + 1];
      for (int i = steps.length - 1; i >= 0; i--) {
        reach[i] = reach[i + 1] + steps[i] * most[i];
        divisor[i] = divisor(steps[i], divisor[i + 1]);
      }
      // From the lowest run of one to the highest of the other. The steps lead from there to any
      // two runs, and to two that meet if they end less than a run's length from each other.
      long distance = other.high - other.run - one.low;
      from = distance - one.run + 1;
      to = distance + other.run - 1;
    }

    private static void count(Map<Long, Long> unknowns, MemoryRange range) {
      for (int axis = 0; axis < range.lengths.length; axis++) {
        unknowns.merge(Math.abs(range.strides[axis]), range.lengths[axis] - 1, Long::sum);
      }
    }

    private static long divisor(long a, long b) {
      return b == 0 ? a : divisor(b, a % b);
    }

    boolean found() {
      return found(0, from, to);
    }

    private boolean found(int i, long from, long to) {
      if (to < 0 || from > reach[i]) {
        return false;
      }
      if (i == steps.length) {
        return true; // from <= 0 <= to
      }
      if (Math.floorDiv(to, divisor[i]) * divisor[i] < from) {
        return false; // no multiple of what all further steps are multiples of
      }
      if (patience == 0) {
        return true;
      }
      patience--;
      long step = steps[i];
      long first = Math.max(0, -Math.floorDiv(reach[i + 1] - from, step));
      long last = Math.min(most[i], Math.floorDiv(to, step));
      for (long n = last; n >= first; n--) {
        if (found(i + 1, from - n * step, to - n * step)) {
          return true;
        }
      }
      return false;
    }
  }
}
