package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceGradient;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Offsets, extremes, and numbers that are none. */
abstract class NumericsRules extends Rules {
  private static final long[] LIVE = {4, 3, 6};
  private static final long[] REFERENCE = {5, 3, 6};
  private static final int MARKED = 2 * 18 + 6 + 3; // example 2, feature 1, position 3

  NumericsRules(VbnConformance kit) {
    super(kit);
  }

  /**
   * 2^20 plus multiples of 1/8 in steps of a standard deviation of about 1: each value is exact in
   * 32 bits, so that the offset itself costs nothing, while a mean rounded to 32 bits would.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OFFSET)
  final void anOffsetOfAMillionDeviationsChangesNothing(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case drawn = new Samples(51).of(config, new long[] {5, 3, 37}, new long[] {7, 3, 41});
    Case offset = new Case(
        config,
        onGrid(drawn.x()),
        onGrid(drawn.reference()),
        drawn.gamma(),
        drawn.beta(),
        drawn.upstream());
    String hint =
        "E[x^2]-m^2, or a mean held in 32 bits, loses the deviations: accumulate in 64 bits or"
            + " around a shift, and subtract a mean of more than 32 bits.";
    Agreement.of(subject(), offset, DType.FLOAT32, variant.label() + " far from 0")
        .ofExactInputs()
        .output(hint)
        .referenceOutput(hint)
        .inputGradient(hint)
        .gammaGradient(hint)
        .referenceGradient(hint);
  }

  private static HostTensor onGrid(HostTensor tensor) {
    float[] values = tensor.floats().clone();
    for (int i = 0; i < values.length; i++) {
      values[i] = 0x1p20f + Math.round(values[i] * 8) / 8f;
    }
    return HostTensor.of(values, tensor.shape());
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsGiveBeta(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case drawn = new Samples(52).of(config, LIVE, REFERENCE);
    Case c = new Case(
        config,
        filled(1234.5677f, LIVE),
        filled(1234.5677f, REFERENCE),
        drawn.gamma(),
        drawn.beta(),
        drawn.upstream());
    String hint = "Mean and constant cancel exactly: the variance is 0, and epsilon small.";
    Agreement.of(subject(), c, DType.FLOAT32, variant.label() + " of a constant")
        .ofExactInputs()
        .output(hint)
        .referenceOutput(hint);
  }

  private static HostTensor filled(float value, long... shape) {
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, shape);
    Arrays.fill(tensor.floats(), value);
    return tensor;
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LARGEST)
  final void theLargestFloatsDoNotOverflow(Variant variant) {
    float max = Float.MAX_VALUE;
    String hint = "Squares of finite floats need more range than 32 bits have.";
    Case c = extremes(
        variant, new float[] {max, -max, max, max / 2}, new float[] {-max, max, max / 4, -max});
    Agreement.of(subject(), c, DType.FLOAT32, variant.label() + " of the largest floats")
        .output(hint)
        .referenceOutput(hint);
  }

  /** Deviations of 1e-40 beside an epsilon as small: what is flushed to 0 normalises to 0. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SMALLEST)
  final void subnormalFloatsAreNumbers(Variant variant) {
    float tiny = 1e-40f;
    String hint = "Work in 64 bits, where these are ordinary numbers.";
    Case c = extremes(variant, new float[] {tiny, -tiny, 3 * tiny, tiny / 2}, new float[] {
      -tiny, tiny, tiny / 4, -3 * tiny
    });
    Agreement.of(subject(), c, DType.FLOAT32, variant.label() + " of subnormal floats")
        .output(hint)
        .referenceOutput(hint);
  }

  private static Case extremes(Variant variant, float[] live, float[] reference) {
    VbnConfig config =
        VbnConfig.of(1).withVariant(variant).withEpsilon(1e-80).withScale(false).withCenter(false);
    return new Case(
        config,
        HostTensor.of(live, 2, 1, 2),
        HostTensor.of(reference, 2, 1, 2),
        null,
        null,
        HostTensor.of(new float[] {1, 2, 3, 4}, 2, 1, 2));
  }

  /** The seed is in the message and in the census; -Dvbn.conformance.seed replays it. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.ANY_SHAPE)
  final void randomShapesOffsetsAndScalesAgreeWithTheOracle(Variant variant) {
    double[] offsets = {0, 0, 1, -30, 1e4, 1e6};
    double[] scales = {1, 1, 1e-4, 1e-2, 1e3, 1e15};
    Samples samples = new Samples(variant.label().hashCode());
    for (int draw = 0; draw < 12; draw++) {
      Shapes shapes = Shapes.random(samples);
      VbnConfig config = shapes
          .config()
          .withVariant(variant)
          .withEpsilon(draw % 2 == 0 ? 1e-5 : 1e-3)
          .withReferenceGradient(ReferenceGradient.ATTACHED);
      double scale = scales[samples.below(scales.length)];
      double offset = scale * offsets[samples.below(offsets.length)];
      Case c = samples.of(config, shapes.live(), shapes.reference(), offset, scale);
      String where = variant.label() + ", draw " + draw + " of seed " + Samples.SEED + ": " + shapes
          + ", offset " + offset + ", scale " + scale;
      String hint = "Replay it with -D" + Samples.SEED_PROPERTY + "=" + Samples.SEED + ".";
      for (DType dtype : dtypes()) {
        if (dtype.precision() < 24) {
          continue; // most of these offsets leave nothing of the deviations in 16 bits
        }
        Agreement.of(subject(), c, dtype, where)
            .output(hint)
            .referenceOutput(hint)
            .mixedStatistics(hint)
            .inputGradient(hint)
            .gammaGradient(hint)
            .betaGradient(hint)
            .referenceGradient(hint);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.NOT_A_NUMBER)
  final void notANumberStaysInItsGroup(Variant variant) {
    checkContagion(variant, Double.NaN);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.INFINITY)
  final void infinityStaysInItsGroup(Variant variant) {
    checkContagion(variant, Double.POSITIVE_INFINITY);
    checkContagion(variant, Double.NEGATIVE_INFINITY);
  }

  private void checkContagion(Variant variant, double value) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case clean = new Samples(53).of(config, LIVE, REFERENCE);
    Case marked = clean.withLive(Layouts.with(clean.x(), MARKED, value), clean.upstream());
    Geometry geometry = clean.liveGeometry();
    for (DType dtype : dtypes()) {
      Subject.Outcome expected = subject().run(clean, dtype);
      Subject.Outcome actual = subject().run(marked, dtype);
      IntPredicate inGroup = i -> inGroup(variant.scope(), geometry, i);
      String where = value + " under " + variant.label() + " in " + dtype;
      checkGroup("output, " + where, expected.output(), actual.output(), inGroup);
      checkGroup(
          "dx, " + where,
          expected.dx(),
          actual.dx(),
          variant.scope() == Scope.NONE ? i -> false : inGroup);
      checkGroup("dgamma, " + where, expected.dgamma(), actual.dgamma(), i -> i == 1);
      checkGroup("dbeta, " + where, expected.dbeta(), actual.dbeta(), i -> false);
    }
  }

  private static boolean inGroup(Scope scope, Geometry geometry, int index) {
    int run = (int) geometry.after();
    int features = (int) geometry.features();
    int size = run * features;
    boolean sameFeature = index / run % features == MARKED / run % features;
    return switch (scope) {
      case BATCH -> sameFeature;
      case EXAMPLE -> sameFeature && index / size == MARKED / size;
      case NONE -> index == MARKED;
    };
  }

  /** Outside the group the same bits as without the mark, inside it nothing finite. */
  private static void checkGroup(
      String what, HostTensor clean, HostTensor marked, IntPredicate inGroup) {
    assertEquals(clean.size(), marked.size(), "elements of " + what);
    assertTrue(clean.size() > 0, "elements of " + what + "; expected some");
    for (int i = 0; i < clean.size(); i++) {
      if (inGroup.test(i)) {
        if (Double.isFinite(marked.get(i))) {
          fail(what + "[" + i + "] is " + marked.get(i)
              + "; expected NaN or infinity: its group holds one, and it must show");
        }
      } else if (Double.doubleToLongBits(clean.get(i)) != Double.doubleToLongBits(marked.get(i))) {
        fail(what + "[" + i + "] is " + marked.get(i) + "; expected " + clean.get(i)
            + " as without it: it is in another group");
      }
    }
  }

  @Test
  @Checks(Rule.NOT_A_NUMBER)
  final void notANumberInTheReferenceSpoilsItsFeatureOnly() {
    checkReferenceContagion(Double.NaN);
  }

  @Test
  @Checks(Rule.INFINITY)
  final void infinityInTheReferenceSpoilsItsFeatureOnly() {
    checkReferenceContagion(Double.POSITIVE_INFINITY);
  }

  private void checkReferenceContagion(double value) {
    for (Variant variant : Variant.values()) {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case clean = new Samples(54).of(config, LIVE, REFERENCE);
      Case marked = clean.withReference(Layouts.with(clean.reference(), MARKED, value));
      IntPredicate sameFeature = i -> i / 6 % 3 == 1;
      Subject.Outcome expected = subject().run(clean, DType.FLOAT32);
      Subject.Outcome actual = subject().run(marked, DType.FLOAT32);
      String where = value + " in the reference under " + variant.label();
      checkGroup("output, " + where, expected.output(), actual.output(), sameFeature);
      checkGroup(
          "reference output, " + where,
          expected.referenceOutput(),
          actual.referenceOutput(),
          sameFeature);
    }
  }
}
