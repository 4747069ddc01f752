package dev.vbn.spi;

import static java.util.Objects.requireNonNull;

import java.util.stream.IntStream;

/** Neighbouring examples of a masked batch, and the smaller, dense batch of what counts in them. */
public final class CountedPart {
  private final Geometry whole;
  private final Counted counted;
  private final long first;
  private final long examples;
  private final long elements;

  private CountedPart(Geometry whole, Counted counted, long first, long examples, long elements) {
    this.whole = whole;
    this.counted = counted;
    this.first = first;
    this.examples = examples;
    this.elements = elements;
  }

  /**
   * The parts of a masked batch that are each computed as one.
   *
   * @param geometry with {@link Geometry#counted}
   * @return in {@link Scope#EXAMPLE} each example, even those of which nothing counts; else the
   *     whole batch
   */
  public static CountedPart[] of(Geometry geometry, Scope scope) {
    Counted counted =
        requireNonNull(geometry.counted(), "everything counts; expected a masked batch");
    return scope == Scope.EXAMPLE
        ? IntStream.range(0, Math.toIntExact(geometry.batch()))
            .mapToObj(i -> new CountedPart(geometry, counted, i, 1, counted.elements(i)))
            .toArray(CountedPart[]::new)
        : new CountedPart[] {
          new CountedPart(geometry, counted, 0, geometry.batch(), counted.elements())
        };
  }

  /** Elements of one feature that count; 0 for an example that is not part of the batch. */
  public long elements() {
    return elements;
  }

  /** The first example. */
  long first() {
    return first;
  }

  /** First element of the part in the batch, whether it counts or not. */
  public long from() {
    return first * whole.positions() * whole.features();
  }

  /** The element after the last of the part in the batch. */
  public long to() {
    return from() + examples * whole.positions() * whole.features();
  }

  /**
   * The batch of what counts, as one example: channels-last where the whole batch is, else features
   * first. Only for a part of which something counts.
   */
  public Geometry dense() {
    return whole.after() == 1
        ? new Geometry(1, elements, whole.features(), 1)
        : new Geometry(1, 1, whole.features(), elements);
  }

  /** The shape of {@link #dense}, of rank 3. */
  public long[] denseShape() {
    return whole.after() == 1
        ? new long[] {1, elements, whole.features()}
        : new long[] {1, whole.features(), elements};
  }

  /** What to do with a run of neighbours. */
  public interface Run {
    /**
     * Elements that are neighbours both in the batch and among what counts.
     *
     * @param inBatch first of them in the batch, row-major
     * @param inDense first of them in the dense batch
     * @param length their number
     */
    void visit(long inBatch, long inDense, int length);
  }

  /** Visits all that counts. Runs of more than {@code longest} are visited piece by piece. */
  public void forEachRun(int longest, Run run) {
    long row = first * whole.before();
    long end = row + examples * whole.before();
    if (whole.after() == 1) {
      forEachRunOfRows(row, end, longest, run);
      return;
    }
    long features = whole.features();
    long[] from = new long[0];
    long[] length = new long[0];
    long next = 0;
    for (; row < end; row++) {
      int spans = counted.spans(row);
      if (from.length < spans) {
        from = new long[spans];
        length = new long[spans];
      }
      long sum = 0;
      for (int span = 0; span < spans; span++) {
        from[span] = counted.from(row, span);
        length[span] = counted.to(row, span) - from[span];
        sum += length[span];
      }
      for (long feature = 0; feature < features; feature++) { // in the order of the memory
        long begin = (row * features + feature) * whole.after();
        long at = feature * elements + next;
        for (int span = 0; span < spans; span++) {
          visit(begin + from[span], at, length[span], longest, run);
          at += length[span];
        }
      }
      next += sum;
    }
  }

  private void forEachRunOfRows(long begin, long end, int longest, Run run) {
    long features = whole.features();
    long at = 0;
    long alike;
    for (long row = begin; row < end; row += alike) {
      alike = Math.min(counted.alike(row), end - row);
      if (counted.spans(row) == 1) {
        visit(row * features, at, alike * features, longest, run);
        at += alike * features;
      }
    }
  }

  private static void visit(long inBatch, long inDense, long length, int longest, Run run) {
    if (length <= longest) {
      run.visit(inBatch, inDense, (int) length);
      return;
    }
    for (long done = 0; done < length; done += longest) {
      run.visit(inBatch + done, inDense + done, (int) Math.min(longest, length - done));
    }
  }
}
