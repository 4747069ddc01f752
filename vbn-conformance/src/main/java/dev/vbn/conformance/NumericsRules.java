package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertClose;
import static dev.vbn.conformance.Tolerance.bound;
import static dev.vbn.conformance.Tolerance.largest;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceGradient;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Oracle.Expected;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.function.IntPredicate;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

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
    Expected expected = Oracle.expect(offset);
    Subject.Outcome outcome = subject().run(offset, DType.FLOAT32);
    String hint =
        "Textbook E[x^2]-m^2, or a mean held in 32 bits, loses the deviations: accumulate in 64"
            + " bits or around a shift, and subtract a mean of more than 32 bits.";
    assertClose(
        "output",
        expected.output,
        outcome.output(),
        bound(DType.FLOAT32, largest(expected.output), 1),
        hint);
    assertClose(
        "reference output",
        expected.referenceOutput,
        outcome.referenceOutput(),
        bound(DType.FLOAT32, largest(expected.referenceOutput), 1),
        hint);
    assertClose("dx", expected.dx, outcome.dx(), bound(DType.FLOAT32, expected.dxScale, 1), hint);
    assertClose(
        "dgamma",
        expected.dgamma,
        outcome.dgamma(),
        bound(DType.FLOAT32, expected.dgammaScale, 1),
        hint);
    assertClose(
        "gradient of the reference batch",
        expected.dreference,
        requireNonNull(outcome.dreference()),
        bound(DType.FLOAT32, expected.dreferenceScale, 1),
        hint);
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
  final void constantsGiveBeta(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case drawn = new Samples(52).of(config, LIVE, REFERENCE);
    float constant = 1234.5677f;
    Case c = new Case(
        config,
        filled(constant, LIVE),
        filled(constant, REFERENCE),
        drawn.gamma(),
        drawn.beta(),
        drawn.upstream());
    HostTensor output = subject().output(c, DType.FLOAT32);
    double[] expected = Oracle.expect(c).output;
    assertClose(
        "output of a constant",
        expected,
        output,
        bound(DType.FLOAT32, largest(expected), 0),
        "Mean and constant must cancel exactly: the variance is 0, and epsilon small.");
  }

  private static HostTensor filled(float value, long... shape) {
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, shape);
    Arrays.fill(tensor.floats(), value);
    return tensor;
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  final void theLargestFloatsDoNotOverflow(Variant variant) {
    VbnConfig config = VbnConfig.of(1).withVariant(variant);
    float max = Float.MAX_VALUE;
    Case c = new Case(
        config,
        HostTensor.of(new float[] {max, -max, max, max / 2}, 2, 1, 2),
        HostTensor.of(new float[] {-max, max, max / 4, -max}, 2, 1, 2),
        HostTensor.of(new float[] {1}, 1),
        HostTensor.of(new float[] {0}, 1),
        HostTensor.of(new float[] {1, 2, 3, 4}, 2, 1, 2));
    Expected expected = Oracle.expect(c);
    Subject.Outcome outcome = subject().run(c, DType.FLOAT32);
    String hint = "Squares of finite floats need more range than 32 bits have.";
    assertClose(
        "output",
        expected.output,
        outcome.output(),
        bound(DType.FLOAT32, largest(expected.output), expected.condition),
        hint);
    assertClose(
        "reference output",
        expected.referenceOutput,
        outcome.referenceOutput(),
        bound(DType.FLOAT32, largest(expected.referenceOutput), expected.condition),
        hint);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  final void notANumberStaysInItsGroup(Variant variant) {
    checkContagion(variant, Double.NaN);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
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

  @ParameterizedTest
  @ValueSource(doubles = {Double.NaN, Double.POSITIVE_INFINITY})
  final void inTheReferenceBatchItSpoilsItsFeatureOnly(double value) {
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
