package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Arrays of 32 bits, which the kernel computes in 32 bits. Lanes for which that does not do, such as
 * those of the largest floats, are computed in 64 bits, lane by lane: what one feature holds must
 * not change a bit of another.
 */
final class FloatStrips extends Strips {
  /** Squares outside this range have overflowed, or lost digits to underflow. */
  private static final float SMALL = 0x1p-80f;

  private static final float LARGE = 0x1p120f;

  private final float[] x;
  private final float @Nullable [] upstream;
  private final float @Nullable [] output;

  FloatStrips(float[] x, float @Nullable [] upstream, float @Nullable [] output) {
    this.x = x;
    this.upstream = upstream;
    this.output = output;
  }

  @Override
  boolean withUpstream() {
    return upstream != null;
  }

  @Override
  void estimate(int at, Box block, Workspace workspace, double[] shift) {
    FloatSums floats = workspace.floats;
    Box start = block.start();
    int first = at + start.at();
    System.arraycopy(x, first, floats.shift, 0, block.lanes());
    if (start.rows() > 1) {
      Arrays.fill(floats.sum, 0, block.lanes(), 0);
      Arrays.fill(floats.squares, 0, block.lanes(), 0);
      workspace.kernel.sum(x, at, start, floats);
      float share = 1f / start.rows();
      for (int i = 0; i < block.lanes(); i++) {
        floats.shift[i] += floats.sum[i] * share;
      }
    }
    for (int i = 0; i < block.lanes(); i++) {
      shift[i] = floats.shift[i];
    }
    for (int i = 0; i < block.lanes(); i++) {
      if (!(Math.abs(floats.shift[i]) <= Float.MAX_VALUE)) {
        shift[i] = x[first + i];
      }
    }
  }

  @Override
  void round(double[] mean, double[] shift, int lanes) {
    for (int i = 0; i < lanes; i++) {
      shift[i] = (float) mean[i];
    }
  }

  @Override
  void sum(int at, Box block, Workspace workspace, LaneSums sums) {
    int lanes = block.lanes();
    FloatSums floats = workspace.floats;
    for (int i = 0; i < lanes; i++) {
      floats.shift[i] = (float) sums.shift[i];
    }
    Arrays.fill(floats.sum, 0, lanes, 0);
    Arrays.fill(floats.squares, 0, lanes, 0);
    if (upstream == null) {
      workspace.kernel.sum(x, at, block, floats);
    } else {
      Arrays.fill(floats.upstream, 0, lanes, 0);
      Arrays.fill(floats.upstreamDeviation, 0, lanes, 0);
      workspace.kernel.sumWithUpstream(x, upstream, at, block, floats);
      for (int i = 0; i < lanes; i++) {
        sums.blockUpstream[i] = floats.upstream[i];
        sums.blockDeviation[i] = floats.upstreamDeviation[i];
      }
    }
    for (int i = 0; i < lanes; i++) {
      sums.blockSum[i] = floats.sum[i];
      sums.blockSquares[i] = floats.squares[i];
    }
    // One strip is the shift itself; its deviation of 0 is not what underflow has left.
    boolean exact = block.strips() == 1;
    for (int i = 0; i < lanes; i++) {
      float squares = floats.squares[i];
      float deviation = upstream == null ? 1 : Math.abs(floats.upstreamDeviation[i]);
      if (!(squares < LARGE && (squares > SMALL || exact))
          || !(deviation < LARGE && (deviation > SMALL || exact))) {
        sumWide(at + i, block, i, sums);
      }
    }
  }

  private void sumWide(int at, Box block, int lane, LaneSums sums) {
    double shift = sums.shift[lane];
    double sum = 0;
    double squares = 0;
    double gradient = 0;
    double deviation = 0;
    for (int piece = 0; piece < block.pieces(); piece++) {
      int from = at + block.at() + piece * block.pieceStride();
      for (int row = 0; row < block.rows(); row++) {
        double d = x[from + row * block.stride()] - shift;
        sum += d;
        squares += d * d;
        if (upstream != null) {
          double dy = upstream[from + row * block.stride()];
          gradient += dy;
          deviation += dy * d;
        }
      }
    }
    sums.blockSum[lane] = sum;
    sums.blockSquares[lane] = squares;
    sums.blockUpstream[lane] = gradient;
    sums.blockDeviation[lane] = deviation;
  }

  @Override
  void normalize(int at, Box box, Tile tile, Lines lines, Workspace workspace) {
    float[] out = requireNonNull(output);
    if (!lines.anyWide()) {
      workspace.kernel.normalize(x, out, at, box, lines.floats);
      return;
    }
    box.forEachStrip(at, (start, strip) -> {
      // The output may be the input, and the kernel writes the wide lanes as well.
      float[] before = Arrays.copyOfRange(x, start, start + box.lanes());
      workspace.kernel.normalize(x, out, at, strip, lines.floats);
      for (int i = 0; i < before.length; i++) {
        int f = tile.feature(i);
        if (lines.wide(f)) {
          out[start + i] =
              (float) (lines.factor[f] * (before[i] - lines.center[f]) + lines.offset[f]);
        }
      }
    });
  }

  @Override
  void differentiate(int at, Box box, Tile tile, Lines lines, Workspace workspace) {
    float[] out = requireNonNull(output);
    float[] dy = requireNonNull(upstream);
    workspace.kernel.differentiate(x, dy, out, at, box, lines.floats);
    if (lines.anyWide()) {
      box.forEachStrip(at, (start, strip) -> {
        for (int i = 0; i < box.lanes(); i++) {
          int f = tile.feature(i);
          if (lines.wide(f)) {
            out[start + i] = (float) (lines.factor[f] * dy[start + i]
                - (lines.slope[f] * (x[start + i] - lines.center[f]) + lines.offset[f]));
          }
        }
      });
    }
  }
}
