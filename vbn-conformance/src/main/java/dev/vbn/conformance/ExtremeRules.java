package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.DoubleUnaryOperator;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Offsets, constants, and the largest and smallest numbers. */
abstract class ExtremeRules extends Rules {
  private static final long[] LIVE = {4, 3, 6};
  private static final long[] REFERENCE = {5, 3, 6};

  ExtremeRules(VbnConformance kit) {
    super(kit);
  }

  private static VbnConfig config(Variant variant) {
    return VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
  }

  private boolean wideStatistics() {
    return subject().has(Capability.FLOAT64_STATISTICS);
  }

  /**
   * 2^20 plus multiples of 1/8 in steps of a standard deviation of about 1: each value is exact in
   * 32 bits, so that the offset itself costs nothing, while a mean rounded to 32 bits would. Where
   * statistics have no more, 2^8 costs as much as the tolerance says.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OFFSET)
  final void anOffsetOfAMillionDeviationsChangesNothing(Variant variant) {
    holds(() -> {
      Case drawn =
          new Samples(51).of(config(variant), new long[] {5, 3, 37}, new long[] {7, 3, 41});
      boolean exact = wideStatistics();
      double offset = exact ? 0x1p20 : 0x1p8;
      Case near = onGrid(drawn, 0);
      Case far = onGrid(drawn, offset);
      Computed known = subject().run(near, DType.FLOAT32);
      Computed computed = subject().run(far, DType.FLOAT32);
      Expected scales = Oracle.expect(exact ? near : far, DType.FLOAT32);
      for (Quantity each : List.of(
          Quantity.VARIANCE,
          Quantity.LONE_VARIANCE,
          Quantity.LIVE_VARIANCE,
          Quantity.OUTPUT,
          Quantity.REFERENCE_OUTPUT,
          Quantity.DX,
          Quantity.DGAMMA,
          Quantity.DREFERENCE,
          Quantity.REFERENCE_DX,
          Quantity.REFERENCE_DGAMMA)) {
        subject()
            .tolerance
            .assertClose(
                each.label() + " of values " + offset + " farther from 0, " + far.describe(),
                scales.of(each).of(known.of(each)).scaled(2),
                computed.of(each),
                DType.FLOAT32,
                "E[x^2]-m^2, or a mean held in 32 bits, loses the deviations: accumulate in 64 bits"
                    + " or around a shift, and subtract a mean of more than 32 bits.");
      }
    });
  }

  private static Case onGrid(Case c, double offset) {
    return moved(c.roundedTo(DType.FLOAT32), x -> offset + Math.round(x * 8) / 8.0);
  }

  /** With other values in both batches. */
  private static Case moved(Case c, DoubleUnaryOperator move) {
    return c.withLive(moved(c.x(), move), c.upstream())
        .withReference(moved(c.reference(), move), c.referenceUpstream());
  }

  private static HostTensor moved(HostTensor tensor, DoubleUnaryOperator move) {
    double[] values = Arrays.stream(tensor.toDoubles()).map(move).toArray();
    return HostTensor.of(values, tensor.shape());
  }

