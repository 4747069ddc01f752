package dev.vbn.reference;

import java.util.Arrays;

/**
 * Compares a kernel with the scalar one, so that an incubator that has changed costs speed and not
 * a result.
 */
final class KernelCheck {
  /** Not a multiple of a vector's length, so that what is left is checked as well. */
  private static final int LANES = 19;

  private static final Box BOX = new Box(3, 2, 7 * 23, 7, 23, LANES);
  private static final int SIZE = 1 + 3 + 2 * 7 * 23;

  /** Sums in another order differ by their rounding. */
  private static final float TOLERANCE = 1e-5f;

  private KernelCheck() {}

  /** Fails if {@code kernel} computes something else than the scalar one. */
  static void check(Kernel kernel) {
    Kernel scalar = new ScalarKernel(LANES);
    float[] x = new float[SIZE];
    float[] dy = new float[SIZE];
    for (int i = 0; i < SIZE; i++) {
      x[i] = i * 37 % 101 / 16f;
      dy[i] = i * 53 % 89 / 8f;
    }
    FloatSums expected = sums();
    FloatSums actual = sums();
    scalar.sum(x, 1, BOX, expected);
    kernel.sum(x, 1, BOX, actual);
    scalar.sumWithUpstream(x, dy, 1, BOX, expected);
    kernel.sumWithUpstream(x, dy, 1, BOX, actual);
    compare(expected.sum, actual.sum);
    compare(expected.squares, actual.squares);
    compare(expected.upstream, actual.upstream);
    compare(expected.upstreamDeviation, actual.upstreamDeviation);

    FloatLines lines = new FloatLines(LANES);
    for (int i = 0; i < LANES; i++) {
      lines.center[i] = i / 3f;
      lines.factor[i] = 1 + i / 7f;
      lines.slope[i] = 2 - i / 11f;
      lines.offset[i] = i / 13f;
    }
    float[] expectedOutput = new float[SIZE];
    float[] actualOutput = new float[SIZE];
    scalar.normalize(x, expectedOutput, 1, BOX, lines);
    kernel.normalize(x, actualOutput, 1, BOX, lines);
    compareBits(expectedOutput, actualOutput);
    scalar.differentiate(x, dy, expectedOutput, 1, BOX, lines);
    kernel.differentiate(x, dy, actualOutput, 1, BOX, lines);
    compareBits(expectedOutput, actualOutput);
  }

  private static FloatSums sums() {
    FloatSums sums = new FloatSums(LANES);
    for (int i = 0; i < LANES; i++) {
      sums.shift[i] = 3 + i / 5f;
    }
    return sums;
  }

  private static void compare(float[] expected, float[] actual) {
    for (int i = 0; i < expected.length; i++) {
      if (!(Math.abs(expected[i] - actual[i]) <= TOLERANCE * (1 + Math.abs(expected[i])))) {
        throw new IllegalStateException("a sum is " + actual[i] + "; expected " + expected[i]);
      }
    }
  }

  private static void compareBits(float[] expected, float[] actual) {
    int i = Arrays.mismatch(expected, actual);
    if (i >= 0) {
      throw new IllegalStateException("an element is " + actual[i] + "; expected " + expected[i]);
    }
  }
}
