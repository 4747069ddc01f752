package dev.vbn.nd4j;

/** Bits of the 16-bit types and the floats that they stand for; Java has this from release 20 on. */
final class HalfBits {
  private HalfBits() {}

  static float fromHalf(short bits) {
    int sign = (bits & 0x8000) << 16;
    int exponent = bits >> 10 & 0x1f;
    int fraction = bits & 0x3ff;
    if (exponent == 0) {
      float magnitude = fraction * 0x1p-24f;
      return sign == 0 ? magnitude : -magnitude;
    }
    int wide = exponent == 31 ? 0xff : exponent + 112;
    return Float.intBitsToFloat(sign | wide << 23 | fraction << 13);
  }

  /** Rounded to nearest, ties to even. */
  static short toHalf(float value) {
    int bits = Float.floatToRawIntBits(value);
    int sign = bits >>> 16 & 0x8000;
    int magnitude = bits & 0x7fffffff;
    if (magnitude > 0x7f800000) {
      return (short) (sign | 0x7e00);
    }
    if (magnitude < 0x38800000) {
      // Below the least normal number, 2^-14, halves are multiples of 2^-24; the product is exact.
      return (short) (sign | (int) Math.rint(Math.abs(value) * 0x1p24));
    }
    if (magnitude >= 0x47800000) {
      return (short) (sign | 0x7c00);
    }
    // A carry out of the fraction goes into the exponent, and from the largest number to infinity.
    int rounded = magnitude + 0xfff + (magnitude >>> 13 & 1);
    return (short) (sign | (rounded - (112 << 23)) >>> 13);
  }

  static float fromBfloat16(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /** Rounded to nearest, ties to even. */
  static short toBfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) (bits >>> 16 | 0x40);
    }
    return (short) ((bits + 0x7fff + (bits >>> 16 & 1)) >>> 16);
  }
}
