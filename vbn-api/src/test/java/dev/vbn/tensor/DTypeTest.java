package dev.vbn.tensor;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.function.IntToDoubleFunction;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Types that go together, and rounding to nearest even. */
final class DTypeTest {
  private static final int BINARY16_INFINITY = 0x7c00;
  private static final int BFLOAT16_INFINITY = 0x7f80;

  @ParameterizedTest
  @CsvSource({
    "FLOAT32, 24, FLOAT32",
    "FLOAT64, 53, FLOAT64",
    "FLOAT16, 11, FLOAT32",
    "BFLOAT16, 8, FLOAT32"
  })
  void precisionAndCompanionTypes(DType dtype, int precision, DType companion) {
    assertEquals(precision, dtype.precision());
    assertEquals(companion, dtype.parameterType());
    assertEquals(companion, dtype.hostType());
  }

  @ParameterizedTest
  @CsvSource({
    // ties between neighbours of 1, 2^-11 apart from both: to the even one
    "0x1.002p0, 0x1.0p0",
    "0x1.006p0, 0x1.008p0",
    "0x1.0020000000001p0, 0x1.004p0",
    "0x1.001ffffffffffp0, 0x1.0p0",
    "0.1, 0.0999755859375",
    "3.141592653589793, 3.140625",
    // the largest, 65504, and the half way to the next, which would be 65536
    "65504, 65504",
    "65519.99999999999, 65504",
    "65520, Infinity",
    "1e300, Infinity",
    // subnormals: multiples of 2^-24
    "0x1.0p-24, 0x1.0p-24",
    "0x1.0p-25, 0",
    "0x1.0000000000001p-25, 0x1.0p-24",
    "0x1.8p-24, 0x1.0p-23",
    "0x1.ffcp-15, 0x1.0p-14",
    "0x1.ff4p-15, 0x1.ff0p-15",
    "4.9e-324, 0"
  })
  void binary16(double value, double expected) {
    assertRounds(DType.FLOAT16, value, expected);
  }

  @ParameterizedTest
  @CsvSource({
    "0x1.01p0, 0x1.0p0",
    "0x1.03p0, 0x1.04p0",
    "0x1.0100000000001p0, 0x1.02p0",
    "0.1, 0.10009765625",
    "3.141592653589793, 3.140625",
    "65520, 65536",
    // the largest, and the half way to the next, which would be 2^128
    "0x1.fep127, 0x1.fep127",
    "0x1.feffffffffffep127, 0x1.fep127",
    "0x1.ffp127, Infinity",
    "1e300, Infinity",
    // subnormals: multiples of 2^-133
    "0x1.0p-133, 0x1.0p-133",
    "0x1.0p-134, 0",
    "0x1.0000000000001p-134, 0x1.0p-133",
    "0x1.8p-133, 0x1.0p-132",
    "4.9e-324, 0"
  })
  void bfloat16(double value, double expected) {
    assertRounds(DType.BFLOAT16, value, expected);
  }

  @ParameterizedTest
  @CsvSource({
    "0.1, 0.10000000149011612",
    "16777217, 16777216",
    "16777219, 16777220",
    "0x1.fffffep127, 0x1.fffffep127",
    "0x1.fffffefffffffp127, 0x1.fffffep127",
    "0x1.ffffffp127, Infinity",
    "0x1.0p-149, 0x1.0p-149",
    "0x1.0p-150, 0",
    "0x1.8p-149, 0x1.0p-148",
    "4.9e-324, 0"
  })
  void binary32(double value, double expected) {
    assertRounds(DType.FLOAT32, value, expected);
  }

  @ParameterizedTest
  @EnumSource(DType.class)
  void zerosInfinitiesAndNanStay(DType dtype) {
    assertEquals(0.0, dtype.round(0.0));
    assertEquals(-0.0, dtype.round(-0.0));
    assertEquals(Double.POSITIVE_INFINITY, dtype.round(Double.POSITIVE_INFINITY));
    assertEquals(Double.NEGATIVE_INFINITY, dtype.round(Double.NEGATIVE_INFINITY));
    assertTrue(Double.isNaN(dtype.round(Double.NaN)));
  }

  @Test
  void binary64RoundsNothing() {
    assertEquals(0.1, DType.FLOAT64.round(0.1));
    assertEquals(Double.MIN_VALUE, DType.FLOAT64.round(Double.MIN_VALUE));
    assertEquals(Double.MAX_VALUE, DType.FLOAT64.round(Double.MAX_VALUE));
  }

  @Test
  void everyBinary16AndTheMiddleOfEveryTwoRoundsToNearestEven() {
    assertNearestEven(DType.FLOAT16, BINARY16_INFINITY, bits -> {
      int exponent = bits >> 10;
      int fraction = bits & 0x3ff;
      return exponent == 0 ? fraction * 0x1p-24 : (0x400 + fraction) * Math.pow(2, exponent - 25);
    });
  }

  @Test
  void everyBfloat16AndTheMiddleOfEveryTwoRoundsToNearestEven() {
    // One beyond the largest, 2^128, is infinite as a float; as a double it is what decides ties.
    assertNearestEven(
        DType.BFLOAT16,
        BFLOAT16_INFINITY,
        bits -> bits == BFLOAT16_INFINITY ? 0x1p128 : Float.intBitsToFloat(bits << 16));
  }

  @Test
  void binary32RoundsAsTheCastOfTheLanguageDoes() {
    IntStream.range(0, 100_000).forEach(i -> {
      // multiplicative steps through every exponent and many fractions, the same each run
      long bits = i * 0x9e3779b97f4a7c15L;
      double value = Double.longBitsToDouble(bits);
      double nearSingle = ((float) Math.scalb(1 + (bits >>> 12) * 0x1p-52, i % 300 - 160))
          * (1 + (i % 5 - 2) * 0x1p-25);
      assertEquals((double) (float) value, DType.FLOAT32.round(value));
      assertEquals((double) (float) nearSingle, DType.FLOAT32.round(nearSingle));
    });
  }

  /** The bit patterns below infinity are in the order of their values; the even ones are even. */
  private static void assertNearestEven(DType dtype, int infinity, IntToDoubleFunction decode) {
    for (int bits = 0; bits < infinity; bits++) {
      double value = decode.applyAsDouble(bits);
      double next = decode.applyAsDouble(bits + 1);
      double roundedUp = bits + 1 == infinity ? Double.POSITIVE_INFINITY : next;
      double middle = (value + next) / 2;
      assertRounds(dtype, value, value);
      assertRounds(dtype, Math.nextDown(middle), value);
      assertRounds(dtype, middle, bits % 2 == 0 ? value : roundedUp);
      assertRounds(dtype, Math.nextUp(middle), roundedUp);
    }
  }

  /** In both signs, zeros included. */
  private static void assertRounds(DType dtype, double value, double expected) {
    assertEquals(expected, dtype.round(value), () -> dtype + " of " + value);
    assertEquals(-expected, dtype.round(-value), () -> dtype + " of " + -value);
  }
}
