package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What counts of a group of a masked batch, copied together, processed as a batch of one example,
 * and copied back. With short spans this is faster than processing each where it lies.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
final class Packed<A> {
  /** Runs shorter than this are packed position by position: all features of one, then of the next. */
  private static final int LONG_RUN = 64;

  /** Most elements of an array that is kept for the next call. */
  private static final int KEPT = 1 << 20;

  /** Mean length of counting spans from which on they are copied span by span. */
  private static final int COPIED_SPAN = 8;

  private final Loops<A> loops;
  private final Scratch<A> scratch;
  private final Counts counts;
  private final int features;
  private final long run;
  private final List<Elements<A>> batches = new ArrayList<>(2);
  private final List<Elements<A>> copies = new ArrayList<>(2);

  /**
   * What counts of a group.
   *
   * @param scratch lends its arrays, until another of these is made with it
   */
  Packed(Loops<A> loops, Scratch<A> scratch, Geometry geometry, Counts counts) {
    this.loops = loops;
    this.scratch = scratch;
    this.counts = counts;
    features = (int) geometry.features();
    run = geometry.after();
  }

  /** Whether what counts of a group fits an array. */
  static boolean fits(Geometry geometry, Counts counts) {
    return counts.elements() * geometry.features() <= Integer.MAX_VALUE - 8
        && geometry.after() <= Integer.MAX_VALUE;
  }

  /** The batch that it is: channels-last, or features first. */
  Geometry geometry() {
    return byPosition()
        ? new Geometry(1, counts.elements(), features, 1)
        : new Geometry(1, 1, features, counts.elements());
  }

  private boolean byPosition() {
    return run < LONG_RUN;
  }

  private int size() {
    return (int) (counts.elements() * features);
  }

  /** A copy of what counts, one for each batch. */
  Elements<A> copyOf(Elements<A> batch) {
    int known = batches.indexOf(batch);
    if (known < 0) {
      known = batches.size();
      batches.add(batch);
      copies.add(copy(batch, room(known)));
    }
    return copies.get(known);
  }

  private A room(int index) {
    if (size() > KEPT) {
      return loops.array(size());
    }
    if (scratch.packedSize < size()) {
      scratch.packed.clear();
      scratch.packedSize = size();
    }
    if (scratch.packed.size() == index) {
      scratch.packed.add(loops.array(scratch.packedSize));
    }
    return scratch.packed.get(index);
  }

  private Elements<A> copy(Elements<A> batch, A packed) {
    Window<A> window = new Window<>(loops, batch, true);
    forEachBlock((at, count, runs, spans, first, stride, step) -> {
      window.move(at, count);
      loops.gather(window.array, window.at, runs, count / runs, spans, packed, first, stride, step);
    });
    return loops.elements(packed);
  }

  /** Copies back what counts, and sets all else of the group to 0. */
  void copyTo(Elements<A> packed, Elements<A> batch) {
    A array = requireNonNull(packed.array);
    Window<A> window = new Window<>(loops, batch, false);
    forEachBlock((at, count, runs, spans, first, stride, step) -> {
      window.move(at, count);
      loops.scatter(array, first, stride, step, spans, window.array, window.at, runs, count / runs);
    });
    window.close();
  }

  private interface BlockAction {
    /**
     * Takes elements of the batch that lie together.
     *
     * @param at index of the first in the batch
     * @param count number of elements
     * @param runs number of runs that they belong to, all with the same spans
     * @param first index, in what is packed, of what counts of the first run
     * @param stride from there to the same of the next run
     * @param step from one element to the next
     */
    void accept(long at, int count, int runs, Spans spans, int first, int stride, int step);
  }

  /** Visits the blocks in memory order. */
  private void forEachBlock(BlockAction action) {
    Spans spans = new Spans(byPosition() && run > 1);
    if (run == 1) {
      forEachBlockOfRows(spans, action);
      return;
    }
    Counted counted = counts.counted();
    long elements = counts.elements();
    int width = (int) Math.max(1, Scratch.WINDOW / run);
    int next = 0;
    long known = 0; // rows whose spans are the ones at hand
    for (long row = counts.firstRow(); row < counts.firstRow() + counts.rows(); row++) {
      if (row >= known) {
        spans.ofRow(counted, row);
        known = row + counted.alike(row);
      }
      for (int f = 0; f < features; f += width) {
        int few = Math.min(width, features - f);
        long at = (row * features + f) * run;
        int count = (int) (few * run);
        if (byPosition()) {
          action.accept(at, count, few, spans, next * features + f, 1, features);
        } else {
          action.accept(at, count, few, spans, (int) (f * elements + next), (int) elements, 1);
        }
      }
      next += spans.total;
    }
  }

