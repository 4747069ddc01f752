package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** The oracle against values worked by hand, and against decimal arithmetic of 80 digits. */
class OracleTest {
  private static final MathContext DIGITS = new MathContext(80);

  /** Reference [1, 3], so mean 2 and variance 1: the arithmetic fits on a napkin. */
  @ParameterizedTest
  @CsvSource({
    "PER_EXAMPLE, 1.224744871391589, 1.224744871391589",
    "BATCH, 1.224744871391589, 1.5666989036012806",
    "POOLED, 1.224744871391589, 1.3416407864998738",
    "LIVE_BATCH, 0.9045340337332909, 1.5666989036012806",
    "REFERENCE_ONLY, 3, 3"
  })
  void workedValues(Variant variant, double ofFive, double ofPair) {
    VbnConfig config = VbnConfig.of(1).withVariant(variant).withEpsilon(1e-300);
    HostTensor reference = HostTensor.of(new double[] {1, 3}, 2, 1);
    HostTensor five = HostTensor.of(new double[] {5}, 1, 1);
    HostTensor pair = HostTensor.of(new double[] {5, -1}, 2, 1);
    assertEquals(
        ofFive, output(new Case(config, five, reference, null, null, five, reference))[0], 1e-15);
    double[] output = output(new Case(config, pair, reference, null, null, pair, reference));
    assertEquals(ofPair, output[0], 1e-15);
    assertEquals(-ofPair, output[1], 1e-15);
  }

  private static double[] output(Case c) {
    return Oracle.expect(c, DType.FLOAT64, true).of(Quantity.OUTPUT).expected();
  }

