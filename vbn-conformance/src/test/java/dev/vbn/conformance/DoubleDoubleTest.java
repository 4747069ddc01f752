package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.math.BigDecimal;
import java.math.MathContext;
import java.util.Random;
import org.junit.jupiter.api.Test;

class DoubleDoubleTest {
  private static final MathContext EXACT = new MathContext(120);

  /** 106 bits, of which the operations may lose a few. */
  private static final BigDecimal ERROR = new BigDecimal(Math.scalb(1.0, -101));

  private final Random random = new Random(1);

  private DoubleDouble draw() {
    double high = random.nextGaussian() * Math.scalb(1.0, random.nextInt(80) - 40);
    double low = high * Math.scalb(random.nextDouble() - 0.5, -53);
    return DoubleDouble.of(high).plus(DoubleDouble.of(low));
  }

  private static BigDecimal exact(DoubleDouble value) {
    return new BigDecimal(value.high()).add(new BigDecimal(value.low()));
  }

  private static void assertClose(BigDecimal expected, DoubleDouble actual, BigDecimal scale) {
    BigDecimal error = exact(actual).subtract(expected).abs();
    assertTrue(
        error.compareTo(scale.abs().multiply(ERROR)) <= 0,
        () -> actual + " is off by " + error.round(new MathContext(5)) + " from " + expected);
  }

  @Test
  void fourOperationsAndTheRootAreGoodTo100Bits() {
    for (int i = 0; i < 20_000; i++) {
      DoubleDouble a = draw();
      DoubleDouble b = draw();
      BigDecimal x = exact(a);
      BigDecimal y = exact(b);
      // A sum may cancel: its error is measured by the terms.
      assertClose(x.add(y), a.plus(b), x.abs().add(y.abs()));
      assertClose(x.subtract(y), a.minus(b), x.abs().add(y.abs()));
      assertClose(x.multiply(y), a.times(b), x.multiply(y));
      assertClose(x.divide(y, EXACT), a.dividedBy(b), x.divide(y, EXACT));
      BigDecimal root = x.abs().sqrt(EXACT);
      assertClose(root, (a.high() < 0 ? a.negated() : a).squareRoot(), root);
    }
  }

  @Test
  void whatADoubleLosesIsKept() {
    DoubleDouble sum = DoubleDouble.of(1e16).plus(DoubleDouble.ONE).minus(DoubleDouble.of(1e16));
    assertEquals(1, sum.value());
    DoubleDouble third = DoubleDouble.ONE.dividedBy(3);
    assertEquals(0, third.times(3).minus(DoubleDouble.ONE).value(), 0x1p-104);
  }

  @Test
  void theRootOfZeroIsZero() {
    assertEquals(0, DoubleDouble.ZERO.squareRoot().value());
  }
}
