package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import java.util.Arrays;
import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorSpecies;
import org.jspecify.annotations.Nullable;

/**
 * Arrays of 32 bits, in 32-bit arithmetic on {@code jdk.incubator.vector}. Compiled apart and loaded
 * only where that module is; it uses what the incubator has had, with the same signatures, since
 * Java 17.
 *
 * <p>Sums are held in 32 bits for so few elements, around a shift so near their mean, that their
 * rounding stays below that of the input; then they are carried over into 64 bits. Where 32 bits do
 * not do, as for the largest floats, the scalar kernel computes what the vectors cannot.
 */
final class SimdKernel extends FloatKernel {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int STEP = SPECIES.length();

  private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;

  /** Elements in lanes for which vectors are not worth while: (8, 64) took a third longer. */
  private static final int FEW = 4096;

  /** Elements of one feature that share a shift, and whose sums are held in 32 bits. */
  private static final int HELD = 2048;

  /** Elements that are summed without a care for what additions round off. */
  private static final int PIECE = 256;

  // Where sums are held: those of d, d*d, dy and dy*d, and what has been rounded off the first two.
  private static final int SUM = 0;

  private static final int SQUARES = STEP;
  private static final int SUM_LOST = 2 * STEP;
  private static final int SQUARES_LOST = 3 * STEP;
  private static final int UPSTREAM = 4 * STEP;
  private static final int DEVIATION = 5 * STEP;
  private static final int VECTORS = 6;

  /** Strips that share a shift, and those of them whose sums are held in 32 bits. */
  private static final int HELD_STRIPS = 128;

  private static final int STRIPS = 32;

  /** Elements that the first shift is the mean of. */
  private static final int ESTIMATE = 64;

  /** Strips that it is the mean of, where every lane has a shift. */
  private static final int ESTIMATE_STRIPS = 16;

  /** How much of the squares may be the distance of the shift from the mean. */
  private static final double FAR = 0.5;

  /** Squares outside this range have overflowed, or lost digits to underflow. */
  private static final float SMALL = 0x1p-80f;

  private static final float LARGE = 0x1p120f;

  /** Made by name. */
  static final class Factory implements Kernels.OfFloats {
    @Override
    public FloatKernel of(float[] x, float @Nullable [] upstream, float @Nullable [] output) {
      return new SimdKernel(x, upstream, output);
    }
  }

  private SimdKernel(float[] x, float @Nullable [] upstream, float @Nullable [] output) {
    super(x, upstream, output);
  }

  @Override
  void sum(Block block, Tile tile, Workspace workspace, GroupSums into) {
    if (tile.longRuns()) {
      sumRuns(block, tile, workspace, into);
    } else if (block.elements() < FEW) {
      super.sum(block, tile, workspace, into);
    } else {
      sumLanes(block, tile, workspace, into);
    }
  }

  private void sumRuns(Block block, Tile tile, Workspace workspace, GroupSums into) {
    for (int i = 0; i < holds(block); i++) {
      Block held = hold(block, i);
      float shift = shift(held, workspace, into);
      sumRuns(held, shift, workspace);
      add(held, shift, tile, workspace, into);
    }
  }

  /**
   * The output of one feature is written while the next one is summed: a loop that waits for memory
   * to write to has time to fetch, and large batches took a quarter less time.
   */
  @Override
  void writeAndSum(
      Block block, Tile tile, Lines lines, Block next, Workspace workspace, GroupSums into) {
    if (!tile.longRuns() || !FloatLines.fits(lines, 0)) {
      super.writeAndSum(block, tile, lines, next, workspace, into);
      return;
    }
    for (int i = 0; i < holds(block); i++) {
      Block held = hold(next, i);
      float shift = shift(held, workspace, into);
      writeAndSumRuns(hold(block, i), lines, held, shift, workspace);
      add(held, shift, tile, workspace, into);
    }
  }

  /** Parts of a block that share a shift. */
  private static int holds(Block block) {
    return ceil(block.rows(), heldRows(block)) * ceil(block.length(), HELD);
  }

  private static Block hold(Block block, int index) {
    int cuts = ceil(block.length(), HELD);
    int rows = heldRows(block);
    int row = index / cuts * rows;
    int from = index % cuts * HELD;
    return new Block(
        block.at() + row * block.stride() + from,
        Math.min(rows, block.rows() - row),
        block.stride(),
        Math.min(HELD, block.length() - from));
  }

