package dev.vbn.reference;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The loops of {@link SimdKernel} over runs of one feature. What they sum is held in vectors, and of
 * the elements that fill none in doubles: sums of d = x - shift, d*d, dy
 * and dy*(x - around), in this order.
 */
final class SimdRuns {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int STEP = SPECIES.length();

  // Where sums are held: those of d, d*d, dy and dy*d, and what has been rounded off the first two.
  private static final int SUM = 0;

  private static final int SQUARES = STEP;
  private static final int SUM_LOST = 2 * STEP;
  private static final int SQUARES_LOST = 3 * STEP;
  private static final int UPSTREAM = 4 * STEP;
  private static final int DEVIATION = 5 * STEP;
  private static final int VECTORS = 6;

  private SimdRuns() {}

  /** Of elements that follow each other, roughly. */
  static float mean(float[] x, int at, int n, float[] lanes) {
    FloatVector sum = FloatVector.zero(SPECIES);
    int i = 0;
    for (; i <= n - STEP; i += STEP) {
      sum = sum.add(FloatVector.fromArray(SPECIES, x, at + i));
    }
    sum.intoArray(lanes, 0);
    double total = total(lanes, 0);
    for (; i < n; i++) {
      total += x[at + i];
    }
    return (float) (total / n);
  }

  static void clear(float[] vectors, double[] held) {
    Arrays.fill(vectors, 0, VECTORS * STEP, 0);
    Arrays.fill(held, 0);
  }

  /** Adds to what is held of the elements that filled no vector. */
  static void total(float[] vectors, double[] held) {
    held[0] += total(vectors, SUM) + total(vectors, SUM_LOST);
    held[1] += total(vectors, SQUARES) + total(vectors, SQUARES_LOST);
    held[2] += total(vectors, UPSTREAM);
    held[3] += total(vectors, DEVIATION);
  }

  /** Not {@code reduceLanes}, whose order, and so the last bit, depends on the compiler. */
  private static double total(float[] vectors, int from) {
    double total = 0;
    for (int i = 0; i < STEP; i++) {
      total += vectors[from + i];
    }
    return total;
  }

  /**
   * Two vectors at once, as in the loops that write meanwhile: all of them have to give the same
   * bits. Eight did not fit the registers.
   */
  static void sum(float[] x, int from, int to, float shift, float[] vectors, double[] held) {
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    int i = from;
    for (; i <= to - 2 * STEP; i += 2 * STEP) {
      FloatVector d0 = FloatVector.fromArray(SPECIES, x, i).sub(s);
      FloatVector d1 = FloatVector.fromArray(SPECIES, x, i + STEP).sub(s);
      sum = sum.add(d0.add(d1));
      squares = squares.add(d0.mul(d0).add(d1.mul(d1)));
    }
    carry(sum, SUM, SUM_LOST, vectors);
    carry(squares, SQUARES, SQUARES_LOST, vectors);
    for (; i < to; i++) {
      float d = x[i] - shift;
      held[0] += d;
      held[1] += d * d;
    }
  }

