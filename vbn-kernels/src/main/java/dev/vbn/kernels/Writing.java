package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.Layout.Part;
import dev.vbn.kernels.Loops.Strip;
import org.jspecify.annotations.Nullable;

/**
 * The output of one call.
 *
 * @param <A> {@code float[]} or {@code double[]}
 */
final class Writing<A> extends Kernel<A> {
  /** Run length from which a run is written by itself, with no line for each lane. */
  private static final int WRITTEN_RUN = 64;

  /** A row of which everything is written. */
  private static final long WHOLE = -1;

  private final Elements<A> output;

  /** Whether all elements are in arrays. */
  private final boolean arrays;

  Writing(Loops<A> loops, Elements<A> x, @Nullable Elements<A> upstream, Elements<A> output) {
    super(loops, x, upstream);
    this.output = output;
    arrays =
        x.array != null && (upstream == null || upstream.array != null) && output.array != null;
  }

  /** The same over what counts of a group, copied together; it writes over a copy. */
  Writing<A> of(Packed<A> packed) {
    Elements<A> packedX = packed.copyOf(x);
    Elements<A> packedUpstream = upstream == null ? null : packed.copyOf(upstream);
    return new Writing<>(
        loops, packedX, packedUpstream, packedUpstream != null ? packedUpstream : packedX);
  }

  Elements<A> output() {
    return output;
  }

  /** Rounds lines to the type computed in, and says whether all of them fit. */
  boolean prepare(Lines lines, int features) {
    return loops.prepare(lines, features, withUpstream());
  }

  /** Writes the output of a part: 0 where nothing counts. */
  void write(Layout layout, Part part, long at, Lines lines, boolean fit, Scratch<A> scratch) {
    if (!fit) {
      layout.forEachCounting(
          part,
          piece -> writeWide(layout, piece, at, lines, scratch),
          gap -> clear(layout, gap, at));
    } else if (layout.blends()) {
      writeBlended(layout, part, at, lines, scratch);
    } else if (layout.run() < WRITTEN_RUN && layout.hasWholeRows()) {
      Strip strip = strip(layout, part);
      loops.spread(strip, lines, withUpstream(), scratch);
      layout.forEachCounting(
          part,
          piece -> writeStrips(layout, strip, piece, at, scratch),
          gap -> clear(layout, gap, at));
    } else {
      layout.forEachCounting(
          part,
          piece -> writeRows(layout, piece, at, lines, scratch),
          gap -> clear(layout, gap, at));
    }
  }

  /** Row by row, each whole, with 0 in place of what does not count. */
  private void writeBlended(Layout layout, Part part, long at, Lines lines, Scratch<A> scratch) {
    Counts counts = requireNonNull(layout.counts());
    boolean strips = layout.run() < WRITTEN_RUN;
    Strip strip = strip(layout, part);
    if (strips) {
      loops.spread(strip, lines, withUpstream(), scratch);
    }
    for (int i = part.rows() - 1; i >= 0; i--) {
      long from = at + part.at() + i * layout.rowLength();
      long row = part.row() + i;
      if (counts.isEmpty(row)) {
        clear(layout, part.ofRow(i, layout.rowLength()), at);
      } else if (strips) {
        writeBlended(layout, row, from, strip.lanes(), scratch);
      } else {
        writeRow(layout, part, row, from, lines, scratch);
      }
    }
  }

  private void writeBlended(Layout layout, long row, long at, int count, Scratch<A> scratch) {
    if (arrays) {
      writeStrips(at, 1, 0, count, scratch);
      A out = requireNonNull(output.array);
      select(layout, row, out, (int) at, count, scratch.zero, out, (int) at);
      return;
    }
    load(upstream, at, count, 0, scratch);
    A window = scratch.xWindow;
    A dy = upstream == null ? null : scratch.dyWindow;
    loops.writeStrips(window, dy, window, 0, 1, 0, count, scratch);
    select(layout, row, window, 0, count, scratch.zero, window, 0);
    output.store(at, count, window, 0);
  }

  private void clear(Layout layout, Part part, long at) {
    long from = at + part.at();
    long row = layout.rowLength();
    if (part.length() < layout.run()) {
      for (int i = 0; i < part.rows(); i++) {
        for (int f = 0; f < part.features(); f++) {
          output.clear(from + i * row + f * layout.run(), part.length());
        }
      }
    } else if (part.features() < layout.features()) {
      for (int i = 0; i < part.rows(); i++) {
        output.clear(from + i * row, part.features() * layout.run());
      }
    } else {
      output.clear(from, part.rows() * row);
    }
  }

