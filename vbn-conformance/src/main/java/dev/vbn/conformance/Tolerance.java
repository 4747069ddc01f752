package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * How far a result may be from the expected one: one table for all providers. The unit is the
 * rounding of the element type, {@code 2^-precision}, times the magnitude of {@link Values}.
 */
final class Tolerance {
  /** Smallest subnormals that a result near 0 may be off by. */
  private static final int SUBNORMAL_UNITS = 2;

  private final boolean narrowStatistics;
  private final boolean flushes;

  /**
   * The tolerance for a backend.
   *
   * @param capabilities those that the backend declares: the kit, not they, says what follows
   */
  Tolerance(Set<Capability> capabilities) {
    narrowStatistics = !capabilities.contains(Capability.FLOAT64_STATISTICS);
    flushes = !capabilities.contains(Capability.SUBNORMALS);
  }

  /**
   * Units allowed: 16 where arithmetic has the element's width, 2 where it is wider; and 64 where
   * statistics too have no more than 32 bits, so that they and all sums over a batch round as well.
   */
  private double units(DType dtype) {
    return switch (dtype) {
      case FLOAT32 -> narrowStatistics ? 64 : 16;
      case FLOAT64 -> 16;
      case FLOAT16, BFLOAT16 -> 2;
    };
  }

  /** What is allowed besides: near 0 the rounding is absolute, and may be a flush to 0. */
  private double floor(DType dtype) {
    double smallestNormal = Math.scalb(1.0, minExponent(dtype));
    return flushes ? smallestNormal : SUBNORMAL_UNITS * smallestNormal * rounding(dtype) * 2;
  }

  private static int minExponent(DType dtype) {
    return switch (dtype) {
      case FLOAT32, BFLOAT16 -> Float.MIN_EXPONENT;
      case FLOAT64 -> Double.MIN_EXPONENT;
      case FLOAT16 -> -14;
    };
  }

  private static double rounding(DType dtype) {
    return Math.scalb(1.0, -dtype.precision());
  }

  /** How far each element may be from the expected one. */
  double[] bounds(Values values, DType dtype) {
    double allowed = units(dtype) * rounding(dtype);
    double floor = floor(dtype);
    return Arrays.stream(values.scale()).map(scale -> allowed * scale + floor).toArray();
  }

  /**
   * Compares a result element by element; NaN is close to {@link Values#NOTHING} alone.
   *
   * @param dtype type whose rounding is the unit of the errors
   * @return what is wrong; null if nothing is
   */
  @Nullable
  String disagreement(String what, Values values, HostTensor actual, DType dtype) {
    double[] expected = values.expected();
    if (expected.length == 0 || expected.length != actual.size()) {
      return what + " has " + actual.size() + " elements; expected " + expected.length;
    }
    double unit = rounding(dtype);
    double allowed = units(dtype) * unit;
    double floor = floor(dtype);
    int worst = 0;
    double worstShare = 0;
    double worstUnits = 0;
    for (int i = 0; i < expected.length; i++) {
      if (Double.isNaN(values.scale()[i]) && Double.isNaN(actual.get(i))) {
        continue; // the statistics of nothing
      }
      double error = Math.abs(actual.get(i) - expected[i]);
      double share = error / (allowed * values.scale()[i] + floor);
      if (!(share <= worstShare)) {
        worst = i;
        worstShare = Double.isNaN(share) ? Double.POSITIVE_INFINITY : share;
      }
      if (error > floor) {
        worstUnits = Math.max(worstUnits, error / (2 * unit * values.scale()[i]));
      }
    }
    Check.current().compared(worstUnits, worstShare);
    return worstShare <= 1
        ? null
        : what + "[" + worst + "] is " + actual.get(worst) + "; expected " + expected[worst]
            + " within " + (allowed * values.scale()[worst] + floor);
  }

  /**
   * Fails unless every element is close.
   *
   * @param hint what to look at when it fails
   */
  void assertClose(String what, Values expected, HostTensor actual, DType dtype, String hint) {
    String wrong = disagreement(what, expected, actual, dtype);
    if (wrong != null) {
      fail(wrong + ". " + hint);
    }
  }

  /** Fails unless both hold the same bits. */
  static void assertSameBits(String what, HostTensor expected, HostTensor actual, String hint) {
    if (expected.size() == 0 || expected.size() != actual.size()) {
      fail(what + " has " + actual.size() + " elements; expected " + expected.size());
    }
    Check.current().compared();
    for (int i = 0; i < expected.size(); i++) {
      if (Double.doubleToLongBits(expected.get(i)) != Double.doubleToLongBits(actual.get(i))) {
        fail(what + "[" + i + "] is " + actual.get(i) + "; expected the same bits as "
            + expected.get(i) + ". " + hint);
      }
    }
  }
}
