package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.DType;
import dev.vbn.HostTensor;

/**
 * How far a result may be from the expected one: one table for all providers.
 *
 * <p>The unit is the rounding of the element type, {@code 2^-precision}, times the largest expected
 * magnitude, times {@code 1 + |m|/s}: inputs that are {@code |m|/s} times larger than their
 * deviations have lost that much of the deviations in their own rounding.
 */
final class Tolerance {
  private Tolerance() {}

  /** Units allowed: 16 where arithmetic has the element's width, 2 where it is wider. */
  static double units(DType dtype) {
    return switch (dtype) {
      case FLOAT32, FLOAT64 -> 16;
      case FLOAT16, BFLOAT16 -> 2;
    };
  }

  static double bound(DType dtype, double magnitude, double condition) {
    return units(dtype) * Math.scalb(1.0, -dtype.precision()) * magnitude * (1 + condition);
  }

  static double largest(double[] values) {
    double largest = 0;
    for (double value : values) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  /**
   * Fails unless every element is within {@code bound} of the expected one; NaN never is.
   *
   * @param hint what to look at when it fails
   */
  static void assertClose(
      String what, double[] expected, double[] actual, double bound, String hint) {
    if (expected.length == 0 || expected.length != actual.length) {
      fail(what + " has " + actual.length + " elements; expected " + expected.length);
    }
    int worst = -1;
    double worstError = 0;
    for (int i = 0; i < expected.length; i++) {
      double error = Math.abs(actual[i] - expected[i]);
      if (!(error <= bound) && !(error <= worstError)) {
        worst = i;
        worstError = Double.isNaN(error) ? Double.POSITIVE_INFINITY : error;
      }
    }
    if (worst >= 0) {
      fail(what + "[" + worst + "] is " + actual[worst] + "; expected " + expected[worst]
          + " within " + bound + ". " + hint);
    }
  }

  static void assertClose(
      String what, double[] expected, HostTensor actual, double bound, String hint) {
    assertClose(what, expected, actual.toDoubles(), bound, hint);
  }

  /** Fails unless both hold the same bits. */
  static void assertSameBits(String what, HostTensor expected, HostTensor actual, String hint) {
    if (expected.size() == 0 || expected.size() != actual.size()) {
      fail(what + " has " + actual.size() + " elements; expected " + expected.size());
    }
    for (int i = 0; i < expected.size(); i++) {
      if (Double.doubleToLongBits(expected.get(i)) != Double.doubleToLongBits(actual.get(i))) {
        fail(what + "[" + i + "] is " + actual.get(i) + "; expected the same bits as "
            + expected.get(i) + ". " + hint);
      }
    }
  }
}