  private void writeStrips(Layout layout, Strip strip, Part part, long at, Scratch<A> scratch) {
    int lanes = strip.lanes();
    long stride = strip.rows() * layout.rowLength();
    int strips = part.rows() / strip.rows();
    int rest = (int) (part.rows() % strip.rows() * layout.rowLength());
    long from = at + part.at();
    if (rest > 0) {
      writeStrips(from + strips * stride, 1, 0, rest, scratch);
    }
    writeStrips(from, strips, stride, lanes, scratch);
  }

  private void writeStrips(long at, int strips, long stride, int count, Scratch<A> scratch) {
    if (arrays) {
      loops.writeStrips(
          requireNonNull(x.array),
          upstream == null ? null : upstream.array,
          requireNonNull(output.array),
          (int) at,
          strips,
          (int) stride,
          count,
          scratch);
      return;
    }
    for (int i = strips - 1; i >= 0; i--) {
      load(upstream, at + i * stride, count, 0, scratch);
      A dy = upstream == null ? null : scratch.dyWindow;
      loops.writeStrips(scratch.xWindow, dy, scratch.xWindow, 0, 1, 0, count, scratch);
      output.store(at + i * stride, count, scratch.xWindow, 0);
    }
  }

  private void writeRows(Layout layout, Part part, long at, Lines lines, Scratch<A> scratch) {
    for (int row = part.rows() - 1; row >= 0; row--) {
      writeRow(layout, part, WHOLE, at + part.at() + row * layout.rowLength(), lines, scratch);
    }
  }

  /**
   * Writes a row of a part.
   *
   * @param row which is blended; or {@link #WHOLE}
   */
  private void writeRow(
      Layout layout, Part part, long row, long at, Lines lines, Scratch<A> scratch) {
    if (arrays) {
      A out = requireNonNull(output.array);
      loops.writeRow(
          requireNonNull(x.array),
          upstream == null ? null : upstream.array,
          out,
          (int) at,
          part.feature(),
          part.features(),
          (int) layout.run(),
          part.length(),
          lines);
      for (int f = 0; row != WHOLE && f < part.features(); f++) {
        int from = (int) (at + f * layout.run());
        select(layout, row, (int) part.from(), out, from, part.length(), 0, out, from);
      }
      return;
    }
    forWindows(layout, part, at, (start, feature, features, length) -> {
      loadRuns(layout, start, features, length, scratch);
      A dy = upstream == null ? null : scratch.dyWindow;
      A window = scratch.xWindow;
      loops.writeRow(window, dy, window, 0, feature, features, length, length, lines);
      int position = (int) (part.from() + (start - at) % layout.run());
      for (int f = 0; row != WHOLE && f < features; f++) {
        select(layout, row, position, window, f * length, length, 0, window, f * length);
      }
      if (length == layout.run()) {
        output.store(start, features * length, window, 0);
        return;
      }
      for (int f = 0; f < features; f++) {
        output.store(start + f * layout.run(), length, window, f * length);
      }
    });
  }

  /** Where some lines do not fit: what one feature holds changes no bit of another. */
  private void writeWide(Layout layout, Part part, long at, Lines lines, Scratch<A> scratch) {
    for (int row = part.rows() - 1; row >= 0; row--) {
      for (int f = 0; f < part.features(); f++) {
        int feature = part.feature() + f;
        long from = at + part.at() + row * layout.rowLength() + f * layout.run();
        if (loops.fits(lines, feature, withUpstream())) {
          writeRow(layout, part.of(feature), WHOLE, from, lines, scratch);
        } else {
          writeWide(from, part.length(), feature, lines, scratch);
        }
      }
    }
  }

  private void writeWide(long from, int length, int feature, Lines lines, Scratch<A> scratch) {
    double[] values = scratch.wideX;
    double[] gradients = scratch.wideDy;
    for (int done = 0; done < length; done += values.length) {
      int count = Math.min(values.length, length - done);
      x.read(from + done, count, values);
      if (upstream != null) {
        upstream.read(from + done, count, gradients);
      }
      for (int i = 0; i < count; i++) {
        double d = values[i] - lines.center[feature];
        values[i] = upstream == null
            ? lines.factor[feature] * d + lines.offset[feature]
            : lines.factor[feature] * gradients[i]
                + (lines.slope[feature] * d + lines.offset[feature]);
      }
      output.write(from + done, count, values);
    }
  }
}
