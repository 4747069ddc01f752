package dev.vbn.kernels;

import dev.vbn.kernels.Layout.Order;
import java.util.Arrays;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import org.jspecify.annotations.Nullable;

/**
 * Arrays of 32 bits on {@code jdk.incubator.vector}. Compiled separately, and loaded only where
 * that module is present; it uses only what the incubator has had, with the same signatures, since
 * Java 17.
 *
 * <p>Elements outside whole vectors are computed with the same fused operations, so that no bit
 * depends on where in a vector an element lies.
 */
final class SimdLoops extends FloatLoops {
  private static final VectorSpecies<Float> F = FloatVector.SPECIES_PREFERRED;
  private static final VectorSpecies<Double> D = DoubleVector.SPECIES_PREFERRED;
  private static final int V = F.length();
  private static final int W = D.length();

  /** Runs shorter than this are not worth a loop of their own. */
  private static final int LONG_RUN = 64;

  /** Elements of a run that make {@value #FOLD} additions to each of four vectors. */
  private static final int PIECE = 4 * FOLD * V;

  /** Mean length of counting spans up to which rows are better processed whole. */
  private static final double BLENDED_SPAN = 48;

  /** And the share of all elements that has to count. */
  private static final double BLENDED_SHARE = 0.3;

  /** Strips that are one addition. */
  private static final int TOGETHER = 4;

  @Override
  Order order(long run) {
    return run < LONG_RUN ? Order.STRIPS : Order.ROWS;
  }

  @Override
  int longSpan() {
    return LONG_RUN;
  }

  @Override
  boolean blends(double span, double share) {
    return span < BLENDED_SPAN && share > BLENDED_SHARE;
  }

