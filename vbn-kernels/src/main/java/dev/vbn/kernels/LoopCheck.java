package dev.vbn.kernels;

import dev.vbn.kernels.Layout.Part;
import java.util.Arrays;

/**
 * Compares loops with the scalar ones, so that a change in the incubator costs speed, not
 * correctness.
 */
final class LoopCheck {
  /** Rounding in 32 bits, of values up to a few dozen. */
  private static final double TOLERANCE = 1e-5;

  /** Long and short runs, neither of them a multiple of a vector's length; rows joined or not. */
  private static final int[][] SHAPES = {
    {9, 2, 173}, {2, 2, 4777}, {131, 19, 3}, {70, 370, 3}, {9, 67, 1}, {300, 67, 1}
  };

  private LoopCheck() {}

  /** Fails if loops compute anything other than the scalar ones do. */
  static void check(FloatLoops loops) {
    checkSelection(loops);
    for (int[] shape : SHAPES) {
      float[] x = new float[shape[0] * shape[1] * shape[2]];
      float[] dy = new float[x.length];
      for (int i = 0; i < x.length; i++) {
        x[i] = i * 37 % 101 / 16f;
        dy[i] = i * 53 % 89 / 8f;
      }
      for (float[] upstream : new float[][] {null, dy}) {
        float[] expected = new float[x.length];
        float[] actual = new float[x.length];
        double[] sums = sumAndWrite(new FloatLoops(), shape, x, upstream, expected);
        compare(sums, sumAndWrite(loops, shape, x, upstream, actual));
        compare(expected, actual);
      }
    }
  }

  private static void checkSelection(FloatLoops loops) {
    for (int run : new int[] {3, 8, 20, 64}) {
      int count = 2 * run + 1;
      boolean[] counting = new boolean[run + loops.behind()];
      float[] batch = new float[count];
      float[] otherwise = new float[count];
      float[] lanes = new float[count];
      float[] row = new float[run];
      for (int i = 0; i < counting.length; i++) {
        counting[i] = i % run % 3 == 1;
      }
      for (int i = 0; i < count; i++) {
        batch[i] = i;
        otherwise[i] = -i;
      }
      loops.select(batch, 0, count, run, counting, 0, otherwise, lanes, 0);
      loops.select(batch, 0, run, counting, 0, 0.5, row, 0);
      for (int i = 0; i < count; i++) {
        compare(counting[i % run] ? i : -i, lanes[i]);
      }
      for (int i = 0; i < run; i++) {
        compare(counting[i] ? i : 0.5, row[i]);
      }
    }
  }

  private static double[] sumAndWrite(
      FloatLoops loops, int[] shape, float[] x, float[] upstream, float[] output) {
    Layout layout = new Layout(shape[0], shape[1], shape[2], loops.order(shape[2]));
    Elements<float[]> batch = Elements.of(x);
    Elements<float[]> dy = upstream == null ? null : Elements.of(upstream);
    Summing<float[]> summing = new Summing<>(loops, batch, dy);
    Writing<float[]> writing = new Writing<>(loops, batch, dy, Elements.of(output));
    Scratch<float[]> scratch = new Scratch<>(loops);
    double[] results = {};
    for (int tile = 0; tile < layout.tiles(); tile++) {
      int features = layout.features(tile);
      Sums sums = new Sums();
      sums.clear(features, (double) layout.rows() * layout.run(), summing.sumsFew(layout));
      Lines lines = new Lines();
      lines.clear(features);
      for (int i = 0; i < features; i++) {
        long feature = layout.firstFeature(tile) + i;
        sums.center[i] = feature / 4.0 - 1;
        lines.center[i] = feature / 3.0;
        lines.factor[i] = 1 + feature / 7.0;
        lines.slope[i] = 2 - feature / 11.0;
        lines.offset[i] = feature / 13.0;
      }
      summing.estimate(layout, tile, 0, sums, scratch);
      writing.prepare(lines, features);
      for (int i = 0; i < layout.parts(tile); i++) {
        Part part = layout.part(tile, i);
        summing.sum(layout, part, 0, scratch, sums);
        writing.write(layout, part, 0, lines, true, scratch);
      }
      sums.finish(features);
      int from = results.length;
      results = Arrays.copyOf(results, from + 4 * features);
      for (int i = 0; i < features; i++) {
        results[from + 4 * i] = sums.mean[i];
        results[from + 4 * i + 1] = sums.variance[i];
        results[from + 4 * i + 2] = sums.upstream[i];
        results[from + 4 * i + 3] = sums.deviation[i];
      }
    }
    return results;
  }

  private static void compare(float[] expected, float[] actual) {
    for (int i = 0; i < expected.length; i++) {
      compare(expected[i], actual[i]);
    }
  }

  private static void compare(double[] expected, double[] actual) {
    for (int i = 0; i < expected.length; i++) {
      compare(expected[i], actual[i]);
    }
  }

  private static void compare(double expected, double actual) {
    if (!(Math.abs(expected - actual) <= TOLERANCE * (1 + Math.abs(expected)))) {
      throw new IllegalStateException("a result is " + actual + "; expected " + expected);
    }
  }
}
