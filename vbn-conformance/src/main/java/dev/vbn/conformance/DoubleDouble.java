package dev.vbn.conformance;

/**
 * A number of about 106 bits as the unevaluated sum of two doubles (Dekker 1971; Knuth, TAOCP 2,
 * 4.2.2): the arithmetic of the oracle, exact enough that its own error never shows.
 *
 * <p>An operation allocates one object, its result. With one for each step, the JIT compiler was
 * busy with the oracle's loops for half of a run of the kit.
 */
record DoubleDouble(double high, double low) {
  static final DoubleDouble ZERO = new DoubleDouble(0, 0);
  static final DoubleDouble ONE = new DoubleDouble(1, 0);

  static DoubleDouble of(double value) {
    return new DoubleDouble(value, 0);
  }

  private static DoubleDouble sum(double a, double b) {
    double sum = a + b;
    return new DoubleDouble(sum, error(a, b, sum));
  }

  /** What rounding took from a sum. */
  private static double error(double a, double b, double sum) {
    double other = sum - a;
    return (a - (sum - other)) + (b - other);
  }

  DoubleDouble plus(DoubleDouble other) {
    return plus(other.high, other.low);
  }

  DoubleDouble minus(DoubleDouble other) {
    return plus(-other.high, -other.low);
  }

  private DoubleDouble plus(double otherHigh, double otherLow) {
    double highs = high + otherHigh;
    double lows = low + otherLow;
    double rest = error(high, otherHigh, highs) + lows;
    double result = highs + rest;
    return sum(result, error(highs, rest, result) + error(low, otherLow, lows));
  }

  DoubleDouble negated() {
    return new DoubleDouble(-high, -low);
  }

  DoubleDouble times(DoubleDouble other) {
    return times(other.high, other.low);
  }

  DoubleDouble times(double factor) {
    return times(factor, 0);
  }

  private DoubleDouble times(double otherHigh, double otherLow) {
    double product = high * otherHigh;
    double error = Math.fma(high, otherHigh, -product);
    return sum(product, error + (high * otherLow + low * otherHigh));
  }

  DoubleDouble dividedBy(DoubleDouble divisor) {
    double first = high / divisor.high;
    DoubleDouble rest = minus(divisor.times(first));
    double second = rest.high / divisor.high;
    rest = rest.minus(divisor.times(second));
    return sum(first, second).plus(rest.high / divisor.high, 0);
  }

  DoubleDouble dividedBy(double divisor) {
    return dividedBy(of(divisor));
  }

  DoubleDouble squareRoot() {
    if (high == 0) {
      return ZERO;
    }
    double root = Math.sqrt(high);
    DoubleDouble rest = minus(of(root).times(root));
    return sum(root, rest.high / (2 * root));
  }

  double value() {
    return high + low;
  }
}
