package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/**
 * How far a result may be from the expected one: one table for all providers.
 *
 * <p>The unit is the rounding of the element type, {@code 2^-precision}, times the largest expected
 * magnitude, times {@code 1 + |m|/s}: inputs that are {@code |m|/s} times larger than their
 * deviations have lost that much of the deviations in their own rounding.
 *
 * @param bound largest error allowed
 * @param ulp distance of neighbouring numbers of the element type at the largest magnitude, times
 *     {@code 1 + |m|/s} for the same reason; 0 where errors are not measured by it
 */
record Tolerance(double bound, double ulp) {
  /** Nothing but the exact value. */
  static final Tolerance EXACT = new Tolerance(0, 0);

  private static final ThreadLocal<Measured> MEASURED = ThreadLocal.withInitial(Measured::new);

  /** The largest errors met; NaN before the first comparison. */
  private static final class Measured {
    private double ulps = Double.NaN;
    private double shareOfBound = Double.NaN;
  }

  /**
   * Units allowed: 16 where arithmetic has the element's width, 2 where it is wider; and 64 where
   * statistics too have no more than 32 bits, so that they and the sums over a batch round as well.
   */
  private static double units(DType dtype, DType statistics) {
    return switch (dtype) {
      case FLOAT32 -> statistics == DType.FLOAT32 ? 64 : 16;
      case FLOAT64 -> 16;
      case FLOAT16, BFLOAT16 -> 2;
    };
  }

  /**
   * The tolerance of a result.
   *
   * @param dtype of the result
   * @param statistics type of the backend's statistics
   */
  static Tolerance of(DType dtype, DType statistics, double magnitude, double condition) {
    return new Tolerance(
        units(dtype, statistics)
            * Math.scalb(1.0, -dtype.precision())
            * magnitude
            * (1 + condition),
        Math.scalb(1.0, Math.getExponent(magnitude) + 1 - dtype.precision()) * (1 + condition));
  }

  static Tolerance absolute(double bound) {
    return new Tolerance(bound, 0);
  }

  static double largest(double[] values) {
    double largest = 0;
    for (double value : values) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }

  /** Forgets the errors measured on this thread. */
  static void startMeasuring() {
    MEASURED.remove();
  }

  /**
   * Largest error that a comparison on this thread has met, in units in the last place; NaN where
   * none measured by them.
   */
  static double worstUlps() {
    return MEASURED.get().ulps;
  }

  /** Largest error on this thread as a share of the one allowed; NaN where none was allowed. */
  static double worstShareOfBound() {
    return MEASURED.get().shareOfBound;
  }

  private static double larger(double known, double next) {
    return known >= next ? known : next; // NaN is smaller than any
  }

  /**
   * Fails unless every element is within the bound; NaN never is.
   *
   * @param hint what to look at when it fails
   */
  void assertClose(String what, double[] expected, double[] actual, String hint) {
    if (expected.length == 0 || expected.length != actual.length) {
      fail(what + " has " + actual.length + " elements; expected " + expected.length);
    }
    int worst = 0;
    double worstError = 0;
    for (int i = 0; i < expected.length; i++) {
      double error = Math.abs(actual[i] - expected[i]);
      if (!(error <= worstError)) {
        worst = i;
        worstError = Double.isNaN(error) ? Double.POSITIVE_INFINITY : error;
      }
    }
    Measured measured = MEASURED.get();
    if (ulp > 0) {
      measured.ulps = larger(measured.ulps, worstError / ulp);
    }
    if (bound > 0) {
      measured.shareOfBound = larger(measured.shareOfBound, worstError / bound);
    }
    if (!(worstError <= bound)) {
      fail(what + "[" + worst + "] is " + actual[worst] + "; expected " + expected[worst]
          + " within " + bound + ". " + hint);
    }
  }

  void assertClose(String what, double[] expected, HostTensor actual, String hint) {
    assertClose(what, expected, actual.toDoubles(), hint);
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
