package dev.vbn.reference;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/**
 * The kernel on {@code jdk.incubator.vector}, compiled apart and loaded only where that module is.
 * It uses what the incubator has had, with the same signatures, since Java 17.
 *
 * <p>Sums take four strips at once: lane values are read and written once for the four, and two
 * levels of a tree replace a chain of four additions.
 */
final class SimdKernel implements Kernel {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int STEP = SPECIES.length();

  @Override
  public String name() {
    return "simd";
  }

  @Override
  public void sum(float[] x, int at, Box box, FloatSums lanes) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      int row = 0;
      for (; row + 4 <= box.rows(); row += 4) {
        addFour(x, from + row * box.stride(), box.stride(), box.lanes(), lanes);
      }
      for (; row < box.rows(); row++) {
        add(x, from + row * box.stride(), box.lanes(), lanes);
      }
    }
  }

  private static void addFour(float[] x, int at, int stride, int count, FloatSums lanes) {
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

  private static void add(float[] x, int at, int count, FloatSums lanes) {
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

  @Override
  public void sumWithUpstream(float[] x, float[] dy, int at, Box box, FloatSums lanes) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      int row = 0;
      for (; row + 4 <= box.rows(); row += 4) {
        int start = from + row * box.stride();
        addFour(x, start, box.stride(), box.lanes(), lanes);
        addFourUpstream(x, dy, start, box.stride(), box.lanes(), lanes);
      }
      for (; row < box.rows(); row++) {
        int start = from + row * box.stride();
        add(x, start, box.lanes(), lanes);
        addUpstream(x, dy, start, box.lanes(), lanes);
      }
    }
  }

  private static void addFourUpstream(
      float[] x, float[] dy, int at, int stride, int count, FloatSums lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.upstream;
    float[] deviation = lanes.upstreamDeviation;
    int b = at + stride;
    int c = b + stride;
    int d = c + stride;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector s = FloatVector.fromArray(SPECIES, shift, i);
      FloatVector g0 = FloatVector.fromArray(SPECIES, dy, at + i);
      FloatVector g1 = FloatVector.fromArray(SPECIES, dy, b + i);
      FloatVector g2 = FloatVector.fromArray(SPECIES, dy, c + i);
      FloatVector g3 = FloatVector.fromArray(SPECIES, dy, d + i);
      FloatVector.fromArray(SPECIES, sum, i).add(g0.add(g1).add(g2.add(g3))).intoArray(sum, i);
      FloatVector p0 = FloatVector.fromArray(SPECIES, x, at + i).sub(s).mul(g0);
      FloatVector p1 = FloatVector.fromArray(SPECIES, x, b + i).sub(s).mul(g1);
      FloatVector p2 = FloatVector.fromArray(SPECIES, x, c + i).sub(s).mul(g2);
      FloatVector p3 = FloatVector.fromArray(SPECIES, x, d + i).sub(s).mul(g3);
      FloatVector.fromArray(SPECIES, deviation, i)
          .add(p0.add(p1).add(p2.add(p3)))
          .intoArray(deviation, i);
    }
    for (; i < count; i++) {
      float s = shift[i];
      sum[i] += (dy[at + i] + dy[b + i]) + (dy[c + i] + dy[d + i]);
      deviation[i] += (dy[at + i] * (x[at + i] - s) + dy[b + i] * (x[b + i] - s))
          + (dy[c + i] * (x[c + i] - s) + dy[d + i] * (x[d + i] - s));
    }
  }

  private static void addUpstream(float[] x, float[] dy, int at, int count, FloatSums lanes) {
    float[] shift = lanes.shift;
    float[] sum = lanes.upstream;
    float[] deviation = lanes.upstreamDeviation;
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
  public void normalize(float[] x, float[] output, int at, Box box, FloatLines lines) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      for (int row = 0; row < box.rows(); row++) {
        normalize(x, output, from + row * box.stride(), box.lanes(), lines);
      }
    }
  }

  private static void normalize(float[] x, float[] output, int at, int count, FloatLines lines) {
    float[] center = lines.center;
    float[] factor = lines.factor;
    float[] offset = lines.offset;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector.fromArray(SPECIES, x, at + i)
          .sub(FloatVector.fromArray(SPECIES, center, i))
          .mul(FloatVector.fromArray(SPECIES, factor, i))
          .add(FloatVector.fromArray(SPECIES, offset, i))
          .intoArray(output, at + i);
    }
    for (; i < count; i++) {
      output[at + i] = factor[i] * (x[at + i] - center[i]) + offset[i];
    }
  }

  @Override
  public void differentiate(
      float[] x, float[] dy, float[] output, int at, Box box, FloatLines lines) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      for (int row = 0; row < box.rows(); row++) {
        differentiate(x, dy, output, from + row * box.stride(), box.lanes(), lines);
      }
    }
  }

  private static void differentiate(
      float[] x, float[] dy, float[] output, int at, int count, FloatLines lines) {
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
          .intoArray(output, at + i);
    }
    for (; i < count; i++) {
      output[at + i] = factor[i] * dy[at + i] - (slope[i] * (x[at + i] - center[i]) + offset[i]);
    }
  }
}
