package dev.vbn.conformance;

/**
 * A number of about 106 bits as the unevaluated sum of two doubles (Dekker 1971; Knuth, TAOCP 2,
 * 4.2.2): the arithmetic of the oracle, exact enough that its own error never shows.
 */
record DoubleDouble(double high, double low) {
  static final DoubleDouble ZERO = new DoubleDouble(0, 0);
  static final DoubleDouble ONE = new DoubleDouble(1, 0);

  static DoubleDouble of(double value) {
    return new DoubleDouble(value, 0);
  }

  private static DoubleDouble sum(double a, double b) {
    double sum = a + b;
    double other = sum - a;
    return new DoubleDouble(sum, (a - (sum - other)) + (b - other));
  }

  DoubleDouble plus(DoubleDouble other) {
    DoubleDouble highs = sum(high, other.high);
    DoubleDouble lows = sum(low, other.low);
    DoubleDouble result = sum(highs.high, highs.low + lows.high);
    return sum(result.high, result.low + lows.low);
  }

  DoubleDouble minus(DoubleDouble other) {
    return plus(other.negated());
  }

  DoubleDouble negated() {
    return new DoubleDouble(-high, -low);
  }

  DoubleDouble times(DoubleDouble other) {
    double product = high * other.high;
    double error = Math.fma(high, other.high, -product);
    return sum(product, error + (high * other.low + low * other.high));
  }

  DoubleDouble times(double factor) {
    return times(of(factor));
  }

  DoubleDouble dividedBy(DoubleDouble divisor) {
    double first = high / divisor.high;
    DoubleDouble rest = minus(divisor.times(first));
    double second = rest.high / divisor.high;
    rest = rest.minus(divisor.times(second));
    return sum(first, second).plus(of(rest.high / divisor.high));
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
