package dev.vbn.tensor;

/**
 * Element type of a tensor.
 *
 * <p>{@link HostTensor} holds {@link #FLOAT32} and {@link #FLOAT64}. The 16-bit types exist only in
 * backends whose own tensors have them; on the host their values are exchanged as {@code FLOAT32},
 * rounded to nearest even by {@link #round} on the way in.
 */
public enum DType {
  /** IEEE 754 binary32. */
  FLOAT32(24, -126, 127),
  /** IEEE 754 binary64. */
  FLOAT64(53, -1022, 1023),
  /** IEEE 754 binary16. */
  FLOAT16(11, -14, 15),
  /** bfloat16: the upper half of a binary32. */
  BFLOAT16(8, -126, 127);

  private final int precision;
  private final int minExponent;
  private final int maxExponent;

  DType(int precision, int minExponent, int maxExponent) {
    this.precision = precision;
    this.minExponent = minExponent;
    this.maxExponent = maxExponent;
  }

  /** Bits of the significand, the implicit one included: a relative rounding is {@code 2^-precision}. */
  public int precision() {
    return precision;
  }

  /** Type of gamma, beta and their gradients for batches of this type: never below 32 bits. */
  public DType parameterType() {
    return this == FLOAT64 ? FLOAT64 : FLOAT32;
  }

  /** Type in which {@link HostTensor} exchanges values of this type. */
  public DType hostType() {
    return parameterType();
  }

  /** The value of this type nearest to {@code value}; ties go to even, overflow to infinity. */
  public double round(double value) {
    if (this == FLOAT32) {
      return (float) value; // the same, and much faster
    }
    if (this == FLOAT64 || value == 0 || !Double.isFinite(value)) {
      return value;
    }
    int exponent = Math.max(Math.getExponent(value), minExponent);
    // Scaling by a power of two is exact, so rint is the only rounding.
    int shift = exponent - precision + 1;
    double rounded = Math.scalb(Math.rint(Math.scalb(value, -shift)), shift);
    return Math.getExponent(rounded) > maxExponent
        ? Math.copySign(Double.POSITIVE_INFINITY, value)
        : rounded;
  }
}