  private void forEachBlockOfRows(Spans spans, BlockAction action) {
    int height = Math.max(1, Scratch.WINDOW / features);
    int next = 0;
    for (long done = 0; done < counts.rows(); done += height) {
      long row = counts.firstRow() + done;
      int few = (int) Math.min(height, counts.rows() - done);
      spans.ofRows(counts.counted(), row, few, features);
      action.accept(row * features, few * features, 1, spans, next, 0, 1);
      next += spans.total;
    }
  }

  /** What counts of each run of a block. */
  static final class Spans {
    /** First element of each span and the one after its last, in turn. */
    int[] bounds = new int[16];

    int count;

    /** Elements of all of them. */
    int total;

    /** Each of these elements, where spans are short; else null. */
    int @Nullable [] places;

    private final boolean alwaysPlaces;
    private int[] room = {};

    Spans(boolean alwaysPlaces) {
      this.alwaysPlaces = alwaysPlaces;
    }

    private void add(long from, long to) {
      if (2 * count == bounds.length) {
        bounds = Arrays.copyOf(bounds, 4 * count);
      }
      bounds[2 * count] = (int) from;
      bounds[2 * count + 1] = (int) to;
      count++;
      total += (int) (to - from);
    }

    void ofRow(Counted counted, long row) {
      count = 0;
      total = 0;
      int spans = counted.spans(row);
      for (int i = 0; i < spans; i++) {
        add(counted.from(row, i), counted.to(row, i));
      }
      spread();
    }

    /** Of rows of one position each, which lie one after the other. */
    void ofRows(Counted counted, long row, int rows, int features) {
      count = 0;
      total = 0;
      int alike;
      for (int done = 0; done < rows; done += alike) {
        alike = (int) Math.min(counted.alike(row + done), rows - done);
        if (counted.spans(row + done) > 0) {
          add((long) done * features, (long) (done + alike) * features);
        }
      }
      spread();
    }

    private void spread() {
      places = null;
      if (!alwaysPlaces && total >= count * COPIED_SPAN) {
        return;
      }
      if (room.length < total) {
        room = new int[total];
      }
      places = room;
      int next = 0;
      for (int i = 0; i < count; i++) {
        for (int at = bounds[2 * i]; at < bounds[2 * i + 1]; at++) {
          places[next++] = at;
        }
      }
    }
  }

  /** A block as an array: the batch's own, or a copy of what lies in other memory. */
  private static final class Window<A> {
    private final Elements<A> memory;
    private final Loops<A> loops;
    private final boolean read;
    private @Nullable Elements<A> copy;

    /** What the window has; where it lies in {@link #array}. */
    A array;

    int at;

    private int room = Scratch.WINDOW;
    private long begin;
    private int count;

    /** A window that is read, or one that begins with zeros and is written. */
    Window(Loops<A> loops, Elements<A> memory, boolean read) {
      this.loops = loops;
      this.memory = memory;
      this.read = read;
      array = memory.array != null ? memory.array : loops.array(Scratch.WINDOW);
      copy = memory.array != null ? null : loops.elements(array);
    }

    void move(long to, int length) {
      if (copy == null) {
        at = (int) to;
        if (!read) {
          memory.clear(to, length);
        }
        return;
      }
      close();
      begin = to;
      count = length;
      if (room < length) {
        room = length;
        array = loops.array(length);
        copy = loops.elements(array);
      }
      if (!read) {
        copy.clear(0, length);
        return;
      }
      for (int done = 0; done < length; done += Elements.LONGEST_COPY) {
        int few = Math.min(Elements.LONGEST_COPY, length - done);
        memory.load(begin + done, few, array, done);
      }
    }

    /** Writes back what has been written. */
    void close() {
      for (int done = 0; !read && copy != null && done < count; done += Elements.LONGEST_COPY) {
        int few = Math.min(Elements.LONGEST_COPY, count - done);
        memory.store(begin + done, few, array, done);
      }
      count = 0;
    }
  }
}
