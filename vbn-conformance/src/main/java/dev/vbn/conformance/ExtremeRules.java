package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
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

  /** Large enough that a backend which divides its work does so. */
  private static final long[] LARGE_SHAPE = {8, 17, 301};

  /** What an offset does not change. */
  static final List<Quantity> OFFSET_QUANTITIES = List.of(
      Quantity.VARIANCE,
      Quantity.LONE_VARIANCE,
      Quantity.LIVE_VARIANCE,
      Quantity.OUTPUT,
      Quantity.REFERENCE_OUTPUT,
      Quantity.DX,
      Quantity.DGAMMA,
      Quantity.DREFERENCE,
      Quantity.REFERENCE_DX,
      Quantity.REFERENCE_DGAMMA);

  /** What constants give. */
  static final List<Quantity> CONSTANT_QUANTITIES =
      List.of(Quantity.OUTPUT, Quantity.REFERENCE_OUTPUT, Quantity.DX);

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
      boolean exact = wideStatistics();
      checkOffset(variant, exact, 1);
      checkOffset(variant, exact, 0x1p10); // beyond the whole numbers of 32 bits
    });
  }

  private void checkOffset(Variant variant, boolean exact, double unit) {
    double offset = farOffset(exact);
    Case near = scaled(offsetBy(0, variant), unit);
    Case far = scaled(offsetBy(offset, variant), unit);
    Computed known = subject().run(near, DType.FLOAT32);
    Computed computed = subject().run(far, DType.FLOAT32);
    Expected scales = subject().expect(far, DType.FLOAT32);
    for (Quantity each : OFFSET_QUANTITIES) {
      subject()
          .tolerance
          .assertClose(
              each.label() + " of values " + unit * offset + " farther from 0, " + far.describe(),
              scales.of(each).of(known.of(each)).scaled(2),
              computed.of(each),
              DType.FLOAT32,
              "E[x^2]-m^2, or a mean held in 32 bits, loses the deviations: accumulate in 64 bits"
                  + " or around a shift, and subtract a mean of more than 32 bits.");
    }
  }

  private static Case scaled(Case c, double unit) {
    return moved(c, x -> unit * x);
  }

  static double farOffset(boolean exact) {
    return exact ? 0x1p20 : 0x1p8;
  }

  /** Values on a grid of 1/8, that far from where they were drawn. */
  static Case offsetBy(double offset, Variant variant) {
    Case drawn = new Samples(51).of(config(variant), new long[] {5, 3, 37}, new long[] {7, 3, 41});
    return moved(drawn.roundedTo(DType.FLOAT32), x -> offset + Math.round(x * 8) / 8.0);
  }

  /** With other values in both batches. */
  private static Case moved(Case c, DoubleUnaryOperator move) {
    return c.withLive(Layouts.mapped(c.x(), move), c.upstream())
        .withReference(Layouts.mapped(c.reference(), move), c.referenceUpstream());
  }

  /** Of any magnitude, with any epsilon: x - m is 0, and so are the variances. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsGiveBeta(Variant variant) {
    holds(() -> {
      for (Case c : constants(variant, wideStatistics())) {
        checkConstants(c, wideStatistics());
      }
    });
  }

  static List<Case> constants(Variant variant, boolean exact) {
    double[] magnitudes =
        exact ? new double[] {1e-20, 1234.5677, 1e30} : new double[] {1e-3, 1234.5677};
    double[] epsilons = exact ? new double[] {1e-20, 1e-5, 1e-3} : new double[] {1e-3};
    List<Case> cases = new ArrayList<>();
    for (double magnitude : magnitudes) {
      for (double epsilon : epsilons) {
        Case drawn = new Samples(52).of(config(variant).withEpsilon(epsilon), LIVE, REFERENCE);
        cases.add(moved(drawn, x -> magnitude).roundedTo(DType.FLOAT32));
      }
    }
    return cases;
  }

  /** The live variance is 0, and so is the reference's: what is left is the distance of the means. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsKeepTheDistanceOfTheMeans(Variant variant) {
    holds(() -> checkConstants(constantsApart(variant), wideStatistics()));
  }

  static Case constantsApart(Variant variant) {
    Case drawn = new Samples(52).of(config(variant), LIVE, REFERENCE);
    return moved(drawn, x -> 1234.5677)
        .withReference(Layouts.mapped(drawn.reference(), x -> 1234.5625), drawn.referenceUpstream())
        .roundedTo(DType.FLOAT32);
  }

  private void checkConstants(Case c, boolean exact) {
    Computed computed = subject().run(c, DType.FLOAT32);
    for (Quantity each : CONSTANT_QUANTITIES) {
      subject()
          .tolerance
          .assertClose(
              each.label() + " of constants " + c.x().get(0) + " and "
                  + c.reference().get(0) + ", " + c.describe(),
              ofConstants(c, each, exact),
              computed.of(each),
              DType.FLOAT32,
              "Mean and constant cancel exactly: the variance is 0, and epsilon small.");
    }
    checkAgain(c, DType.FLOAT32, Manner.PLAIN, computed);
  }

  /** Sums have one order for numbers of every size. */
  private void checkAgain(Case c, DType dtype, Manner manner, Computed computed) {
    assertEqualBits(
        " of " + c.describe() + ", in " + dtype,
        computed,
        subject().run(c, dtype, manner),
        "The same call computes the same bits every time.");
  }

  /** Exact means cancel exactly, so that the magnitude costs nothing. */
  static Values ofConstants(Case c, Quantity quantity, boolean exact) {
    Case near = c;
    if (exact) {
      double live = c.x().get(0);
      double middle = (live + c.reference().get(0)) / 2;
      near = moved(c, x -> x - middle);
    }
    return new Values(
        Oracle.expect(c, DType.FLOAT32, exact).of(quantity).expected(),
        Oracle.expect(near, DType.FLOAT32, exact).of(quantity).scale());
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LARGEST)
  final void theLargestNumbersDoNotOverflow(Variant variant) {
    holds(() -> {
      for (DType dtype : subject().dtypes()) {
        Extreme largest = largest(variant, dtype, wideStatistics());
        checkExtreme(largest, dtype);
        checkExtreme(largest.ofAnotherShape(), dtype);
        checkDivided(largest, dtype);
        checkMasked(largest, dtype);
      }
    });
  }

  static Extreme largest(Variant variant, DType dtype, boolean wide) {
    double largest = switch (dtype) {
      // The squares of more would overflow statistics of 32 bits.
      case FLOAT32, BFLOAT16 -> wide ? 0x1.fep127 : 0x1p60;
      case FLOAT16 -> 65504;
      case FLOAT64 -> 0x1p500;
    };
    return extreme(variant, dtype, largest, 1e-30);
  }

  /** Deviations of subnormal numbers with a smaller epsilon: what is flushed normalises to 0. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SMALLEST)
  final void theSmallestNumbersAreNumbers(Variant variant) {
    holds(() -> {
      boolean subnormals = subject().has(Capability.SUBNORMALS);
      kit.provider().probe(); // may set how this thread computes
      for (DType dtype : subject().dtypes()) {
        Extreme smallest = smallest(variant, dtype, wideStatistics(), subnormals);
        checkExtreme(smallest, dtype);
        checkExtreme(smallest.ofAnotherShape(), dtype);
        checkDivided(smallest, dtype);
        checkMasked(smallest, dtype);
        checkExtreme(smallParameters(variant, dtype, subnormals, 4, 3, 7), dtype);
      }
      DType dtype = byTurn(variant);
      checkExtreme(smallParameters(variant, dtype, subnormals, LARGE_SHAPE), dtype, Passes.WHOLE);
    });
  }

  /** Ordinary batches, with gamma and beta so small that outputs and dx are too. */
  private static Extreme smallParameters(
      Variant variant, DType dtype, boolean subnormals, long... live) {
    double unit = switch (dtype) {
      case FLOAT32, BFLOAT16 -> subnormals ? 0x1p-130 : 0x1p-115;
      case FLOAT16 -> subnormals ? 0x1p-17 : 0x1p-10;
      case FLOAT64 -> 0x1p-1000; // smaller, slopes would be subnormal in 64 bits
    };
    long[] reference = live.clone();
    reference[0]++;
    int features = (int) live[1];
    Case c = new Samples(57).of(VbnConfig.of(features).withVariant(variant), live, reference);
    double[] gammas = {1, -2, 1.5};
    double[] betas = {1, 0, -3};
    double[] ofGamma = new double[features];
    double[] ofBeta = new double[features];
    Arrays.setAll(ofGamma, i -> unit * gammas[i % 3]);
    Arrays.setAll(ofBeta, i -> unit * betas[i % 3]);
    HostTensor gamma = HostTensor.of(ofGamma, features);
    HostTensor beta = HostTensor.of(ofBeta, features);
    return new Extreme(unit, c.withParameters(gamma, beta));
  }

  /**
   * Gamma and beta have 32 bits where batches have 16, and are used at full width: beyond what 16
   * bits hold, and below it with slopes that bring dx back.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LARGEST)
  final void parametersAreWiderThanTheElements(Variant variant) {
    holds(() -> {
      if (!subject().has(Capability.FLOAT16)) {
        throw new DeclaredAbsent("FLOAT16 is declared absent; its refusal is checked apart");
      }
      VbnConfig config = config(variant);
      Case drawn = new Samples(58).of(config, LIVE, REFERENCE);
      HostTensor large = HostTensor.of(new double[] {1e5, -9e4, 7e4}, 3);
      Case wide = moved(drawn, x -> x / 64)
          .withConfig(config.withEpsilon(20))
          .withParameters(large, HostTensor.of(new double[] {1e4, -1e4, 0}, 3));
      HostTensor small = HostTensor.of(new double[] {1e-8, -3e-8, 2e-8}, 3);
      Case steep = moved(drawn, x -> x / 1024)
          .withConfig(config.withEpsilon(1e-7))
          .withParameters(small, drawn.beta());
      Case far = steep.withLive(steep.x(), Layouts.mapped(drawn.upstream(), dy -> 1000 * dy));
      for (Case c : List.of(wide, far)) {
        Computed computed = subject().run(c, DType.FLOAT16);
        for (Quantity each : List.of(Quantity.OUTPUT, Quantity.REFERENCE_OUTPUT, Quantity.DX)) {
          subject()
              .tolerance
              .assertClose(
                  each.label() + ", gamma " + c.gamma() + ", " + c.describe(),
                  subject().expect(c, DType.FLOAT16).of(each),
                  computed.of(each),
                  DType.FLOAT16,
                  "Gamma and beta are of 32 bits: do not round them to the type of the batch.");
        }
      }
    });
  }

  static Extreme smallest(Variant variant, DType dtype, boolean wide, boolean subnormals) {
    double smallest = switch (dtype) {
      case FLOAT32, BFLOAT16 -> wide ? (subnormals ? 0x1p-130 : 0x1p-110) : 0x1p-50;
      case FLOAT16 -> subnormals ? 0x1p-17 : 0x1p-10;
      case FLOAT64 -> 0x1p-500;
    };
    return extreme(variant, dtype, smallest, smallest * smallest * 0x1p-10);
  }

  /** A case of multiples of a unit. */
  record Extreme(double unit, Case input) {
    /** Without statistics of 64 bits the gradients of squares, which 32 bits need not hold, are out. */
    static List<Quantity> quantities(boolean wide) {
      return Arrays.stream(Quantity.values())
          .filter(each -> wide || (each != Quantity.DREFERENCE && !each.isSecond()))
          .toList();
    }

    /** The same values in turn, in a shape and a layout that depend on the variant; with gamma and beta. */
    Extreme ofAnotherShape() {
      Variant variant = input.config().variant();
      int axis = switch (variant) {
        case LIVE_BATCH, POOLED, REFERENCE_ONLY -> 1;
        case BATCH -> -1;
        case PER_EXAMPLE -> 2;
      };
      long[] shape = switch (variant) {
        case LIVE_BATCH -> new long[] {3, 17, 5};
        case BATCH -> new long[] {3, 16, 8};
        case PER_EXAMPLE -> new long[] {5, 2, 10, 3};
        case POOLED -> new long[] {34, 12};
        case REFERENCE_ONLY -> new long[] {2, 100, 1, 3, 5};
      };
      return ofShape(axis, shape);
    }

    Extreme ofALargeShape() {
      return ofShape(1, LARGE_SHAPE);
    }

    private Extreme ofShape(int axis, long... shape) {
      int features = (int) shape[axis < 0 ? shape.length - 1 : axis];
      double[] gamma = new double[features];
      Arrays.setAll(gamma, i -> i % 2 == 0 ? 0.75 : -1.25);
      double[] beta = new double[features];
      Arrays.setAll(beta, i -> 0.5 - i % 3);
      VbnConfig config = VbnConfig.of(features)
          .withVariant(input.config().variant())
          .withFeatureAxis(axis)
          .withEpsilon(input.config().epsilon())
          .withReferenceGradient(ReferenceGradient.ATTACHED);
      Case other = new Case(
          config,
          repeated(input.x(), shape),
          repeated(input.reference(), shape),
          HostTensor.of(gamma, features),
          HostTensor.of(beta, features),
          repeated(input.upstream(), shape),
          repeated(input.referenceUpstream(), shape));
      return new Extreme(unit, other.withSecond(unit));
    }

    /** With lengths along the last axis, where there are positions. */
    Extreme masked() {
      Samples samples = new Samples(59);
      int axis = input.config().featureAxis();
      Kind kind = Kind.LENGTHS_ALONG_THE_LAST_AXIS;
      return new Extreme(
          unit,
          input.padded(
              samples.padding(kind, input.x().shape(), axis),
              samples.padding(kind, input.reference().shape(), axis),
              Junk.ORDINARY.value));
    }

    /** Not one after another: a feature, too, is to have different ones. */
    private static HostTensor repeated(HostTensor values, long... shape) {
      double[] all = new double[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
      Arrays.setAll(all, i -> values.get((i + i / 7) % values.size()));
      return HostTensor.of(all, shape);
    }
  }

  /** Multiples of one number by 1/4 to 1, and upstream gradients that keep dx an ordinary one. */
  private static Extreme extreme(Variant variant, DType dtype, double unit, double epsilon) {
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
    // As large as x, for second gradients that batches of this type hold.
    return new Extreme(unit, c.withSecond(unit));
  }

  private void checkExtreme(Extreme extreme, DType dtype) {
    for (Passes passes : Passes.values()) {
      checkExtreme(extreme, dtype, passes);
    }
  }

  /** What reads a mask has kernels of its own. */
  private void checkMasked(Extreme extreme, DType dtype) {
    if (subject().has(Capability.MASK)) {
      checkExtreme(extreme.ofAnotherShape().masked(), dtype, Passes.WHOLE);
    }
  }

  /** Of one variant only, for its size. So many squares are more than 32 bits hold. */
  private void checkDivided(Extreme extreme, DType dtype) {
    if (extreme.input.config().variant() == Variant.PER_EXAMPLE && wideStatistics()) {
      checkExtreme(extreme.ofALargeShape(), dtype, Passes.WHOLE);
    }
  }

  private void checkExtreme(Extreme extreme, DType dtype, Passes passes) {
    Case c = extreme.input;
    Manner manner = Manner.PLAIN.by(passes);
    Computed computed = subject().run(c, dtype, manner);
    for (Quantity each : Extreme.quantities(wideStatistics())) {
      if (!subject().computes(each) || !subject().expect(c, dtype).has(each)) {
        continue;
      }
      subject()
          .tolerance
          .assertClose(
              each.label() + " of multiples of " + extreme.unit + ", " + c.describe() + ", by "
                  + passes + ", in " + dtype,
              subject().expect(c, dtype).of(each),
              computed.of(each),
              each.roundedTo(dtype),
              "Squares need more range than the elements: work in 64 bits, or scaled.");
    }
    checkAgain(c, dtype, manner, computed);
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