  private static int heldRows(Block block) {
    return Math.max(1, HELD / block.length());
  }

  private static int ceil(int a, int b) {
    return (a + b - 1) / b;
  }

  private float shift(Block block, Workspace workspace, GroupSums soFar) {
    return soFar.isEmpty() ? estimate(block, workspace.vectors) : (float) soFar.mean[0];
  }

  /** Adds what is held, after summing again what 32 bits around {@code shift} cannot tell. */
  private void add(Block block, float shift, Tile tile, Workspace workspace, GroupSums into) {
    double[] held = workspace.held;
    int n = block.elements();
    float near = shift;
    if (isFar(held[0], held[1], n)) {
      near += (float) (held[0] / n);
      sumRuns(block, near, workspace);
    }
    if (isTrusted(held[0], held[1], n) && (upstream == null || inRange(held[3]))) {
      into.add(n, near, held[0], held[1], held[2], held[3]);
    } else {
      super.sum(block, tile, workspace, into);
    }
  }

  private void sumRuns(Block block, float shift, Workspace workspace) {
    float[] vectors = workspace.vectors;
    double[] held = workspace.held;
    clear(vectors, held);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      int end = at + block.length();
      for (; at < end; at += PIECE) {
        int to = Math.min(at + PIECE, end);
        if (upstream == null) {
          sum(x, at, to, shift, vectors, held);
        } else {
          sumWithUpstream(x, upstream, at, to, shift, vectors, held);
        }
      }
    }
    total(vectors, held);
  }

  private void writeAndSumRuns(
      Block block, Lines lines, Block next, float shift, Workspace workspace) {
    float[] out = requireNonNull(output);
    float[] vectors = workspace.vectors;
    double[] held = workspace.held;
    float center = FloatLines.center(lines, 0);
    float factor = (float) lines.factor[0];
    float slope = (float) lines.slope[0];
    float offset = FloatLines.offset(lines, 0, upstream != null);
    int ahead = next.at() - block.at();
    clear(vectors, held);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      int end = at + block.length();
      for (; at < end; at += PIECE) {
        int to = Math.min(at + PIECE, end);
        if (upstream == null) {
          normalizeAndSum(x, out, at, to, center, factor, offset, ahead, shift, vectors, held);
        } else {
          differentiateAndSum(
              x, upstream, out, at, to, center, factor, slope, offset, ahead, shift, vectors, held);
        }
      }
    }
    total(vectors, held);
  }

  /**
   * Whether more than half of the squares is the distance of the shift from the mean: then their
   * rounding shows in the variance. Rows that follow each other are often alike, and the first are
   * far from the mean of all.
   */
  private static boolean isFar(double sum, double squares, int n) {
    return sum * sum > squares * (FAR * n);
  }

  private static boolean isTrusted(double sum, double squares, int n) {
    return inRange(squares) && !isFar(sum, squares, n);
  }

  private static boolean inRange(double sum) {
    return Math.abs(sum) < LARGE && Math.abs(sum) > SMALL;
  }

  private float estimate(Block block, float[] lanes) {
    int n = Math.min(ESTIMATE, block.length());
    FloatVector sum = FloatVector.zero(SPECIES);
    int i = 0;
    for (; i <= n - STEP; i += STEP) {
      sum = sum.add(FloatVector.fromArray(SPECIES, x, block.at() + i));
    }
    sum.intoArray(lanes, 0);
    double total = total(lanes, 0);
    for (; i < n; i++) {
      total += x[block.at() + i];
    }
    return (float) (total / n);
  }

  private static void clear(float[] vectors, double[] held) {
    Arrays.fill(vectors, 0, VECTORS * STEP, 0);
    Arrays.fill(held, 0);
  }

  /** Adds to what is held of the elements that filled no vector. */
  private static void total(float[] vectors, double[] held) {
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
  private static void sum(
      float[] x, int from, int to, float shift, float[] vectors, double[] held) {
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
  private static void sumWithUpstream(
      float[] x, float[] dy, int from, int to, float shift, float[] vectors, double[] held) {
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector upstream = FloatVector.zero(SPECIES);
    FloatVector deviation = FloatVector.zero(SPECIES);
    int i = from;
    for (; i <= to - STEP; i += STEP) {
      FloatVector d = FloatVector.fromArray(SPECIES, x, i).sub(s);
      FloatVector g = FloatVector.fromArray(SPECIES, dy, i);
      sum = sum.add(d);
      squares = squares.add(d.mul(d));
      upstream = upstream.add(g);
      deviation = deviation.add(d.mul(g));
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
      held[3] += d * dy[i];
    }
  }

  /** Sums what lies {@code ahead} of the elements that are normalised. */
  private static void normalizeAndSum(
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

  private static void differentiateAndSum(
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
      float[] vectors,
      double[] held) {
    FloatVector c = FloatVector.broadcast(SPECIES, center);
    FloatVector f = FloatVector.broadcast(SPECIES, factor);
    FloatVector k = FloatVector.broadcast(SPECIES, slope);
    FloatVector o = FloatVector.broadcast(SPECIES, offset);
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector upstream = FloatVector.zero(SPECIES);
    FloatVector deviation = FloatVector.zero(SPECIES);
    int i = from;
    for (; i <= to - STEP; i += STEP) {
      FloatVector d = FloatVector.fromArray(SPECIES, x, i + ahead).sub(s);
      FloatVector g = FloatVector.fromArray(SPECIES, dy, i + ahead);
      sum = sum.add(d);
      squares = squares.add(d.mul(d));
      upstream = upstream.add(g);
      deviation = deviation.add(d.mul(g));
      FloatVector line = FloatVector.fromArray(SPECIES, x, i).sub(c).mul(k).add(o);
      FloatVector.fromArray(SPECIES, dy, i).mul(f).sub(line).intoArray(out, i);
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
      held[3] += d * g;
      out[i] = factor * dy[i] - (slope * (x[i] - center) + offset);
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

  private static void add(FloatVector added, int at, float[] sums) {
    FloatVector.fromArray(SPECIES, sums, at).add(added).intoArray(sums, at);
  }

  private void sumLanes(Block block, Tile tile, Workspace workspace, GroupSums into) {
    int lanes = block.length();
    LaneSums sums = workspace.lanes;
    FloatLanes floats = workspace.floats;
    sums.clear(lanes, withUpstream());
    for (int row = 0; row < block.rows(); row += HELD_STRIPS) {
      Block held = new Block(
          block.at() + row * block.stride(),
          Math.min(HELD_STRIPS, block.rows() - row),
          block.stride(),
          lanes);
      if (sums.count() == 0) {
        estimate(held, floats);
      } else {
        narrow(sums.mean, floats.shift, lanes);
      }
      hold(held, floats, sums);
      if (!areTrusted(held, sums) && moveFarShifts(held, floats, sums)) {
        hold(held, floats, sums);
      }
      if (!areTrusted(held, sums)) {
        redo(held, workspace, sums);
      }
      sums.fold(held.rows());
    }
    into.add(sums, tile);
  }

  /** Sums over strips, a few at a time in 32 bits: one large square must not swallow many small. */
  private void hold(Block block, FloatLanes floats, LaneSums sums) {
    int lanes = block.length();
    for (int i = 0; i < lanes; i++) {
      sums.shift[i] = floats.shift[i];
    }
    sums.clearPending();
    for (int row = 0; row < block.rows(); row += STRIPS) {
      Block few = new Block(
          block.at() + row * block.stride(),
          Math.min(STRIPS, block.rows() - row),
          block.stride(),
          lanes);
      floats.clear(lanes);
      if (upstream == null) {
        sumStrips(x, few, floats);
      } else {
        floats.clearUpstream(lanes);
        sumStripsWithUpstream(x, upstream, few, floats);
        add(floats.upstream, sums.upstreamSum, lanes);
        add(floats.deviation, sums.deviationSum, lanes);
      }
      add(floats.sum, sums.sum, lanes);
      add(floats.squares, sums.squareSum, lanes);
    }
  }

  private static void add(float[] from, double[] to, int count) {
    for (int i = 0; i < count; i++) {
      to[i] += from[i];
    }
  }

  private void estimate(Block block, FloatLanes floats) {
    int lanes = block.length();
    int rows = Math.min(ESTIMATE_STRIPS, block.rows());
    System.arraycopy(x, block.at(), floats.shift, 0, lanes);
    if (rows > 1) {
      floats.clear(lanes);
      sumStrips(x, new Block(block.at(), rows, block.stride(), lanes), floats);
      float share = 1f / rows;
      for (int i = 0; i < lanes; i++) {
        float shift = floats.shift[i] + floats.sum[i] * share;
        floats.shift[i] = Math.abs(shift) <= Float.MAX_VALUE ? shift : floats.shift[i];
      }
    }
  }

  /** Moves the shifts that are far from their mean to it, and says whether there were any. */
  private static boolean moveFarShifts(Block block, FloatLanes floats, LaneSums sums) {
    boolean any = false;
    int n = block.rows();
    for (int i = 0; i < block.length(); i++) {
      if (isFar(sums.sum[i], sums.squareSum[i], n)) {
        floats.shift[i] += (float) (sums.sum[i] / n);
        any = true;
      }
    }
    return any;
  }

  private boolean areTrusted(Block block, LaneSums sums) {
    // The shift of a single strip is the strip itself.
    if (block.rows() == 1) {
      return true;
    }
    int step = DOUBLES.length();
    int i = 0;
    for (; i <= block.length() - step; i += step) {
      DoubleVector sum = DoubleVector.fromArray(DOUBLES, sums.sum, i);
      DoubleVector squares = DoubleVector.fromArray(DOUBLES, sums.squareSum, i);
      VectorMask<Double> trusted = squares
          .compare(VectorOperators.LT, LARGE)
          .and(squares.compare(VectorOperators.GT, SMALL))
          .and(sum.mul(sum).compare(VectorOperators.LE, squares.mul(FAR * block.rows())));
      if (upstream != null) {
        DoubleVector deviation =
            DoubleVector.fromArray(DOUBLES, sums.deviationSum, i).abs();
        trusted = trusted
            .and(deviation.compare(VectorOperators.LT, LARGE))
            .and(deviation.compare(VectorOperators.GT, SMALL));
      }
      if (!trusted.allTrue()) {
        return false;
      }
    }
    for (; i < block.length(); i++) {
      if (!isTrusted(sums, i, block.rows())) {
        return false;
      }
    }
    return true;
  }

  /** In 64 bits, the lanes that need it: what one feature holds changes no bit of another. */
  private void redo(Block block, Workspace workspace, LaneSums sums) {
    LaneSums wide = workspace.wide;
    wide.clear(block.length(), withUpstream());
    System.arraycopy(sums.shift, 0, wide.shift, 0, block.length());
    for (int row = 0; row < block.rows(); row++) {
      sumStrip(block.at() + row * block.stride(), wide);
    }
    for (int i = 0; i < block.length(); i++) {
      if (!isTrusted(sums, i, block.rows())) {
        sums.sum[i] = wide.sum[i];
        sums.squareSum[i] = wide.squareSum[i];
        sums.upstreamSum[i] = wide.upstreamSum[i];
        sums.deviationSum[i] = wide.deviationSum[i];
      }
    }
  }

  private boolean isTrusted(LaneSums sums, int lane, int n) {
    return isTrusted(sums.sum[lane], sums.squareSum[lane], n)
        && (upstream == null || inRange(sums.deviationSum[lane]));
  }

  /** Four strips at once: lanes are read and written once for the four. */
  private static void sumStrips(float[] x, Block block, FloatLanes lanes) {
    int row = 0;
    int stride = block.stride();
    for (; row + 4 <= block.rows(); row += 4) {
      addFour(x, block.at() + row * stride, stride, block.length(), lanes);
    }
    for (; row < block.rows(); row++) {
      add(x, block.at() + row * stride, block.length(), lanes);
    }
  }

  private static void addFour(float[] x, int at, int stride, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    int b = at + stride;
    int c = b + stride;
    int d = c + stride;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector s = FloatVector.fromArray(SPECIES, shift, i);
      FloatVector v0 = FloatVector.fromArray(SPECIES, x, at + i).sub(s);
      FloatVector v1 = FloatVector.fromArray(SPECIES, x, b + i).sub(s);
      FloatVector v2 = FloatVector.fromArray(SPECIES, x, c + i).sub(s);
      FloatVector v3 = FloatVector.fromArray(SPECIES, x, d + i).sub(s);
      add(v0.add(v1).add(v2.add(v3)), i, sum);
      add(v0.mul(v0).add(v1.mul(v1)).add(v2.mul(v2).add(v3.mul(v3))), i, squares);
    }
    for (; i < count; i++) {
      float s = shift[i];
      float v0 = x[at + i] - s;
      float v1 = x[b + i] - s;
      float v2 = x[c + i] - s;
      float v3 = x[d + i] - s;
      sum[i] += (v0 + v1) + (v2 + v3);
      squares[i] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3);
    }
  }

  private static void add(float[] x, int at, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector v =
          FloatVector.fromArray(SPECIES, x, at + i).sub(FloatVector.fromArray(SPECIES, shift, i));
      add(v, i, sum);
      add(v.mul(v), i, squares);
    }
    for (; i < count; i++) {
      float v = x[at + i] - shift[i];
      sum[i] += v;
      squares[i] += v * v;
    }
  }

  private static void sumStripsWithUpstream(float[] x, float[] dy, Block block, FloatLanes lanes) {
    int row = 0;
    int stride = block.stride();
    for (; row + 2 <= block.rows(); row += 2) {
      int at = block.at() + row * stride;
      addTwoWithUpstream(x, dy, at, at + stride, block.length(), lanes);
    }
    for (; row < block.rows(); row++) {
      addWithUpstream(x, dy, block.at() + row * stride, block.length(), lanes);
    }
  }

  /** Not four strips: where they are 4 KiB apart, eight lines would fight for one cache set. */
  private static void addTwoWithUpstream(
      float[] x, float[] dy, int a, int b, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    float[] upstream = lanes.upstream;
    float[] deviation = lanes.deviation;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector s = FloatVector.fromArray(SPECIES, shift, i);
      FloatVector d0 = FloatVector.fromArray(SPECIES, x, a + i).sub(s);
      FloatVector d1 = FloatVector.fromArray(SPECIES, x, b + i).sub(s);
      FloatVector g0 = FloatVector.fromArray(SPECIES, dy, a + i);
      FloatVector g1 = FloatVector.fromArray(SPECIES, dy, b + i);
      add(d0.add(d1), i, sum);
      add(d0.mul(d0).add(d1.mul(d1)), i, squares);
      add(g0.add(g1), i, upstream);
      add(d0.mul(g0).add(d1.mul(g1)), i, deviation);
    }
    for (; i < count; i++) {
      float d0 = x[a + i] - shift[i];
      float d1 = x[b + i] - shift[i];
      sum[i] += d0 + d1;
      squares[i] += d0 * d0 + d1 * d1;
      upstream[i] += dy[a + i] + dy[b + i];
      deviation[i] += d0 * dy[a + i] + d1 * dy[b + i];
    }
  }

  private static void addWithUpstream(float[] x, float[] dy, int at, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    float[] upstream = lanes.upstream;
    float[] deviation = lanes.deviation;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector d =
          FloatVector.fromArray(SPECIES, x, at + i).sub(FloatVector.fromArray(SPECIES, shift, i));
      FloatVector g = FloatVector.fromArray(SPECIES, dy, at + i);
      add(d, i, sum);
      add(d.mul(d), i, squares);
      add(g, i, upstream);
      add(d.mul(g), i, deviation);
    }
    for (; i < count; i++) {
      float d = x[at + i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
      upstream[i] += dy[at + i];
      deviation[i] += d * dy[at + i];
    }
  }

  @Override
  void normalizeRun(float[] out, int at, int length, float center, float factor, float offset) {
    normalize(x, out, at, at + length, center, factor, offset);
  }

  private static void normalize(
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

  @Override
  void normalizeStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
    if (block.elements() < FEW) {
      super.normalizeStrips(block, tile, lines, workspace);
      return;
    }
    float[] out = requireNonNull(output);
    int lanes = block.length();
    FloatLines floats = workspace.floatLines;
    if (!floats.take(lines, tile, lanes, false)) {
      normalizeWide(block, floats, lines.spread(tile, lanes, workspace.ofLanes));
      return;
    }
    int row = 0;
    for (; row + 2 <= block.rows(); row += 2) {
      int at = block.at() + row * block.stride();
      normalizeTwo(x, out, at, at + block.stride(), lanes, floats);
    }
    for (; row < block.rows(); row++) {
      normalize(x, out, block.at() + row * block.stride(), lanes, floats);
    }
  }

  /** Two strips: a line is read once for both. Four were no faster. */
  private static void normalizeTwo(
      float[] x, float[] out, int a, int b, int count, FloatLines lines) {
    float[] center = lines.center;
    float[] factor = lines.factor;
    float[] offset = lines.offset;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector c = FloatVector.fromArray(SPECIES, center, i);
      FloatVector f = FloatVector.fromArray(SPECIES, factor, i);
      FloatVector o = FloatVector.fromArray(SPECIES, offset, i);
      FloatVector.fromArray(SPECIES, x, a + i).sub(c).mul(f).add(o).intoArray(out, a + i);
      FloatVector.fromArray(SPECIES, x, b + i).sub(c).mul(f).add(o).intoArray(out, b + i);
    }
    for (; i < count; i++) {
      out[a + i] = factor[i] * (x[a + i] - center[i]) + offset[i];
      out[b + i] = factor[i] * (x[b + i] - center[i]) + offset[i];
    }
  }

  private static void normalize(float[] x, float[] out, int at, int count, FloatLines lines) {
    float[] center = lines.center;
    float[] factor = lines.factor;
    float[] offset = lines.offset;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector.fromArray(SPECIES, x, at + i)
          .sub(FloatVector.fromArray(SPECIES, center, i))
          .mul(FloatVector.fromArray(SPECIES, factor, i))
          .add(FloatVector.fromArray(SPECIES, offset, i))
          .intoArray(out, at + i);
    }
    for (; i < count; i++) {
      out[at + i] = factor[i] * (x[at + i] - center[i]) + offset[i];
    }
  }

  /** Where some lines do not fit: what one feature holds changes no bit of another. */
  private void normalizeWide(Block block, FloatLines floats, Lines lines) {
    float[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      for (int i = 0; i < block.length(); i++) {
        float value = x[at + i];
        out[at + i] = FloatLines.fits(lines, i)
            ? floats.factor[i] * (value - floats.center[i]) + floats.offset[i]
            : (float) (lines.factor[i] * (value - lines.center[i]) + lines.offset[i]);
      }
    }
  }

  @Override
  void differentiateStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
    if (block.elements() < FEW) {
      super.differentiateStrips(block, tile, lines, workspace);
      return;
    }
    int lanes = block.length();
    FloatLines floats = workspace.floatLines;
    if (!floats.take(lines, tile, lanes, true)) {
      differentiateWide(block, floats, lines.spread(tile, lanes, workspace.ofLanes));
      return;
    }
    float[] dy = requireNonNull(upstream);
    float[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      differentiate(x, dy, out, block.at() + row * block.stride(), lanes, floats);
    }
  }

  private static void differentiate(
      float[] x, float[] dy, float[] out, int at, int count, FloatLines lines) {
    float[] center = lines.center;
    float[] factor = lines.factor;
    float[] slope = lines.slope;
    float[] offset = lines.offset;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector line = FloatVector.fromArray(SPECIES, x, at + i)
          .sub(FloatVector.fromArray(SPECIES, center, i))
          .mul(FloatVector.fromArray(SPECIES, slope, i))
          .add(FloatVector.fromArray(SPECIES, offset, i));
      FloatVector.fromArray(SPECIES, dy, at + i)
          .mul(FloatVector.fromArray(SPECIES, factor, i))
          .sub(line)
          .intoArray(out, at + i);
    }
    for (; i < count; i++) {
      out[at + i] = factor[i] * dy[at + i] - (slope[i] * (x[at + i] - center[i]) + offset[i]);
    }
  }

  private void differentiateWide(Block block, FloatLines floats, Lines lines) {
    float[] dy = requireNonNull(upstream);
    float[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      for (int i = 0; i < block.length(); i++) {
        float value = x[at + i];
        float gradient = dy[at + i];
        out[at + i] = FloatLines.fits(lines, i)
            ? floats.factor[i] * gradient
                - (floats.slope[i] * (value - floats.center[i]) + floats.offset[i])
            : (float) (lines.factor[i] * gradient
                - (lines.slope[i] * (value - lines.center[i]) + lines.offset[i]));
      }
    }
  }

  private static void narrow(double[] from, float[] to, int count) {
    for (int i = 0; i < count; i++) {
      to[i] = (float) from[i];
    }
  }
}