  @Override
  int behind() {
    return V;
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
    int step = V % run;
    int position = 0;
    int i = 0;
    for (; i <= count - V; i += V) {
      VectorMask<Float> counts = VectorMask.fromArray(F, counting, place + position);
      FloatVector.fromArray(F, otherwise, i)
          .blend(FloatVector.fromArray(F, from, at + i), counts)
          .intoArray(to, first + i);
      position += step;
      position = position < run ? position : position - run;
    }
    for (; i < count; i++) {
      to[first + i] = counting[place + i % run] ? from[at + i] : otherwise[i];
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
    FloatVector other = FloatVector.broadcast(F, (float) otherwise);
    int i = 0;
    for (; i <= count - V; i += V) {
      VectorMask<Float> counts = VectorMask.fromArray(F, counting, place + i);
      other.blend(FloatVector.fromArray(F, from, at + i), counts).intoArray(to, first + i);
    }
    for (; i < count; i++) {
      to[first + i] = counting[place + i] ? from[at + i] : (float) otherwise;
    }
  }

  @Override
  int stripsOfFold() {
    return TOGETHER * FOLD;
  }

  @Override
  int additions(int strips) {
    return strips + strips % TOGETHER * (TOGETHER - 1);
  }

  @Override
  void addStrips(
      float[] x,
      float @Nullable [] dy,
      int at,
      int strips,
      int stride,
      int count,
      Scratch<float[]> s) {
    int i = 0;
    if (dy == null) {
      for (; i + TOGETHER <= strips; i += TOGETHER) {
        addFour(x, at + i * stride, stride, count, s.shift, s.sum, s.squares);
      }
      for (; i < strips; i++) {
        addOne(x, at + i * stride, count, s.shift, s.sum, s.squares);
      }
      return;
    }
    for (; i + 2 <= strips; i += 2) {
      addTwo(x, dy, at + i * stride, stride, count, s);
    }
    if (i < strips) {
      addOne(x, at + i * stride, count, s.shift, s.sum, s.squares);
      addUpstream(x, dy, at + i * stride, count, s.around, s.upstream, s.deviation);
    }
  }

  @Override
  void repeatEach(float[] numbers, int first, int count, int times, float[] into) {
    for (int i = 0; i < count; i++) {
      FloatVector number = FloatVector.broadcast(F, numbers[first + i]);
      for (int at = i * times; at < (i + 1) * times; at += V) {
        number.intoArray(into, at);
      }
    }
  }

  private static void addFour(
      float[] x, int a, int stride, int count, float[] shift, float[] sum, float[] squares) {
    int b = a + stride;
    int c = b + stride;
    int d = c + stride;
    int i = 0;
    for (; i <= count - V; i += V) {
      FloatVector s = FloatVector.fromArray(F, shift, i);
      FloatVector d0 = FloatVector.fromArray(F, x, a + i).sub(s);
      FloatVector d1 = FloatVector.fromArray(F, x, b + i).sub(s);
      FloatVector d2 = FloatVector.fromArray(F, x, c + i).sub(s);
      FloatVector d3 = FloatVector.fromArray(F, x, d + i).sub(s);
      FloatVector q = FloatVector.fromArray(F, squares, i);
      d0.add(d1).add(d2.add(d3)).add(FloatVector.fromArray(F, sum, i)).intoArray(sum, i);
      d0.fma(d0, d1.mul(d1)).add(d2.fma(d2, d3.fma(d3, q))).intoArray(squares, i);
    }
    for (; i < count; i++) {
      float s = shift[i];
      float d0 = x[a + i] - s;
      float d1 = x[b + i] - s;
      float d2 = x[c + i] - s;
      float d3 = x[d + i] - s;
      sum[i] = d0 + d1 + (d2 + d3) + sum[i];
      squares[i] = Math.fma(d0, d0, d1 * d1) + Math.fma(d2, d2, Math.fma(d3, d3, squares[i]));
    }
  }

  private static void addOne(
      float[] x, int at, int count, float[] shift, float[] sum, float[] squares) {
    int i = 0;
    for (; i <= count - V; i += V) {
      FloatVector d = FloatVector.fromArray(F, x, at + i).sub(FloatVector.fromArray(F, shift, i));
      d.add(FloatVector.fromArray(F, sum, i)).intoArray(sum, i);
      d.fma(d, FloatVector.fromArray(F, squares, i)).intoArray(squares, i);
    }
    for (; i < count; i++) {
      float d = x[at + i] - shift[i];
      sum[i] += d;
      squares[i] = Math.fma(d, d, squares[i]);
    }
  }

  private static void addTwo(
      float[] x, float[] dy, int a, int stride, int count, Scratch<float[]> lanes) {
    float[] shift = lanes.shift;
    float[] around = lanes.around;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    float[] upstream = lanes.upstream;
    float[] deviation = lanes.deviation;
    int b = a + stride;
    int i = 0;
    for (; i <= count - V; i += V) {
      FloatVector s = FloatVector.fromArray(F, shift, i);
      FloatVector c = FloatVector.fromArray(F, around, i);
      FloatVector x0 = FloatVector.fromArray(F, x, a + i);
      FloatVector x1 = FloatVector.fromArray(F, x, b + i);
      FloatVector g0 = FloatVector.fromArray(F, dy, a + i);
      FloatVector g1 = FloatVector.fromArray(F, dy, b + i);
      FloatVector d0 = x0.sub(s);
      FloatVector d1 = x1.sub(s);
      d0.add(d1).add(FloatVector.fromArray(F, sum, i)).intoArray(sum, i);
      d0.fma(d0, d1.fma(d1, FloatVector.fromArray(F, squares, i))).intoArray(squares, i);
      g0.add(g1).add(FloatVector.fromArray(F, upstream, i)).intoArray(upstream, i);
      g0.fma(x0.sub(c), g1.fma(x1.sub(c), FloatVector.fromArray(F, deviation, i)))
          .intoArray(deviation, i);
    }
    for (; i < count; i++) {
      float d0 = x[a + i] - shift[i];
      float d1 = x[b + i] - shift[i];
      float g0 = dy[a + i];
      float g1 = dy[b + i];
      sum[i] = d0 + d1 + sum[i];
      squares[i] = Math.fma(d0, d0, Math.fma(d1, d1, squares[i]));
      upstream[i] = g0 + g1 + upstream[i];
      deviation[i] =
          Math.fma(g0, x[a + i] - around[i], Math.fma(g1, x[b + i] - around[i], deviation[i]));
    }
  }

  private static void addUpstream(
      float[] x,
      float[] dy,
      int at,
      int count,
      float[] around,
      float[] upstream,
      float[] deviation) {
    int i = 0;
    for (; i <= count - V; i += V) {
      FloatVector g = FloatVector.fromArray(F, dy, at + i);
      FloatVector d = FloatVector.fromArray(F, x, at + i).sub(FloatVector.fromArray(F, around, i));
      g.add(FloatVector.fromArray(F, upstream, i)).intoArray(upstream, i);
      g.fma(d, FloatVector.fromArray(F, deviation, i)).intoArray(deviation, i);
    }
    for (; i < count; i++) {
      upstream[i] += dy[at + i];
      deviation[i] = Math.fma(dy[at + i], x[at + i] - around[i], deviation[i]);
    }
  }

  @Override
  void widen(float[] lanes, int count, double[] into) {
    FloatVector zero = FloatVector.zero(F);
    // Beyond the last lane there is room for a vector, of zeros.
    for (int i = 0; i < count; i += V) {
      FloatVector v = FloatVector.fromArray(F, lanes, i);
      DoubleVector a = (DoubleVector) v.convertShape(VectorOperators.F2D, D, 0);
      DoubleVector b = (DoubleVector) v.convertShape(VectorOperators.F2D, D, 1);
      DoubleVector.fromArray(D, into, i).add(a).intoArray(into, i);
      DoubleVector.fromArray(D, into, i + W).add(b).intoArray(into, i + W);
      zero.intoArray(lanes, i);
    }
  }

  /** Sums of runs: a vector in 32 bits and one in 64, for each kind of sum of each feature. */
  @Override
  void beginRuns(int feature, int features, boolean withUpstream, Scratch<float[]> scratch) {
    int kinds = withUpstream ? 4 : 2;
    int end = kinds * (feature + features);
    if (scratch.runs.length < end * V) {
      scratch.runs = new float[end * V];
      scratch.wideRuns = new double[end * W];
    } else {
      Arrays.fill(scratch.runs, kinds * feature * V, end * V, 0);
      Arrays.fill(scratch.wideRuns, kinds * feature * W, end * W, 0);
    }
  }

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
    if (length <= PIECE) {
      addRuns(x, dy, at, feature, features, stride, length, scratch, into);
      return;
    }
    int kinds = dy == null ? 2 : 4;
    for (int f = 0; f < features; f++) {
      for (int i = 0; i < length; i += PIECE) {
        int piece = Math.min(PIECE, length - i);
        addRuns(x, dy, at + f * stride + i, feature + f, 1, stride, piece, scratch, into);
        fold(kinds * (feature + f), kinds, scratch);
      }
    }
  }

