package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import jdk.incubator.vector.FloatVector;
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

  /** Elements in lanes for which vectors are not worth while: (8, 64) took a third longer. */
  private static final int FEW = 4096;

  /** Elements of one feature that share a shift, and whose sums are held in 32 bits. */
  private static final int HELD = 2048;

  /** Strips that share a shift, and those of them whose sums are held in 32 bits. */
  private static final int HELD_STRIPS = 128;

  private static final int STRIPS = 32;

  /** Elements that the first shift is the mean of. */
  private static final int ESTIMATE = 64;

  /** Strips that it is the mean of, where every lane has a shift. */
  private static final int ESTIMATE_STRIPS = 16;

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
    int length = Math.min(block.length(), HELD);
    int rows = HELD / length;
    for (int row = 0; row < block.rows(); row += rows) {
      for (int from = 0; from < block.length(); from += length) {
        hold(
            new Block(
                block.at() + row * block.stride() + from,
                Math.min(rows, block.rows() - row),
                block.stride(),
                Math.min(length, block.length() - from)),
            tile,
            workspace,
            into);
      }
    }
  }

  private void hold(Block block, Tile tile, Workspace workspace, GroupSums into) {
    float shift = into.isEmpty() ? estimate(block, workspace.strip) : (float) into.mean[0];
    double[] held = workspace.held;
    int n = block.elements();
    sumRuns(block, shift, workspace);
    if (isFar(held[0], held[1], n)) {
      shift += (float) (held[0] / n);
      sumRuns(block, shift, workspace);
    }
    if (isTrusted(held[0], held[1], n) && (upstream == null || inRange(held[3]))) {
      into.add(n, shift, held[0], held[1], held[2], held[3]);
    } else {
      super.sum(block, tile, workspace, into);
    }
  }

  private void sumRuns(Block block, float shift, Workspace workspace) {
    if (upstream == null) {
      sumRuns(x, block, shift, workspace.strip, workspace.held);
    } else {
      sumRunsWithUpstream(x, upstream, block, shift, workspace.strip, workspace.held);
    }
  }

  /**
   * Whether more than half of the squares is the distance of the shift from the mean: then their
   * rounding shows in the variance. Rows that follow each other are often alike, and the first are
   * far from the mean of all.
   */
  private static boolean isFar(double sum, double squares, int n) {
    return sum * sum > 0.5 * squares * n;
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
    double total = total(sum, lanes);
    for (; i < n; i++) {
      total += x[block.at() + i];
    }
    return (float) (total / n);
  }

  /** Not {@code reduceLanes}, whose order, and so the last bit, depends on the compiler. */
  private static double total(FloatVector vector, float[] lanes) {
    vector.intoArray(lanes, 0);
    double total = 0;
    for (int i = 0; i < STEP; i++) {
      total += lanes[i];
    }
    return total;
  }

  /** Four vectors at once: a tree of additions replaces a chain. Eight did not fit the registers. */
  private static void sumRuns(float[] x, Block block, float shift, float[] lanes, double[] held) {
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector sumLost = FloatVector.zero(SPECIES);
    FloatVector squaresLost = FloatVector.zero(SPECIES);
    double restSum = 0;
    double restSquares = 0;
    for (int row = 0; row < block.rows(); row++) {
      int i = block.at() + row * block.stride();
      int end = i + block.length();
      for (; i <= end - 4 * STEP; i += 4 * STEP) {
        FloatVector d0 = FloatVector.fromArray(SPECIES, x, i).sub(s);
        FloatVector d1 = FloatVector.fromArray(SPECIES, x, i + STEP).sub(s);
        FloatVector d2 = FloatVector.fromArray(SPECIES, x, i + 2 * STEP).sub(s);
        FloatVector d3 = FloatVector.fromArray(SPECIES, x, i + 3 * STEP).sub(s);
        FloatVector s4 = d0.add(d1).add(d2.add(d3));
        FloatVector q4 = d0.mul(d0).add(d1.mul(d1)).add(d2.mul(d2).add(d3.mul(d3)));
        FloatVector nextSum = sum.add(s4);
        FloatVector nextSquares = squares.add(q4);
        sumLost = sumLost.add(lost(sum, s4, nextSum));
        squaresLost = squaresLost.add(lost(squares, q4, nextSquares));
        sum = nextSum;
        squares = nextSquares;
      }
      for (; i <= end - STEP; i += STEP) {
        FloatVector d = FloatVector.fromArray(SPECIES, x, i).sub(s);
        FloatVector q = d.mul(d);
        FloatVector nextSum = sum.add(d);
        FloatVector nextSquares = squares.add(q);
        sumLost = sumLost.add(lost(sum, d, nextSum));
        squaresLost = squaresLost.add(lost(squares, q, nextSquares));
        sum = nextSum;
        squares = nextSquares;
      }
      for (; i < end; i++) {
        float d = x[i] - shift;
        restSum += d;
        restSquares += d * d;
      }
    }
    held[0] = total(sum, lanes) + total(sumLost, lanes) + restSum;
    held[1] = total(squares, lanes) + total(squaresLost, lanes) + restSquares;
  }

  /**
   * What {@code sum = a + b} has rounded off (Knuth): one large square must not swallow hundreds of
   * small ones.
   */
  private static FloatVector lost(FloatVector a, FloatVector b, FloatVector sum) {
    FloatVector part = sum.sub(a);
    return a.sub(sum.sub(part)).add(b.sub(part));
  }

  /** In one loop, though the sums of x are the same: apart, backward took a fifth longer. */
  private static void sumRunsWithUpstream(
      float[] x, float[] dy, Block block, float shift, float[] lanes, double[] held) {
    FloatVector s = FloatVector.broadcast(SPECIES, shift);
    FloatVector sum = FloatVector.zero(SPECIES);
    FloatVector squares = FloatVector.zero(SPECIES);
    FloatVector sumLost = FloatVector.zero(SPECIES);
    FloatVector squaresLost = FloatVector.zero(SPECIES);
    FloatVector upstream = FloatVector.zero(SPECIES);
    FloatVector deviation = FloatVector.zero(SPECIES);
    double restSum = 0;
    double restSquares = 0;
    double restUpstream = 0;
    double restDeviation = 0;
    for (int row = 0; row < block.rows(); row++) {
      int i = block.at() + row * block.stride();
      int end = i + block.length();
      for (; i <= end - 4 * STEP; i += 4 * STEP) {
        FloatVector d0 = FloatVector.fromArray(SPECIES, x, i).sub(s);
        FloatVector d1 = FloatVector.fromArray(SPECIES, x, i + STEP).sub(s);
        FloatVector d2 = FloatVector.fromArray(SPECIES, x, i + 2 * STEP).sub(s);
        FloatVector d3 = FloatVector.fromArray(SPECIES, x, i + 3 * STEP).sub(s);
        FloatVector s4 = d0.add(d1).add(d2.add(d3));
        FloatVector q4 = d0.mul(d0).add(d1.mul(d1)).add(d2.mul(d2).add(d3.mul(d3)));
        FloatVector nextSum = sum.add(s4);
        FloatVector nextSquares = squares.add(q4);
        sumLost = sumLost.add(lost(sum, s4, nextSum));
        squaresLost = squaresLost.add(lost(squares, q4, nextSquares));
        sum = nextSum;
        squares = nextSquares;
        FloatVector g0 = FloatVector.fromArray(SPECIES, dy, i);
        FloatVector g1 = FloatVector.fromArray(SPECIES, dy, i + STEP);
        FloatVector g2 = FloatVector.fromArray(SPECIES, dy, i + 2 * STEP);
        FloatVector g3 = FloatVector.fromArray(SPECIES, dy, i + 3 * STEP);
        upstream = upstream.add(g0.add(g1).add(g2.add(g3)));
        deviation = deviation.add(d0.mul(g0).add(d1.mul(g1)).add(d2.mul(g2).add(d3.mul(g3))));
      }
      for (; i <= end - STEP; i += STEP) {
        FloatVector d = FloatVector.fromArray(SPECIES, x, i).sub(s);
        FloatVector g = FloatVector.fromArray(SPECIES, dy, i);
        FloatVector q = d.mul(d);
        FloatVector nextSum = sum.add(d);
        FloatVector nextSquares = squares.add(q);
        sumLost = sumLost.add(lost(sum, d, nextSum));
        squaresLost = squaresLost.add(lost(squares, q, nextSquares));
        sum = nextSum;
        squares = nextSquares;
        upstream = upstream.add(g);
        deviation = deviation.add(d.mul(g));
      }
      for (; i < end; i++) {
        float d = x[i] - shift;
        restSum += d;
        restSquares += d * d;
        restUpstream += dy[i];
        restDeviation += d * dy[i];
      }
    }
    held[0] = total(sum, lanes) + total(sumLost, lanes) + restSum;
    held[1] = total(squares, lanes) + total(squaresLost, lanes) + restSquares;
    held[2] = total(upstream, lanes) + restUpstream;
    held[3] = total(deviation, lanes) + restDeviation;
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
      sumStrips(x, few, floats);
      add(floats.sum, sums.sum, lanes);
      add(floats.squares, sums.squareSum, lanes);
      if (upstream != null) {
        floats.clearUpstream(lanes);
        sumUpstreamStrips(x, upstream, few, floats);
        add(floats.upstream, sums.upstreamSum, lanes);
        add(floats.deviation, sums.deviationSum, lanes);
      }
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
    for (int i = 0; i < block.length(); i++) {
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
      FloatVector.fromArray(SPECIES, sum, i).add(v0.add(v1).add(v2.add(v3))).intoArray(sum, i);
      FloatVector.fromArray(SPECIES, squares, i)
          .add(v0.mul(v0).add(v1.mul(v1)).add(v2.mul(v2).add(v3.mul(v3))))
          .intoArray(squares, i);
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
      FloatVector.fromArray(SPECIES, sum, i).add(v).intoArray(sum, i);
      FloatVector.fromArray(SPECIES, squares, i).add(v.mul(v)).intoArray(squares, i);
    }
    for (; i < count; i++) {
      float v = x[at + i] - shift[i];
      sum[i] += v;
      squares[i] += v * v;
    }
  }

  private static void sumUpstreamStrips(float[] x, float[] dy, Block block, FloatLanes lanes) {
    int row = 0;
    int stride = block.stride();
    for (; row + 2 <= block.rows(); row += 2) {
      addTwoUpstream(x, dy, block.at() + row * stride, stride, block.length(), lanes);
    }
    for (; row < block.rows(); row++) {
      addUpstream(x, dy, block.at() + row * stride, block.length(), lanes);
    }
  }

  /** Not four strips: where they are 4 KiB apart, eight lines would fight for one cache set. */
  private static void addTwoUpstream(
      float[] x, float[] dy, int at, int stride, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.upstream;
    float[] deviation = lanes.deviation;
    int b = at + stride;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector s = FloatVector.fromArray(SPECIES, shift, i);
      FloatVector g0 = FloatVector.fromArray(SPECIES, dy, at + i);
      FloatVector g1 = FloatVector.fromArray(SPECIES, dy, b + i);
      FloatVector.fromArray(SPECIES, sum, i).add(g0.add(g1)).intoArray(sum, i);
      FloatVector p0 = FloatVector.fromArray(SPECIES, x, at + i).sub(s).mul(g0);
      FloatVector p1 = FloatVector.fromArray(SPECIES, x, b + i).sub(s).mul(g1);
      FloatVector.fromArray(SPECIES, deviation, i).add(p0.add(p1)).intoArray(deviation, i);
    }
    for (; i < count; i++) {
      float s = shift[i];
      sum[i] += dy[at + i] + dy[b + i];
      deviation[i] += dy[at + i] * (x[at + i] - s) + dy[b + i] * (x[b + i] - s);
    }
  }

  private static void addUpstream(float[] x, float[] dy, int at, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.upstream;
    float[] deviation = lanes.deviation;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector g = FloatVector.fromArray(SPECIES, dy, at + i);
      FloatVector v =
          FloatVector.fromArray(SPECIES, x, at + i).sub(FloatVector.fromArray(SPECIES, shift, i));
      FloatVector.fromArray(SPECIES, sum, i).add(g).intoArray(sum, i);
      FloatVector.fromArray(SPECIES, deviation, i).add(v.mul(g)).intoArray(deviation, i);
    }
    for (; i < count; i++) {
      sum[i] += dy[at + i];
      deviation[i] += dy[at + i] * (x[at + i] - shift[i]);
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
  void normalizeStrips(Block block, Lines lines, Workspace workspace) {
    if (block.elements() < FEW) {
      super.normalizeStrips(block, lines, workspace);
      return;
    }
    float[] out = requireNonNull(output);
    int lanes = block.length();
    boolean fit = workspace.floatLines.take(lines, lanes, false);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      if (fit) {
        normalize(x, out, at, lanes, workspace.floatLines);
      } else {
        // The output may be the input.
        System.arraycopy(x, at, workspace.strip, 0, lanes);
        normalize(x, out, at, lanes, workspace.floatLines);
        normalizeWide(workspace.strip, at, lanes, lines);
      }
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

  private void normalizeWide(float[] strip, int at, int lanes, Lines lines) {
    float[] out = requireNonNull(output);
    for (int i = 0; i < lanes; i++) {
      if (!FloatLines.fits(lines, i)) {
        out[at + i] = (float) (lines.factor[i] * (strip[i] - lines.center[i]) + lines.offset[i]);
      }
    }
  }

  @Override
  void differentiateStrips(Block block, Lines lines, Workspace workspace) {
    if (block.elements() < FEW) {
      super.differentiateStrips(block, lines, workspace);
      return;
    }
    float[] dy = requireNonNull(upstream);
    float[] out = requireNonNull(output);
    int lanes = block.length();
    boolean fit = workspace.floatLines.take(lines, lanes, true);
    for (int row = 0; row < block.rows(); row++) {
      int at = block.at() + row * block.stride();
      if (fit) {
        differentiate(x, dy, out, at, lanes, workspace.floatLines);
      } else {
        // First, since the output may be x or the upstream gradient.
        differentiateWide(dy, workspace.strip, at, lanes, lines);
        differentiate(x, dy, out, at, lanes, workspace.floatLines);
        copyWide(workspace.strip, out, at, lanes, lines);
      }
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

  private void differentiateWide(float[] dy, float[] strip, int at, int lanes, Lines lines) {
    for (int i = 0; i < lanes; i++) {
      if (!FloatLines.fits(lines, i)) {
        strip[i] = (float) (lines.factor[i] * dy[at + i]
            - (lines.slope[i] * (x[at + i] - lines.center[i]) + lines.offset[i]));
      }
    }
  }

  private static void copyWide(float[] strip, float[] out, int at, int lanes, Lines lines) {
    for (int i = 0; i < lanes; i++) {
      if (!FloatLines.fits(lines, i)) {
        out[at + i] = strip[i];
      }
    }
  }

  private static void narrow(double[] from, float[] to, int count) {
    for (int i = 0; i < count; i++) {
      to[i] = (float) from[i];
    }
  }
}
