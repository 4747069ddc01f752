package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.Layout.Order;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Arrays of 32 bits in plain Java. C2 vectorises a loop that goes through all its arrays at one
 * index; strips are copied to have one. A run is cut into {@value #CUT} lanes that are summed side
 * by side: a plain sum along the run would wait for each addition.
 *
 * <p>The class for 32 bits is the source; the build writes the one for 64 bits from it. What
 * differs is in the subclasses.
 */
@SuppressWarnings("cast") // there is something to cast in one of the two
abstract class PlainFloats extends Loops<float[]> {
  private static final int CUT = 256;

  /** Elements from which on {@code arraycopy} is faster than a loop. */
  private static final int ARRAYCOPY = 8;

  @Override
  Order order(long run) {
    return run < 2 * CUT ? Order.STRIPS : Order.FEATURES;
  }

  @Override
  int longSpan() {
    return CUT;
  }

  @Override
  void select(
      float[] from,
      int at,
      int count,
      int run,
      boolean[] counting,
      int place,
      float[] otherwise,
      float[] to,
      int first) {
    for (int i = 0, position = 0;
        i < count;
        i++, position = position + 1 == run ? 0 : position + 1) {
      to[first + i] = counting[place + position] ? from[at + i] : otherwise[i];
    }
  }

  @Override
  void select(
      float[] from,
      int at,
      int count,
      boolean[] counting,
      int place,
      double otherwise,
      float[] to,
      int first) {
    float other = (float) otherwise;
    for (int i = 0; i < count; i++) {
      to[first + i] = counting[place + i] ? from[at + i] : other;
    }
  }

  @Override
  final float[] array(int length) {
    return new float[length];
  }

  @Override
  final Elements<float[]> elements(float[] array) {
    return Elements.of(array);
  }

  @Override
  final void beginStrips(Strip strip, Sums sums, boolean withUpstream, Scratch<float[]> scratch) {
    spread(sums.shift, strip, scratch.x, scratch.shift);
    if (withUpstream) {
      spread(sums.center, strip, scratch.x, scratch.around);
    }
  }

  private void spread(double[] ofFeatures, Strip strip, float[] free, float[] into) {
    for (int i = 0; i < strip.features(); i++) {
      free[i] = (float) ofFeatures[strip.feature() + i];
    }
    spread(free, 0, strip, into);
  }

  /** Copies numbers of features to the lanes of a strip. */
  private void spread(float[] ofFeatures, int first, Strip strip, float[] into) {
    int features = strip.features();
    if (strip.run() == 1) {
      System.arraycopy(ofFeatures, first, into, 0, features);
    } else {
      repeatEach(ofFeatures, first, features, strip.run(), into);
    }
    int row = features * strip.run();
    for (int i = 1; i < strip.rows(); i++) {
      System.arraycopy(into, 0, into, i * row, row);
    }
  }

  /**
   * Writes each number {@code times} times, and may write anything to the 16 elements after them.
   */
  void repeatEach(float[] numbers, int first, int count, int times, float[] into) {
    for (int i = 0; i < count; i++) {
      Arrays.fill(into, i * times, (i + 1) * times, numbers[first + i]);
    }
  }

  @Override
  void addStrips(
      float[] x,
      float @Nullable [] dy,
      int at,
      int strips,
      int stride,
      int count,
      Scratch<float[]> scratch) {
    for (int i = 0; i < strips; i++) {
      System.arraycopy(x, at + i * stride, scratch.x, 0, count);
      if (dy != null) {
        System.arraycopy(dy, at + i * stride, scratch.dy, 0, count);
      }
      add(scratch.x, count, scratch.shift, scratch.sum, scratch.squares);
      if (dy != null) {
        add(scratch.x, scratch.dy, count, scratch.around, scratch.upstream, scratch.deviation);
      }
    }
  }

  private static void add(float[] x, int count, float[] shift, float[] sum, float[] squares) {
    for (int i = 0; i < count; i++) {
      float d = x[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void add(
      float[] x, float[] dy, int count, float[] around, float[] upstream, float[] deviation) {
    for (int i = 0; i < count; i++) {
      float each = dy[i];
      upstream[i] += each;
      deviation[i] += each * (x[i] - around[i]);
    }
  }

  @Override
  int stripsOfFold() {
    return FOLD;
  }

  @Override
  final void foldStrips(
      Strip strip, int count, boolean withUpstream, Scratch<float[]> scratch, Sums into) {
    fold(strip, count, scratch.sum, scratch.wideSum, into.sum);
    fold(strip, count, scratch.squares, scratch.wideSquares, into.squares);
    if (withUpstream) {
      fold(strip, count, scratch.upstream, scratch.wideUpstream, into.upstream);
      fold(strip, count, scratch.deviation, scratch.wideDeviation, into.deviation);
    }
  }

  private void fold(Strip strip, int count, float[] lanes, double[] wide, double[] into) {
    if (strip.features() < count) {
      widen(lanes, count, wide);
      return;
    }
    for (int i = 0; i < count; i++) {
      into[strip.feature() + i] += lanes[i];
    }
    Arrays.fill(lanes, 0, count, 0);
  }

  /** Adds lanes to wider ones, and clears them. */
  void widen(float[] lanes, int count, double[] into) {
    for (int i = 0; i < count; i++) {
      into[i] += lanes[i];
    }
    Arrays.fill(lanes, 0, count, 0);
  }

  /** For one feature, whose lanes are summed on from row to row. */
  @Override
  void addRow(
      float[] x,
      float @Nullable [] dy,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Scratch<float[]> scratch,
      Sums into) {
    float shift = (float) into.shift[feature];
    float around = (float) into.center[feature];
    for (int done = 0; done < length; done += CUT) {
      int count = Math.min(CUT, length - done);
      System.arraycopy(x, at + done, scratch.x, 0, count);
      if (dy != null) {
        System.arraycopy(dy, at + done, scratch.dy, 0, count);
      }
      add(scratch.x, count, shift, scratch.sum, scratch.squares);
      if (dy != null) {
        add(scratch.x, scratch.dy, count, around, scratch.upstream, scratch.deviation);
      }
      if (++scratch.pending == FOLD) {
        widen(dy != null, scratch);
      }
    }
  }

  private void widen(boolean withUpstream, Scratch<float[]> scratch) {
    widen(scratch.sum, CUT, scratch.wideSum);
    widen(scratch.squares, CUT, scratch.wideSquares);
    if (withUpstream) {
      widen(scratch.upstream, CUT, scratch.wideUpstream);
      widen(scratch.deviation, CUT, scratch.wideDeviation);
    }
    scratch.pending = 0;
  }

  @Override
  void endRuns(
      int feature, int features, boolean withUpstream, Scratch<float[]> scratch, Sums into) {
    widen(withUpstream, scratch);
    into.sum[feature] += take(scratch.wideSum, CUT);
    into.squares[feature] += take(scratch.wideSquares, CUT);
    if (withUpstream) {
      into.upstream[feature] += take(scratch.wideUpstream, CUT);
      into.deviation[feature] += take(scratch.wideDeviation, CUT);
    }
  }

  private static void add(float[] x, int count, float shift, float[] sum, float[] squares) {
    for (int i = 0; i < count; i++) {
      float d = x[i] - shift;
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  private static void add(
      float[] x, float[] dy, int count, float around, float[] upstream, float[] deviation) {
    for (int i = 0; i < count; i++) {
      float each = dy[i];
      upstream[i] += each;
      deviation[i] += each * (x[i] - around);
    }
  }

  @Override
  final void spread(Strip strip, Lines lines, boolean derivative, Scratch<float[]> scratch) {
    spread(lines.center32, strip.feature(), strip, scratch.center);
    spread(lines.factor32, strip.feature(), strip, scratch.factor);
    spread(lines.offset32, strip.feature(), strip, scratch.offset);
    if (derivative) {
      spread(lines.slope32, strip.feature(), strip, scratch.slope);
    }
  }

  @Override
  void writeStrips(
      float[] x,
      float @Nullable [] dy,
      float[] out,
      int at,
      int strips,
      int stride,
      int count,
      Scratch<float[]> scratch) {
    for (int i = 0; i < strips; i++) {
      System.arraycopy(x, at + i * stride, scratch.x, 0, count);
      if (dy == null) {
        write(scratch.x, count, scratch.center, scratch.factor, scratch.offset);
      } else {
        System.arraycopy(dy, at + i * stride, scratch.dy, 0, count);
        write(
            scratch.x,
            scratch.dy,
            count,
            scratch.center,
            scratch.factor,
            scratch.slope,
            scratch.offset);
      }
      System.arraycopy(scratch.x, 0, out, at + i * stride, count);
    }
  }

  private static void write(float[] x, int count, float[] center, float[] factor, float[] offset) {
    for (int i = 0; i < count; i++) {
      x[i] = factor[i] * (x[i] - center[i]) + offset[i];
    }
  }

  private static void write(
      float[] x,
      float[] dy,
      int count,
      float[] center,
      float[] factor,
      float[] slope,
      float[] offset) {
    for (int i = 0; i < count; i++) {
      x[i] = factor[i] * dy[i] + (slope[i] * (x[i] - center[i]) + offset[i]);
    }
  }

  @Override
  void writeRow(
      float[] x,
      float @Nullable [] dy,
      float[] out,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Lines lines) {
    for (int i = feature; i < feature + features; i++) {
      int from = at + (i - feature) * stride;
      float center = lines.center32[i];
      float factor = lines.factor32[i];
      float offset = lines.offset32[i];
      if (dy == null) {
        write(x, out, from, from + length, center, factor, offset);
      } else {
        write(x, dy, out, from, from + length, center, factor, lines.slope32[i], offset);
      }
    }
  }

  private static void write(
      float[] x, float[] out, int from, int to, float center, float factor, float offset) {
    for (int i = from; i < to; i++) {
      out[i] = factor * (x[i] - center) + offset;
    }
  }

  private static void write(
      float[] x,
      float[] dy,
      float[] out,
      int from,
      int to,
      float center,
      float factor,
      float slope,
      float offset) {
    for (int i = from; i < to; i++) {
      out[i] = factor * dy[i] + (slope * (x[i] - center) + offset);
    }
  }

  @Override
  final void gather(
      float[] batch,
      int at,
      int runs,
      int run,
      Packed.Spans spans,
      float[] packed,
      int first,
      int stride,
      int step) {
    int[] places = spans.places;
    if (step > 1) {
      for (int i = 0; i < spans.total; i++) {
        gather(batch, at + requireNonNull(places)[i], run, runs, packed, first + i * step);
      }
      return;
    }
    for (int n = 0; n < runs; n++) {
      int from = at + n * run;
      int to = first + n * stride;
      if (places != null) {
        gather(batch, from, places, spans.total, packed, to);
        continue;
      }
      for (int i = 0; i < spans.count; i++) {
        int begin = spans.bounds[2 * i];
        int length = spans.bounds[2 * i + 1] - begin;
        copy(batch, from + begin, packed, to, length);
        to += length;
      }
    }
  }

  private static void gather(
      float[] batch, int at, int[] places, int count, float[] packed, int first) {
    for (int i = 0; i < count; i++) {
      packed[first + i] = batch[at + places[i]];
    }
  }

  private static void gather(float[] batch, int at, int run, int runs, float[] packed, int first) {
    for (int n = 0, from = at; n < runs; n++, from += run) {
      packed[first + n] = batch[from];
    }
  }

  private static void copy(float[] from, int first, float[] to, int at, int count) {
    if (count >= ARRAYCOPY) {
      System.arraycopy(from, first, to, at, count);
      return;
    }
    for (int i = 0; i < count; i++) {
      to[at + i] = from[first + i];
    }
  }

  @Override
  final void scatter(
      float[] packed,
      int first,
      int stride,
      int step,
      Packed.Spans spans,
      float[] batch,
      int at,
      int runs,
      int run) {
    int[] places = spans.places;
    if (step > 1) {
      for (int i = 0; i < spans.total; i++) {
        scatter(packed, first + i * step, batch, at + requireNonNull(places)[i], run, runs);
      }
      return;
    }
    for (int n = 0; n < runs; n++) {
      int to = at + n * run;
      int from = first + n * stride;
      if (places != null) {
        scatter(packed, from, places, spans.total, batch, to);
        continue;
      }
      for (int i = 0; i < spans.count; i++) {
        int begin = spans.bounds[2 * i];
        int length = spans.bounds[2 * i + 1] - begin;
        copy(packed, from, batch, to + begin, length);
        from += length;
      }
    }
  }

  private static void scatter(
      float[] packed, int first, int[] places, int count, float[] batch, int at) {
    for (int i = 0; i < count; i++) {
      batch[at + places[i]] = packed[first + i];
    }
  }

  private static void scatter(float[] packed, int first, float[] batch, int at, int run, int runs) {
    for (int n = 0, to = at; n < runs; n++, to += run) {
      batch[to] = packed[first + n];
    }
  }
}