  private static void addRuns(
      float[] x,
      float @Nullable [] dy,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Scratch<float[]> scratch,
      Sums into) {
    if (dy == null) {
      addRuns(x, at, feature, features, stride, length, into.shift, scratch.runs);
    } else {
      addRuns(x, dy, at, feature, features, stride, length, into.shift, into.center, scratch.runs);
    }
  }

  @Override
  void beginRow(
      int feature, int features, int length, boolean withUpstream, Scratch<float[]> scratch) {
    if (scratch.pending > 0 && scratch.pending + length > PIECE) {
      foldRuns(feature, features, withUpstream, scratch);
      scratch.pending = 0;
    }
    // Longer runs are folded piece by piece.
    scratch.pending += length > PIECE ? 0 : length;
  }

  @Override
  void foldRuns(int feature, int features, boolean withUpstream, Scratch<float[]> scratch) {
    int kinds = withUpstream ? 4 : 2;
    fold(kinds * feature, kinds * features, scratch);
  }

  private static void addRuns(
      float[] x,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      double[] shift,
      float[] sums) {
    VectorMask<Float> rest = F.indexInRange(0, length % V);
    for (int f = 0; f < features; f++) {
      FloatVector s = FloatVector.broadcast(F, (float) shift[feature + f]);
      FloatVector s0 = FloatVector.zero(F);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      FloatVector q0 = s0;
      FloatVector q1 = s0;
      FloatVector q2 = s0;
      FloatVector q3 = s0;
      int i = at + f * stride;
      int end = i + length;
      for (; i <= end - 4 * V; i += 4 * V) {
        FloatVector d0 = FloatVector.fromArray(F, x, i).sub(s);
        FloatVector d1 = FloatVector.fromArray(F, x, i + V).sub(s);
        FloatVector d2 = FloatVector.fromArray(F, x, i + 2 * V).sub(s);
        FloatVector d3 = FloatVector.fromArray(F, x, i + 3 * V).sub(s);
        s0 = s0.add(d0);
        s1 = s1.add(d1);
        s2 = s2.add(d2);
        s3 = s3.add(d3);
        q0 = d0.fma(d0, q0);
        q1 = d1.fma(d1, q1);
        q2 = d2.fma(d2, q2);
        q3 = d3.fma(d3, q3);
      }
      for (; i <= end - V; i += V) {
        FloatVector d = FloatVector.fromArray(F, x, i).sub(s);
        s0 = s0.add(d);
        q0 = d.fma(d, q0);
      }
      if (i < end) {
        FloatVector d = FloatVector.fromArray(F, x, i, rest).sub(s, rest);
        s1 = s1.add(d);
        q1 = d.fma(d, q1);
      }
      int to = 2 * (feature + f) * V;
      FloatVector.fromArray(F, sums, to).add(s0.add(s1).add(s2.add(s3))).intoArray(sums, to);
      to += V;
      FloatVector.fromArray(F, sums, to).add(q0.add(q1).add(q2.add(q3))).intoArray(sums, to);
    }
  }