  /** Of any magnitude, beside any epsilon: x - m is 0, and so are the variances. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsGiveBeta(Variant variant) {
    holds(() -> {
      double[] magnitudes =
          wideStatistics() ? new double[] {1e-20, 1234.5677, 1e30} : new double[] {1e-3, 1234.5677};
      double[] epsilons = wideStatistics() ? new double[] {1e-20, 1e-5, 1e-3} : new double[] {1e-3};
      for (double magnitude : magnitudes) {
        for (double epsilon : epsilons) {
          Case drawn = new Samples(52).of(config(variant).withEpsilon(epsilon), LIVE, REFERENCE);
          Case c = moved(drawn, x -> magnitude).roundedTo(DType.FLOAT32);
          checkConstants(c, wideStatistics());
        }
      }
    });
  }

  /** The live variance is 0, and so is the reference's: what is left is the distance of the means. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsKeepTheDistanceOfTheMeans(Variant variant) {
    holds(() -> {
      Case drawn = new Samples(52).of(config(variant), LIVE, REFERENCE);
      Case c = moved(drawn, x -> 1234.5677)
          .withReference(moved(drawn.reference(), x -> 1234.5625), drawn.referenceUpstream());
      checkConstants(c.roundedTo(DType.FLOAT32), wideStatistics());
    });
  }

  /** Exact means cancel exactly, so that the magnitude costs nothing. */
  private void checkConstants(Case c, boolean exact) {
    Computed computed = subject().run(c, DType.FLOAT32);
    Case near = c;
    if (exact) {
      double live = c.x().get(0);
      double middle = (live + c.reference().get(0)) / 2;
      near = moved(c, x -> x - middle);
    }
    for (Quantity each : List.of(Quantity.OUTPUT, Quantity.REFERENCE_OUTPUT, Quantity.DX)) {
      subject()
          .tolerance
          .assertClose(
              each.label() + " of constants " + c.x().get(0) + " and "
                  + c.reference().get(0) + ", " + c.describe(),
              new Values(
                  Oracle.expect(c, DType.FLOAT32).of(each).expected(),
                  Oracle.expect(near, DType.FLOAT32).of(each).scale()),
              computed.of(each),
              DType.FLOAT32,
              "Mean and constant cancel exactly: the variance is 0, and epsilon small.");
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LARGEST)
  final void theLargestNumbersDoNotOverflow(Variant variant) {
    holds(() -> {
      for (DType dtype : subject().dtypes()) {
        double largest = switch (dtype) {
          // The squares of more would overflow statistics of 32 bits.
          case FLOAT32, BFLOAT16 -> wideStatistics() ? 0x1.fep127 : 0x1p60;
          case FLOAT16 -> 65504;
          case FLOAT64 -> 0x1p500;
        };
        checkExtreme(variant, dtype, largest, 1e-30);
      }
    });
  }

  /** Deviations of subnormal numbers beside a smaller epsilon: what is flushed normalises to 0. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SMALLEST)
  final void theSmallestNumbersAreNumbers(Variant variant) {
    holds(() -> {
      boolean subnormals = subject().has(Capability.SUBNORMALS);
      for (DType dtype : subject().dtypes()) {
        double smallest = switch (dtype) {
          case FLOAT32, BFLOAT16 -> wideStatistics() ? (subnormals ? 0x1p-130 : 0x1p-110) : 0x1p-50;
          case FLOAT16 -> subnormals ? 0x1p-17 : 0x1p-10;
          case FLOAT64 -> 0x1p-500;
        };
        double epsilon = smallest * smallest * 0x1p-10;
        checkExtreme(variant, dtype, smallest, epsilon);
      }
    });
  }

  /** Multiples of one number by 1/16 to 1, and upstream gradients that keep dx an ordinary one. */
  private void checkExtreme(Variant variant, DType dtype, double unit, double epsilon) {
    double[] live = {1, -1, 1, 0.5, -0.75, 0.25};
    double[] reference = {-1, 1, 0.25, -1, 0.5, -0.5};
    double[] upstream = {0.5, -0.25, 0.75, 1, -1, 0.25};
    double gradients =
        dtype == DType.FLOAT16 ? 0x1p-5 : Math.scalb(1.0, Math.getExponent(unit) / 2);
    Case c = new Case(
        VbnConfig.of(1)
            .withVariant(variant)
            .withEpsilon(epsilon)
            .withReferenceGradient(ReferenceGradient.ATTACHED),
        HostTensor.of(Arrays.stream(live).map(x -> x * unit).toArray(), 3, 1, 2),
        HostTensor.of(Arrays.stream(reference).map(x -> x * unit).toArray(), 3, 1, 2),
        null,
        null,
        HostTensor.of(Arrays.stream(upstream).map(x -> x * gradients).toArray(), 3, 1, 2),
        HostTensor.of(Arrays.stream(upstream).map(x -> x * gradients).toArray(), 3, 1, 2));
    List<Quantity> quantities = new ArrayList<>(List.of(Quantity.values()));
    if (!wideStatistics()) {
      // Their gradients are those of squares, which 32 bits need not hold.
      quantities.remove(Quantity.DREFERENCE);
    }
    Computed computed = subject().run(c, dtype);
    for (Quantity each : quantities) {
      subject()
          .tolerance
          .assertClose(
              each.label() + " of multiples of " + unit + ", " + c.describe() + ", in " + dtype,
              Oracle.expect(c, dtype).of(each),
              computed.of(each),
              each.roundedTo(dtype),
              "Squares need more range than the elements: work in 64 bits, or scaled.");
    }
  }

  /** Where even 64 bits end: infinite as in the formula, and neither 0 nor NaN. */
  @Test
  @Checks(Rule.LARGEST)
  final void aVarianceThatOverflowsIsInfinite() {
    holds(() -> {
      if (!subject().has(Capability.FLOAT64)) {
        throw new DeclaredAbsent("FLOAT64 is declared absent; its refusal is checked apart");
      }
      HostTensor x = HostTensor.of(new double[] {1e200, -1e200, 1e200, -1e200}, 2, 1, 2);
      Case c = new Case(VbnConfig.of(1), x, x, null, null, x, x);
      Computed computed = subject().run(c, DType.FLOAT64);
      for (Quantity each : List.of(Quantity.VARIANCE, Quantity.LONE_VARIANCE)) {
        Check.current().compared();
        Assertions.assertEquals(
            Double.POSITIVE_INFINITY,
            computed.of(each).get(0),
            each.label() + " of [1e200, -1e200]: the mean of squares is more than 64 bits hold");
      }
    });
  }
}
