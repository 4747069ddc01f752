package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;

import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.EnumSet;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** What is close, at the edges. */
class ToleranceTest {
  private static final Tolerance TOLERANCE = new Tolerance(EnumSet.allOf(Capability.class));

  private static String wrong(double expected, double scale, double actual) {
    return TOLERANCE.disagreement(
        "it",
        new Values(new double[] {1, expected}, new double[] {1, scale}),
        HostTensor.of(new double[] {1, actual}, 2),
        DType.FLOAT32);
  }

  /** 16 units of 2^-24, and no more. */
  @Test
  void whatIsCloseHasABound() {
    assertNull(wrong(1, 1, 1 + 16 * 0x1p-24));
    assertEquals(
        "it[1] is 1.0000011324882507; expected 1.0 within " + (16 * 0x1p-24 + 0x1p-148),
        wrong(1, 1, 1 + 19 * 0x1p-24));
  }

  @ParameterizedTest
  @CsvSource({
    "1, 1, NaN",
    "NaN, 1, NaN", // a backend's own result, with which another is compared
    "NaN, 1, 1",
    "NaN, NaN, 1", // the statistics of nothing
    "Infinity, 1, 1",
    "1, 1, Infinity",
  })
  void whatIsNotANumberIsNotClose(double expected, double scale, double actual) {
    assertNotNull(wrong(expected, scale, actual));
  }

  @Test
  void theStatisticsOfNothingAreNotANumber() {
    assertNull(wrong(Double.NaN, Values.NOTHING, Double.NaN));
  }

  /** An oracle that fails to compute would take the same of a backend. */
  @Test
  void theOracleExpectsNumbersButForTheStatisticsOfNothing() {
    for (DType dtype : new DType[] {DType.FLOAT32, DType.FLOAT64}) {
      Conditions.all().forEach(row -> assertNumbers(row, dtype, false));
      Conditions.masked().forEach(row -> assertNumbers(row, dtype, true));
    }
  }

  private static void assertNumbers(Conditions row, DType dtype, boolean masked) {
    Expected expected = Oracle.expect(row.of(dtype), dtype, true);
    for (Quantity quantity : Quantity.values()) {
      if (!expected.has(quantity)) {
        continue;
      }
      boolean live = quantity == Quantity.LIVE_MEAN || quantity == Quantity.LIVE_VARIANCE;
      Values values = expected.of(quantity);
      for (int i = 0; i < values.expected().length; i++) {
        boolean number =
            Double.isFinite(values.expected()[i]) && Double.isFinite(values.scale()[i]);
        boolean nothing = masked && live && Double.isNaN(values.scale()[i]);
        assertEquals(true, number || nothing, quantity + " of " + row.describe(dtype));
      }
    }
  }
}