  private static void addRuns(
      float[] x,
      float[] dy,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      double[] shift,
      double[] around,
      float[] sums) {
    VectorMask<Float> rest = F.indexInRange(0, length % V);
    for (int f = 0; f < features; f++) {
      FloatVector s = FloatVector.broadcast(F, (float) shift[feature + f]);
      FloatVector c = FloatVector.broadcast(F, (float) around[feature + f]);
      FloatVector s0 = FloatVector.zero(F);
      FloatVector s1 = s0;
      FloatVector q0 = s0;
      FloatVector q1 = s0;
      FloatVector u0 = s0;
      FloatVector u1 = s0;
      FloatVector z0 = s0;
      FloatVector z1 = s0;
      int i = at + f * stride;
      int end = i + length;
      for (; i <= end - 2 * V; i += 2 * V) {
        FloatVector x0 = FloatVector.fromArray(F, x, i);
        FloatVector x1 = FloatVector.fromArray(F, x, i + V);
        FloatVector g0 = FloatVector.fromArray(F, dy, i);
        FloatVector g1 = FloatVector.fromArray(F, dy, i + V);
        FloatVector d0 = x0.sub(s);
        FloatVector d1 = x1.sub(s);
        s0 = s0.add(d0);
        s1 = s1.add(d1);
        q0 = d0.fma(d0, q0);
        q1 = d1.fma(d1, q1);
        u0 = u0.add(g0);
        u1 = u1.add(g1);
        z0 = g0.fma(x0.sub(c), z0);
        z1 = g1.fma(x1.sub(c), z1);
      }
      for (; i <= end - V; i += V) {
        FloatVector x0 = FloatVector.fromArray(F, x, i);
        FloatVector g = FloatVector.fromArray(F, dy, i);
        FloatVector d = x0.sub(s);
        s0 = s0.add(d);
        q0 = d.fma(d, q0);
        u0 = u0.add(g);
        z0 = g.fma(x0.sub(c), z0);
      }
      if (i < end) {
        FloatVector x0 = FloatVector.fromArray(F, x, i, rest);
        FloatVector g = FloatVector.fromArray(F, dy, i, rest);
        FloatVector d = x0.sub(s, rest);
        s1 = s1.add(d);
        q1 = d.fma(d, q1);
        u1 = u1.add(g);
        z1 = g.fma(x0.sub(c), z1);
      }
      int to = 4 * (feature + f) * V;
      FloatVector.fromArray(F, sums, to).add(s0.add(s1)).intoArray(sums, to);
      to += V;
      FloatVector.fromArray(F, sums, to).add(q0.add(q1)).intoArray(sums, to);
      to += V;
      FloatVector.fromArray(F, sums, to).add(u0.add(u1)).intoArray(sums, to);
      to += V;
      FloatVector.fromArray(F, sums, to).add(z0.add(z1)).intoArray(sums, to);
    }
  }

