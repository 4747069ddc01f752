package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import jdk.incubator.vector.DoubleVector;
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
  private static final VectorSpecies<Double> DOUBLES = DoubleVector.SPECIES_PREFERRED;

  /**
   * Elements in lanes for which vectors are not worth while: (8, 64) took a third longer. Only for
   * sums: an output has the same bits in a batch of any size.
   */
  private static final int FEW = 4096;

  /** Elements of one feature that share a shift, and whose sums are held in 32 bits. */
  private static final int HELD = 2048;

  /** Elements between two occasions at which what additions have rounded off is kept. */
  private static final int PIECE = 256;

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
  static final class Factory implements KernelChoice.OfFloats {
    @Override
    public FloatKernel of(
        float[] x,
        float @Nullable [] upstream,
        double @Nullable [] centers,
        float @Nullable [] output) {
      return new SimdKernel(x, upstream, centers, output);
    }
  }

  private SimdKernel(
      float[] x,
      float @Nullable [] upstream,
      double @Nullable [] centers,
      float @Nullable [] output) {
    super(x, upstream, centers, output);
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
      sumRuns(held, tile, shift, workspace);
      add(held, shift, tile, workspace, into);
    }
  }

  /**
   * The output of one feature is written while the next one is summed: a loop that waits for memory
   * to write to has time to fetch, and large batches took a quarter less time.
   */
  @Override
  void writeAndSum(
      Block block,
      Tile tile,
      Lines lines,
      Block next,
      Tile nextTile,
      Workspace workspace,
      GroupSums into) {
    if (!tile.longRuns() || !FloatLines.fits(lines, 0)) {
      super.writeAndSum(block, tile, lines, next, nextTile, workspace, into);
      return;
    }
    for (int i = 0; i < holds(block); i++) {
      Block held = hold(next, i);
      float shift = shift(held, workspace, into);
      writeAndSumRuns(hold(block, i), lines, held, nextTile, shift, workspace);
      add(held, shift, nextTile, workspace, into);
    }
  }

  /** Parts of a block that share a shift. */
  private static int holds(Block block) {
    return Tile.ceil(block.rows(), heldRows(block)) * Tile.ceil(block.length(), HELD);
  }

  private static Block hold(Block block, int index) {
    int cuts = Tile.ceil(block.length(), HELD);
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

  private float shift(Block block, Workspace workspace, GroupSums soFar) {
    return soFar.isEmpty()
        ? SimdRuns.mean(x, block.at(), Math.min(ESTIMATE, block.length()), workspace.vectors)
        : (float) soFar.mean[0];
  }

  /** Adds what is held, after summing again what 32 bits around {@code shift} cannot tell. */
  private void add(Block block, float shift, Tile tile, Workspace workspace, GroupSums into) {
    double[] held = workspace.held;
    int n = block.elements();
    float near = shift;
    if (isFar(held[0], held[1], n)) {
      near += (float) (held[0] / n);
      sumRuns(block, tile, near, workspace);
    }
    if (isTrusted(held[0], held[1], n) && (upstream == null || inRange(held[3]))) {
      into.add(n, near, held[0], held[1], held[2], held[3]);
    } else {
      super.sum(block, tile, workspace, into);
    }
  }

  private void sumRuns(Block block, Tile tile, float shift, Workspace workspace) {
    float around = (float) center(tile);
    float[] vectors = workspace.vectors;
    double[] held = workspace.held;
    SimdRuns.clear(vectors, held);
    for (int row = 0; row < block.rows(); row++) {
      int start = block.at() + row * block.stride();
      for (int i = 0; i < block.length(); i += PIECE) {
        int at = start + i;
        int to = at + Math.min(PIECE, block.length() - i);
        if (upstream == null) {
          SimdRuns.sum(x, at, to, shift, vectors, held);
        } else {
          SimdRuns.sumWithUpstream(x, upstream, at, to, shift, around, vectors, held);
        }
      }
    }
    SimdRuns.total(vectors, held);
  }

  private void writeAndSumRuns(
      Block block, Lines lines, Block next, Tile nextTile, float shift, Workspace workspace) {
    float[] out = requireNonNull(output);
    float[] vectors = workspace.vectors;
    double[] held = workspace.held;
    float center = FloatLines.center(lines, 0);
    float factor = (float) lines.factor[0];
    float slope = (float) lines.slope[0];
    float offset = FloatLines.offset(lines, 0, upstream != null);
    int ahead = next.at() - block.at();
    float around = (float) center(nextTile);
    SimdRuns.clear(vectors, held);
    for (int row = 0; row < block.rows(); row++) {
      int start = block.at() + row * block.stride();
      for (int i = 0; i < block.length(); i += PIECE) {
        int at = start + i;
        int to = at + Math.min(PIECE, block.length() - i);
        if (upstream == null) {
          SimdRuns.normalizeAndSum(
              x, out, at, to, center, factor, offset, ahead, shift, vectors, held);
        } else {
          SimdRuns.differentiateAndSum(
              x, upstream, out, at, to, center, factor, slope, offset, ahead, shift, around,
              vectors, held);
        }
      }
    }
    SimdRuns.total(vectors, held);
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

  private void sumLanes(Block block, Tile tile, Workspace workspace, GroupSums into) {
    int lanes = block.length();
    LaneSums sums = workspace.lanes;
    FloatLanes floats = workspace.floats;
    clear(sums, tile, lanes);
    narrow(sums.center, floats.center, lanes);
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
      boolean trusted = areTrusted(held, sums);
      if (!trusted && moveFarShifts(held, floats, sums)) {
        hold(held, floats, sums);
        trusted = areTrusted(held, sums);
      }
      if (!trusted) {
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
        SimdStrips.sum(x, few, floats);
      } else {
        floats.clearUpstream(lanes);
        SimdStrips.sumWithUpstream(x, upstream, few, floats);
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
      SimdStrips.sum(x, new Block(block.at(), rows, block.stride(), lanes), floats);
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
    System.arraycopy(sums.center, 0, wide.center, 0, block.length());
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

  @Override
  void normalizeRun(float[] out, int at, int length, float center, float factor, float offset) {
    SimdRuns.normalize(x, out, at, at + length, center, factor, offset);
  }

  @Override
  void normalizeStrips(Block block, Tile tile, Lines lines, Workspace workspace) {
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
      SimdStrips.normalizeTwo(x, out, at, at + block.stride(), lanes, floats);
    }
    for (; row < block.rows(); row++) {
      SimdStrips.normalize(x, out, block.at() + row * block.stride(), lanes, floats);
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
    int lanes = block.length();
    FloatLines floats = workspace.floatLines;
    if (!floats.take(lines, tile, lanes, true)) {
      differentiateWide(block, floats, lines.spread(tile, lanes, workspace.ofLanes));
      return;
    }
    float[] dy = requireNonNull(upstream);
    float[] out = requireNonNull(output);
    for (int row = 0; row < block.rows(); row++) {
      SimdStrips.differentiate(x, dy, out, block.at() + row * block.stride(), lanes, floats);
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
                + (floats.slope[i] * (value - floats.center[i]) + floats.offset[i])
            : (float) (lines.factor[i] * gradient
                + (lines.slope[i] * (value - lines.center[i]) + lines.offset[i]));
      }
    }
  }

  private static void narrow(double[] from, float[] to, int count) {
    for (int i = 0; i < count; i++) {
      to[i] = (float) from[i];
    }
  }
}