  /**
   * In one loop, though the sums of x are the same: apart, backward took a fifth longer. One vector at
   * once: of two, the loop that writes meanwhile took a sixth longer, in cache.
   */
  static void sumWithUpstream(
      float[] x,
      float[] dy,
      int from,
      int to,
      float shift,
      float around,
      float[] vectors,
      double[] held) {
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector a = FloatVector.broadcast(SPECIES, around);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector upstream = FloatVector.zero(SPECIES);
    FloatVector deviation = FloatVector.zero(SPECIES);
    int i = from;
    for (; i <= to - STEP; i += STEP) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, i);
      FloatVector d = v.sub(s);
      FloatVector g = FloatVector.fromArray(SPECIES, dy, i);
      sum = sum.add(d);
      squares = squares.add(d.mul(d));
      upstream = upstream.add(g);
      deviation = deviation.add(v.sub(a).mul(g));
    }
    carry(sum, SUM, SUM_LOST, vectors);
    carry(squares, SQUARES, SQUARES_LOST, vectors);
    add(upstream, UPSTREAM, vectors);
    add(deviation, DEVIATION, vectors);
    for (; i < to; i++) {
      float d = x[i] - shift;
      held[0] += d;
      held[1] += d * d;
      held[2] += dy[i];
      held[3] += (x[i] - around) * dy[i];
    }
  }

  /** Sums what lies {@code ahead} of the elements that are normalised. */
  static void normalizeAndSum(
      float[] x,
      float[] out,
      int from,
      int to,
      float center,
      float factor,
      float offset,
      int ahead,
      float shift,
      float[] vectors,
      double[] held) {
    FloatVector c = FloatVector.broadcast(SPECIES, center);
    FloatVector f = FloatVector.broadcast(SPECIES, factor);
    FloatVector o = FloatVector.broadcast(SPECIES, offset);
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    int i = from;
    for (; i <= to - 2 * STEP; i += 2 * STEP) {
      FloatVector d0 = FloatVector.fromArray(SPECIES, x, i + ahead).sub(s);
      FloatVector d1 = FloatVector.fromArray(SPECIES, x, i + ahead + STEP).sub(s);
      sum = sum.add(d0.add(d1));
      squares = squares.add(d0.mul(d0).add(d1.mul(d1)));
      FloatVector.fromArray(SPECIES, x, i).sub(c).mul(f).add(o).intoArray(out, i);
      FloatVector.fromArray(SPECIES, x, i + STEP).sub(c).mul(f).add(o).intoArray(out, i + STEP);
    }
    carry(sum, SUM, SUM_LOST, vectors);
    carry(squares, SQUARES, SQUARES_LOST, vectors);
    for (; i < to; i++) {
      float d = x[i + ahead] - shift;
      held[0] += d;
      held[1] += d * d;
      out[i] = factor * (x[i] - center) + offset;
    }
  }

  static void differentiateAndSum(
      float[] x,
      float[] dy,
      float[] out,
      int from,
      int to,
      float center,
      float factor,
      float slope,
      float offset,
      int ahead,
      float shift,
      float around,
      float[] vectors,
      double[] held) {
    FloatVector c = FloatVector.broadcast(SPECIES, center);
    FloatVector f = FloatVector.broadcast(SPECIES, factor);
    FloatVector a = FloatVector.broadcast(SPECIES, around);
    FloatVector k = FloatVector.broadcast(SPECIES, slope);
    FloatVector o = FloatVector.broadcast(SPECIES, offset);
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector upstream = FloatVector.zero(SPECIES);
    FloatVector deviation = FloatVector.zero(SPECIES);
    int i = from;
    for (; i <= to - STEP; i += STEP) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, i + ahead);
      FloatVector d = v.sub(s);
      FloatVector g = FloatVector.fromArray(SPECIES, dy, i + ahead);
      sum = sum.add(d);
      squares = squares.add(d.mul(d));
      upstream = upstream.add(g);
      deviation = deviation.add(v.sub(a).mul(g));
      FloatVector line = FloatVector.fromArray(SPECIES, x, i).sub(c).mul(k).add(o);
      FloatVector.fromArray(SPECIES, dy, i).mul(f).add(line).intoArray(out, i);
    }
    carry(sum, SUM, SUM_LOST, vectors);
    carry(squares, SQUARES, SQUARES_LOST, vectors);
    add(upstream, UPSTREAM, vectors);
    add(deviation, DEVIATION, vectors);
    for (; i < to; i++) {
      float d = x[i + ahead] - shift;
      float g = dy[i + ahead];
      held[0] += d;
      held[1] += d * d;
      held[2] += g;
      held[3] += (x[i + ahead] - around) * g;
      out[i] = factor * dy[i] + (slope * (x[i] - center) + offset);
    }
  }

  /**
   * Adds to a sum, and what that rounds off to what is lost (Knuth): one large square must not
   * swallow hundreds of small ones.
   */
  private static void carry(FloatVector added, int sum, int lost, float[] vectors) {
    FloatVector before = FloatVector.fromArray(SPECIES, vectors, sum);
    FloatVector after = before.add(added);
    FloatVector part = after.sub(before);
    add(before.sub(after.sub(part)).add(added.sub(part)), lost, vectors);
    after.intoArray(vectors, sum);
  }

  static void add(FloatVector added, int at, float[] sums) {
    FloatVector.fromArray(SPECIES, sums, at).add(added).intoArray(sums, at);
  }

  static void normalize(
      float[] x, float[] out, int from, int to, float center, float factor, float offset) {
    FloatVector c = FloatVector.broadcast(SPECIES, center);
    FloatVector f = FloatVector.broadcast(SPECIES, factor);
    FloatVector o = FloatVector.broadcast(SPECIES, offset);
    int i = from;
    for (; i <= to - STEP; i += STEP) {
      FloatVector.fromArray(SPECIES, x, i).sub(c).mul(f).add(o).intoArray(out, i);
    }
    for (; i < to; i++) {
      out[i] = factor * (x[i] - center) + offset;
    }
  }
}