  /** Carries sums over into 64 bits. */
  private static void fold(int first, int sums, Scratch<float[]> scratch) {
    float[] from = scratch.runs;
    double[] to = scratch.wideRuns;
    for (int i = first; i < first + sums; i++) {
      FloatVector v = FloatVector.fromArray(F, from, i * V);
      DoubleVector a = (DoubleVector) v.convertShape(VectorOperators.F2D, D, 0);
      DoubleVector b = (DoubleVector) v.convertShape(VectorOperators.F2D, D, 1);
      DoubleVector.fromArray(D, to, i * W).add(a.add(b)).intoArray(to, i * W);
    }
    Arrays.fill(from, first * V, (first + sums) * V, 0);
  }

  @Override
  void endRuns(
      int feature, int features, boolean withUpstream, Scratch<float[]> scratch, Sums into) {
    int kinds = withUpstream ? 4 : 2;
    foldRuns(feature, features, withUpstream, scratch);
    scratch.pending = 0;
    for (int f = feature; f < feature + features; f++) {
      int from = kinds * f * W;
      into.sum[f] += total(scratch.wideRuns, from);
      into.squares[f] += total(scratch.wideRuns, from + W);
      if (withUpstream) {
        into.upstream[f] += total(scratch.wideRuns, from + 2 * W);
        into.deviation[f] += total(scratch.wideRuns, from + 3 * W);
      }
    }
  }

  private static double total(double[] sums, int from) {
    double total = 0;
    for (int i = from; i < from + W; i++) {
      total += sums[i];
    }
    return total;
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
      Scratch<float[]> s) {
    int i = strips - 1;
    if (dy == null) {
      for (; i >= 0; i--) {
        writeOne(x, out, at + i * stride, count, s.center, s.factor, s.offset);
      }
      return;
    }
    for (; i >= 0; i--) {
      writeOne(x, dy, out, at + i * stride, count, s.center, s.factor, s.slope, s.offset);
    }
  }

  private static void writeOne(
      float[] x, float[] out, int at, int count, float[] center, float[] factor, float[] offset) {
    int i = 0;
    for (; i <= count - V; i += V) {
      FloatVector.fromArray(F, x, at + i)
          .sub(FloatVector.fromArray(F, center, i))
          .fma(FloatVector.fromArray(F, factor, i), FloatVector.fromArray(F, offset, i))
          .intoArray(out, at + i);
    }
    for (; i < count; i++) {
      out[at + i] = Math.fma(x[at + i] - center[i], factor[i], offset[i]);
    }
  }

