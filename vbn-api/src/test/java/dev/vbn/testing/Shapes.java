package dev.vbn.testing;

import java.util.Arrays;

/** Shapes as the tables of the tests write them. */
public final class Shapes {
  private Shapes() {}

  /** The lengths in, for instance, {@code 2x3x5}; no text is a scalar. */
  public static long[] parse(String shape) {
    return shape.isEmpty()
        ? new long[0]
        : Arrays.stream(shape.split("x", -1)).mapToLong(Long::parseLong).toArray();
  }
}