  /** One feature, x = [0, 2], dy = [1, 0], reference mean 1 and variance 1: d = 0, s = 1. */
  @Test
  void workedGradients() {
    VbnConfig config = VbnConfig.of(1)
        .withVariant(Variant.BATCH)
        .withEpsilon(1e-300)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    HostTensor x = HostTensor.of(new double[] {0, 2}, 2, 1);
    HostTensor dy = HostTensor.of(new double[] {1, 0}, 2, 1);
    // w = 1/3, xh = [-1, 1], A = 1, B = -1: dx = dy - (1 - xh)/6.
    Expected expected =
        Oracle.expect(new Case(config, x, x, null, null, dy, x), DType.FLOAT64, true);
    assertEquals(1 - 2 / 6.0, expected.of(Quantity.DX).expected()[0], 1e-15);
    assertEquals(0, expected.of(Quantity.DX).expected()[1], 1e-15);
    assertEquals(-1, expected.of(Quantity.DGAMMA).expected()[0]);
    assertEquals(1, expected.of(Quantity.DBETA).expected()[0]);
    // dm = -1, dv = 1/2: dmr = -2/3, dvr = 1/3, so dr = (-2/3 + 2*(r - 1)/3)/2.
    assertEquals(-2 / 3.0, expected.of(Quantity.DREFERENCE).expected()[0], 1e-15);
    assertEquals(0, expected.of(Quantity.DREFERENCE).expected()[1], 1e-15);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void agreesWithDecimalArithmetic(Variant variant) {
    VbnConfig config =
        VbnConfig.of(2).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    for (double offset : new double[] {0, 1e6}) {
      Case drawn = new Samples(91).of(config, new long[] {3, 2, 2}, new long[] {4, 2, 3});
      Case c = drawn
          .withLive(moved(drawn.x(), offset), drawn.upstream())
          .withReference(moved(drawn.reference(), offset), drawn.referenceUpstream());
      Expected expected = Oracle.expect(c, DType.FLOAT64, true);
      for (int feature = 0; feature < 2; feature++) {
        check(c, feature, expected);
      }
    }
  }

  private static HostTensor moved(HostTensor tensor, double offset) {
    double[] values = Arrays.stream(tensor.toDoubles()).map(x -> x + offset).toArray();
    return HostTensor.of(values, tensor.shape());
  }

  /** The formulas a third time, channels-first. */
  private static void check(Case c, int feature, Expected expected) {
    BigDecimal[] r = values(c.reference(), feature, 0, 4);
    BigDecimal mr = mean(r);
    BigDecimal vr = variance(r);
    BigDecimal w = BigDecimal.valueOf(0);
    Variant variant = c.config().variant();
    switch (variant) {
      case LIVE_BATCH -> w = weight(1, 4);
      case BATCH, PER_EXAMPLE -> w = weight(1, 5);
      case POOLED -> w = weight(6, 18);
      case REFERENCE_ONLY -> {}
    }
    // The layer hands the weight over as a double.
    w = new BigDecimal(w.doubleValue());
    BigDecimal rest = BigDecimal.ONE.subtract(w);
    BigDecimal gamma = new BigDecimal(c.gamma().get(feature));
    BigDecimal beta = new BigDecimal(c.beta().get(feature));
    BigDecimal epsilon = new BigDecimal(c.config().epsilon());
    int groups = variant == Variant.PER_EXAMPLE ? 3 : 1;
    int examples = 3 / groups;
    BigDecimal dgamma = BigDecimal.ZERO;
    BigDecimal dbeta = BigDecimal.ZERO;
    BigDecimal dmr = BigDecimal.ZERO;
    BigDecimal dvr = BigDecimal.ZERO;
    for (int group = 0; group < groups; group++) {
      BigDecimal[] x = values(c.x(), feature, group * examples, examples);
      BigDecimal[] dy = values(c.upstream(), feature, group * examples, examples);
      BigDecimal d = mean(x).subtract(mr);
      BigDecimal m = mr.add(w.multiply(d));
      BigDecimal v = rest.multiply(vr)
          .add(w.multiply(variance(x)))
          .add(w.multiply(rest).multiply(d).multiply(d));
      BigDecimal s = v.add(epsilon).sqrt(DIGITS);
      assertRounded(m, expected.of(Quantity.LIVE_MEAN).expected()[group * 2 + feature]);
      assertRounded(v, expected.of(Quantity.LIVE_VARIANCE).expected()[group * 2 + feature]);
      BigDecimal a = BigDecimal.ZERO;
      BigDecimal b = BigDecimal.ZERO;
      for (int i = 0; i < x.length; i++) {
        BigDecimal xh = x[i].subtract(m).divide(s, DIGITS);
        assertRounded(
            gamma.multiply(xh).add(beta),
            expected.of(Quantity.OUTPUT).expected()[at(feature, group, i, groups)]);
        a = a.add(dy[i]);
        b = b.add(dy[i].multiply(xh));
      }
      BigDecimal n = BigDecimal.valueOf(x.length);
      for (int i = 0; i < x.length; i++) {
        BigDecimal xh = x[i].subtract(m).divide(s, DIGITS);
        BigDecimal through = w.divide(n, DIGITS).multiply(a.add(xh.multiply(b)));
        assertRounded(
            gamma.divide(s, DIGITS).multiply(dy[i].subtract(through)),
            expected.of(Quantity.DX).expected()[at(feature, group, i, groups)]);
      }
      BigDecimal dm = gamma.divide(s, DIGITS).multiply(a).negate();
      BigDecimal dv = gamma
          .divide(s.multiply(s).multiply(BigDecimal.valueOf(2)), DIGITS)
          .multiply(b)
          .negate();
      dgamma = dgamma.add(b);
      dbeta = dbeta.add(a);
      BigDecimal slant =
          BigDecimal.valueOf(2).multiply(w).multiply(rest).multiply(d).multiply(dv);
      dmr = dmr.add(rest.multiply(dm)).subtract(slant);
      dvr = dvr.add(rest.multiply(dv));
    }
    assertRounded(dgamma, expected.of(Quantity.DGAMMA).expected()[feature]);
    assertRounded(dbeta, expected.of(Quantity.DBETA).expected()[feature]);
    BigDecimal elements = BigDecimal.valueOf(12);
    for (int i = 0; i < r.length; i++) {
      BigDecimal dr = dmr.add(BigDecimal.valueOf(2).multiply(r[i].subtract(mr)).multiply(dvr))
          .divide(elements, DIGITS);
      assertRounded(
          dr, expected.of(Quantity.DREFERENCE).expected()[(i / 3 * 2 + feature) * 3 + i % 3]);
    }
  }

  private static int at(int feature, int group, int i, int groups) {
    int example = groups == 1 ? i / 2 : group;
    return (example * 2 + feature) * 2 + i % 2;
  }

  private static BigDecimal weight(int part, int whole) {
    return new BigDecimal(part).divide(new BigDecimal(whole), DIGITS);
  }

  private static BigDecimal[] values(HostTensor tensor, int feature, int first, int examples) {
    int positions = (int) tensor.shape()[2];
    List<BigDecimal> values = new ArrayList<>();
    for (int n = first; n < first + examples; n++) {
      for (int p = 0; p < positions; p++) {
        values.add(new BigDecimal(tensor.get((n * 2 + feature) * positions + p)));
      }
    }
    return values.toArray(BigDecimal[]::new);
  }

  private static BigDecimal mean(BigDecimal[] values) {
    BigDecimal sum = BigDecimal.ZERO;
    for (BigDecimal value : values) {
      sum = sum.add(value);
    }
    return sum.divide(BigDecimal.valueOf(values.length), DIGITS);
  }

  private static BigDecimal variance(BigDecimal[] values) {
    BigDecimal mean = mean(values);
    BigDecimal sum = BigDecimal.ZERO;
    for (BigDecimal value : values) {
      sum = sum.add(value.subtract(mean).pow(2));
    }
    return sum.divide(BigDecimal.valueOf(values.length), DIGITS);
  }

  /** The double next to the exact value, or its neighbour. */
  private static void assertRounded(BigDecimal exact, double actual) {
    double expected = exact.doubleValue();
    assertTrue(
        Math.abs(actual - expected) <= Math.ulp(expected) + 1e-24,
        () -> "oracle says " + actual + "; expected " + expected);
  }

  @Test
  void whatIsKnownIsNotComputedAgain() {
    Case c = new Samples(92).of(VbnConfig.of(2), new long[] {3, 2}, new long[] {4, 2});
    assertSame(Oracle.expect(c, DType.FLOAT32, true), Oracle.expect(c, DType.FLOAT32, true));
    assertTrue(Oracle.expect(c, DType.FLOAT32, true) != Oracle.expect(c, DType.FLOAT64, true));
  }
}