  private static void writeOne(
      float[] x,
      float[] dy,
      float[] out,
      int at,
      int count,
      float[] center,
      float[] factor,
      float[] slope,
      float[] offset) {
    int i = 0;
    for (; i <= count - V; i += V) {
      FloatVector line = FloatVector.fromArray(F, x, at + i)
          .sub(FloatVector.fromArray(F, center, i))
          .fma(FloatVector.fromArray(F, slope, i), FloatVector.fromArray(F, offset, i));
      FloatVector.fromArray(F, dy, at + i)
          .fma(FloatVector.fromArray(F, factor, i), line)
          .intoArray(out, at + i);
    }
    for (; i < count; i++) {
      float line = Math.fma(x[at + i] - center[i], slope[i], offset[i]);
      out[at + i] = Math.fma(dy[at + i], factor[i], line);
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
    if (dy == null) {
      writeRuns(
          x,
          out,
          at,
          feature,
          features,
          stride,
          length,
          lines.center32,
          lines.factor32,
          lines.offset32);
    } else {
      writeRuns(x, dy, out, at, feature, features, stride, length, lines);
    }
  }

  private static void writeRuns(
      float[] x,
      float[] out,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      float[] center,
      float[] factor,
      float[] offset) {
    VectorMask<Float> rest = F.indexInRange(0, length % V);
    for (int n = 0; n < features; n++) {
      FloatVector c = FloatVector.broadcast(F, center[feature + n]);
      FloatVector f = FloatVector.broadcast(F, factor[feature + n]);
      FloatVector o = FloatVector.broadcast(F, offset[feature + n]);
      int i = at + n * stride;
      int end = i + length;
      for (; i <= end - 2 * V; i += 2 * V) {
        FloatVector a = FloatVector.fromArray(F, x, i).sub(c).fma(f, o);
        FloatVector b = FloatVector.fromArray(F, x, i + V).sub(c).fma(f, o);
        a.intoArray(out, i);
        b.intoArray(out, i + V);
      }
      if (i <= end - V) {
        FloatVector.fromArray(F, x, i).sub(c).fma(f, o).intoArray(out, i);
        i += V;
      }
      if (i < end) {
        FloatVector.fromArray(F, x, i, rest).sub(c).fma(f, o).intoArray(out, i, rest);
      }
    }
  }

  private static void writeRuns(
      float[] x,
      float[] dy,
      float[] out,
      int at,
      int feature,
      int features,
      int stride,
      int length,
      Lines lines) {
    VectorMask<Float> rest = F.indexInRange(0, length % V);
    for (int n = 0; n < features; n++) {
      FloatVector c = FloatVector.broadcast(F, lines.center32[feature + n]);
      FloatVector f = FloatVector.broadcast(F, lines.factor32[feature + n]);
      FloatVector k = FloatVector.broadcast(F, lines.slope32[feature + n]);
      FloatVector o = FloatVector.broadcast(F, lines.offset32[feature + n]);
      int i = at + n * stride;
      int end = i + length;
      for (; i <= end - V; i += V) {
        FloatVector line = FloatVector.fromArray(F, x, i).sub(c).fma(k, o);
        FloatVector.fromArray(F, dy, i).fma(f, line).intoArray(out, i);
      }
      if (i < end) {
        FloatVector line = FloatVector.fromArray(F, x, i, rest).sub(c).fma(k, o);
        FloatVector.fromArray(F, dy, i, rest).fma(f, line).intoArray(out, i, rest);
      }
    }
  }

  @Override
  boolean areTrusted(Sums sums, int features, boolean withUpstream) {
    if (sums.areWide()) {
      return true;
    }
    double half = 0.5 * sums.count();
    int i = 0;
    for (; i <= features - W; i += W) {
      DoubleVector sum = DoubleVector.fromArray(D, sums.sum, i);
      DoubleVector squares = DoubleVector.fromArray(D, sums.squares, i);
      VectorMask<Double> trusted = squares
          .compare(VectorOperators.LT, LARGE)
          .and(squares.compare(VectorOperators.GT, SMALL))
          .and(sum.mul(sum).compare(VectorOperators.LE, squares.mul(half)));
      if (withUpstream) {
        DoubleVector deviation = DoubleVector.fromArray(D, sums.deviation, i).abs();
        DoubleVector upstream = DoubleVector.fromArray(D, sums.upstream, i).abs();
        trusted = trusted
            .and(deviation.compare(VectorOperators.LT, LARGE))
            .and(deviation.compare(VectorOperators.GT, SMALL))
            .and(upstream.compare(VectorOperators.LT, LARGE));
      }
      if (!trusted.allTrue() && !areTrusted(sums, i, i + W, withUpstream)) {
        return false;
      }
    }
    return areTrusted(sums, i, features, withUpstream);
  }

  private boolean areTrusted(Sums sums, int from, int to, boolean withUpstream) {
    for (int i = from; i < to; i++) {
      if (!isTrusted(sums, i, withUpstream)) {
        return false;
      }
    }
    return true;
  }
}
