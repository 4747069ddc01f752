package dev.vbn.reference;

/**
 * The kernel that every JVM has. Strips are copied to a small buffer first: C2 vectorises a loop
 * whose arrays share one index.
 */
final class ScalarKernel implements Kernel {
  private final float[] strip;
  private final float[] gradient;

  ScalarKernel(int lanes) {
    strip = new float[lanes];
    gradient = new float[lanes];
  }

  @Override
  public String name() {
    return "scalar";
  }

  @Override
  public void sum(float[] x, int at, Box box, FloatSums lanes) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      for (int row = 0; row < box.rows(); row++) {
        System.arraycopy(x, from + row * box.stride(), strip, 0, box.lanes());
        add(box.lanes(), strip, lanes.shift, lanes.sum, lanes.squares);
      }
    }
  }

  private static void add(int lanes, float[] x, float[] shift, float[] sum, float[] squares) {
    for (int i = 0; i < lanes; i++) {
      float d = x[i] - shift[i];
      sum[i] += d;
      squares[i] += d * d;
    }
  }

  @Override
  public void sumWithUpstream(float[] x, float[] dy, int at, Box box, FloatSums lanes) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      for (int row = 0; row < box.rows(); row++) {
        System.arraycopy(x, from + row * box.stride(), strip, 0, box.lanes());
        System.arraycopy(dy, from + row * box.stride(), gradient, 0, box.lanes());
        add(box.lanes(), strip, lanes.shift, lanes.sum, lanes.squares);
        addUpstream(
            box.lanes(), strip, gradient, lanes.shift, lanes.upstream, lanes.upstreamDeviation);
      }
    }
  }

  private static void addUpstream(
      int lanes, float[] x, float[] dy, float[] shift, float[] sum, float[] deviation) {
    for (int i = 0; i < lanes; i++) {
      sum[i] += dy[i];
      deviation[i] += dy[i] * (x[i] - shift[i]);
    }
  }

  @Override
  public void normalize(float[] x, float[] output, int at, Box box, FloatLines lines) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      for (int row = 0; row < box.rows(); row++) {
        int start = from + row * box.stride();
        System.arraycopy(x, start, strip, 0, box.lanes());
        normalize(box.lanes(), strip, lines.center, lines.factor, lines.offset);
        System.arraycopy(strip, 0, output, start, box.lanes());
      }
    }
  }

  private static void normalize(
      int lanes, float[] x, float[] center, float[] factor, float[] offset) {
    for (int i = 0; i < lanes; i++) {
      x[i] = factor[i] * (x[i] - center[i]) + offset[i];
    }
  }

  @Override
  public void differentiate(
      float[] x, float[] dy, float[] output, int at, Box box, FloatLines lines) {
    for (int piece = 0; piece < box.pieces(); piece++) {
      int from = at + box.at() + piece * box.pieceStride();
      for (int row = 0; row < box.rows(); row++) {
        int start = from + row * box.stride();
        System.arraycopy(x, start, strip, 0, box.lanes());
        System.arraycopy(dy, start, gradient, 0, box.lanes());
        differentiate(box.lanes(), strip, gradient, lines);
        System.arraycopy(strip, 0, output, start, box.lanes());
      }
    }
  }

  private static void differentiate(int count, float[] x, float[] dy, FloatLines lines) {
    float[] center = lines.center;
    float[] factor = lines.factor;
    float[] slope = lines.slope;
    float[] offset = lines.offset;
    for (int i = 0; i < count; i++) {
      x[i] = factor[i] * dy[i] - (slope[i] * (x[i] - center[i]) + offset[i]);
    }
  }
}
