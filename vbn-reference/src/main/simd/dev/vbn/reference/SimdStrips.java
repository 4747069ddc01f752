package dev.vbn.reference;

import static dev.vbn.reference.SimdRuns.add;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.VectorSpecies;

/** The loops of {@link SimdKernel} over strips, whose lanes have sums and lines of their own. */
final class SimdStrips {
  private static final VectorSpecies<Float> SPECIES = FloatVector.SPECIES_PREFERRED;
  private static final int STEP = SPECIES.length();

  private SimdStrips() {}

  /** Four strips at once: lanes are read and written once for the four. */
  static void sum(float[] x, Block block, FloatLanes lanes) {
    int row = 0;
    int stride = block.stride();
    for (; row + 4 <= block.rows(); row += 4) {
      addFour(x, block.at() + row * stride, stride, block.length(), lanes);
    }
    for (; row < block.rows(); row++) {
      addOne(x, block.at() + row * stride, block.length(), lanes);
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

  private static void addOne(float[] x, int at, int count, FloatLanes lanes) {
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

  static void sumWithUpstream(float[] x, float[] dy, Block block, FloatLanes lanes) {
    int row = 0;
    int stride = block.stride();
    for (; row + 2 <= block.rows(); row += 2) {
      int at = block.at() + row * stride;
      addTwoWithUpstream(x, dy, at, at + stride, block.length(), lanes);
    }
    for (; row < block.rows(); row++) {
      addOneWithUpstream(x, dy, block.at() + row * stride, block.length(), lanes);
    }
  }

  /** Not four strips: where they are 4 KiB apart, eight lines would fight for one cache set. */
  private static void addTwoWithUpstream(
      float[] x, float[] dy, int a, int b, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] center = lanes.center;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    float[] upstream = lanes.upstream;
    float[] deviation = lanes.deviation;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector s = FloatVector.fromArray(SPECIES, shift, i);
      FloatVector c = FloatVector.fromArray(SPECIES, center, i);
      FloatVector v0 = FloatVector.fromArray(SPECIES, x, a + i);
      FloatVector v1 = FloatVector.fromArray(SPECIES, x, b + i);
      FloatVector d0 = v0.sub(s);
      FloatVector d1 = v1.sub(s);
      FloatVector g0 = FloatVector.fromArray(SPECIES, dy, a + i);
      FloatVector g1 = FloatVector.fromArray(SPECIES, dy, b + i);
      add(d0.add(d1), i, sum);
      add(d0.mul(d0).add(d1.mul(d1)), i, squares);
      add(g0.add(g1), i, upstream);
      add(v0.sub(c).mul(g0).add(v1.sub(c).mul(g1)), i, deviation);
    }
    for (; i < count; i++) {
      float d0 = x[a + i] - shift[i];
      float d1 = x[b + i] - shift[i];
      sum[i] += d0 + d1;
      squares[i] += d0 * d0 + d1 * d1;
      upstream[i] += dy[a + i] + dy[b + i];
      deviation[i] += (x[a + i] - center[i]) * dy[a + i] + (x[b + i] - center[i]) * dy[b + i];
    }
  }

  private static void addOneWithUpstream(
      float[] x, float[] dy, int at, int count, FloatLanes lanes) {
    float[] shift = lanes.shift;
    float[] center = lanes.center;
    float[] sum = lanes.sum;
    float[] squares = lanes.squares;
    float[] upstream = lanes.upstream;
    float[] deviation = lanes.deviation;
    int i = 0;
    for (; i <= count - STEP; i += STEP) {
      FloatVector v = FloatVector.fromArray(SPECIES, x, at + i);
      FloatVector d = v.sub(FloatVector.fromArray(SPECIES, shift, i));
      FloatVector g = FloatVector.fromArray(SPECIES, dy, at + i);
      add(d, i, sum);
      add(d.mul(d), i, squares);
      add(g, i, upstream);
      add(v.sub(FloatVector.fromArray(SPECIES, center, i)).mul(g), i, deviation);
    }
    for (; i < count; i++) {
      float d = x[at + i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
      upstream[i] += dy[at + i];
      deviation[i] += (x[at + i] - center[i]) * dy[at + i];
    }
  }

  /** Two strips: a line is read once for both. Four were no faster. */
  static void normalizeTwo(float[] x, float[] out, int a, int b, int count, FloatLines lines) {
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

  static void normalize(float[] x, float[] out, int at, int count, FloatLines lines) {
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

  static void differentiate(
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
          .add(line)
          .intoArray(out, at + i);
    }
    for (; i < count; i++) {
      out[at + i] = factor[i] * dy[at + i] + (slope[i] * (x[at + i] - center[i]) + offset[i]);
    }
  }
}
