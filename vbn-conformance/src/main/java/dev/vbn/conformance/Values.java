package dev.vbn.conformance;

import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/**
 * Expected elements, and the magnitude by which the error of each is measured: that of the terms it
 * is made of, and where a mean is subtracted what its rounding costs: {@code |m|/s} roundings of the
 * statistics.
 */
record Values(double[] expected, double[] scale) {
  /** The magnitude where NaN is expected: of the statistics of nothing. */
  static final double NOTHING = Double.NaN;

  Values(int size) {
    this(new double[size], new double[size]);
  }

  /** What a backend computed before, with the same magnitudes. */
  Values of(HostTensor computed) {
    return new Values(computed.toDoubles(), scale);
  }

  /** With every magnitude multiplied. */
  Values scaled(double factor) {
    return new Values(expected, Arrays.stream(scale).map(each -> each * factor).toArray());
  }

  void set(int index, double value, double magnitude) {
    expected[index] = value;
    scale[index] = magnitude;
  }
}
