package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.largest;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Oracle.Expected;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.DoubleUnaryOperator;
import java.util.function.IntPredicate;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Offsets, extremes, and numbers that are none. */
abstract class NumericsRules extends Rules {
  private static final long[] LIVE = {4, 3, 6};
  private static final long[] REFERENCE = {5, 3, 6};
  private static final int DRAWS = 12; // of each variant
  private static final Map<Variant, List<Case>> RANDOM = new ConcurrentHashMap<>();
  private static final int MARKED_EXAMPLE = 2;
  private static final int MARKED = MARKED_EXAMPLE * 18 + 6 + 3; // feature 1, position 3

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
    Case near = onGrid(drawn, 0);
    Case far = onGrid(drawn, 0x1p20);
    String hint =
        "E[x^2]-m^2, or a mean held in 32 bits, loses the deviations: accumulate in 64 bits or"
            + " around a shift, and subtract a mean of more than 32 bits.";
    Agreement.ofLaw(
            subject(),
            subject().run(near, DType.FLOAT32),
            Oracle.expect(near),
            subject().run(far, DType.FLOAT32),
            far,
            DType.FLOAT32,
            "values 2^20 farther from 0")
        .output(hint)
        .referenceOutput(hint)
        .inputGradient(hint)
        .gammaGradient(hint)
        .referenceGradient(hint);
  }

  private static Case onGrid(Case c, double offset) {
    return moved(c.roundedTo(DType.FLOAT32), x -> offset + Math.round(x * 8) / 8.0);
  }

  /** With other values in both batches. */
  private static Case moved(Case c, DoubleUnaryOperator move) {
    return new Case(
        c.config(),
        moved(c.x(), move),
        moved(c.reference(), move),
        c.gamma(),
        c.beta(),
        c.upstream());
  }

  private static HostTensor moved(HostTensor tensor, DoubleUnaryOperator move) {
    double[] values = Arrays.stream(tensor.toDoubles()).map(move).toArray();
    return HostTensor.of(values, tensor.shape()).to(DType.FLOAT32);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsGiveBeta(Variant variant) {
    checkConstants(variant, 1234.5677f);
  }

  /** The live variance is 0, and so is the reference's: what is left is the distance of the means. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANTS)
  final void constantsKeepTheDistanceOfTheMeans(Variant variant) {
    checkConstants(variant, 1234.5625f);
  }

  private void checkConstants(Variant variant, float reference) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case drawn = new Samples(52).of(config, LIVE, REFERENCE);
    Case c = new Case(
        config,
        filled(1234.5677f, LIVE),
        filled(reference, REFERENCE),
        drawn.gamma(),
        drawn.beta(),
        drawn.upstream());
    String hint = "Mean and constant cancel exactly: the variance is 0, and epsilon small.";
    Agreement.of(subject(), c, DType.FLOAT32, "constants")
        .ofExactInputs()
        .output(hint)
        .referenceOutput(hint)
        .inputGradient(hint);
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
    checkScaled(
        variant,
        new float[] {max, -max, max, max / 2},
        new float[] {-max, max, max / 4, -max},
        0x1p-127,
        "largest floats",
        "Squares of finite floats need more range than 32 bits have.");
  }

  /** Deviations of 1e-40 beside a smaller epsilon: what is flushed to 0 normalises to 0. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SMALLEST)
  final void subnormalFloatsAreNumbers(Variant variant) {
    float tiny = 1e-40f;
    checkScaled(
        variant,
        new float[] {tiny, -tiny, 3 * tiny, tiny / 2},
        new float[] {-tiny, tiny, tiny / 4, -3 * tiny},
        0x1p133,
        "subnormal floats",
        "Work in 64 bits, where these are ordinary numbers.");
  }

  /** Times a power of two they are ordinary numbers, and normalise to the same ones. */
  private void checkScaled(
      Variant variant, float[] live, float[] reference, double factor, String what, String hint) {
    VbnConfig config = VbnConfig.of(1).withVariant(variant).withEpsilon(1e-100);
    Case extreme = new Case(
        config,
        HostTensor.of(live, 2, 1, 2),
        HostTensor.of(reference, 2, 1, 2),
        null,
        null,
        HostTensor.of(new float[] {1, 2, 3, 4}, 2, 1, 2));
    Case ordinary = moved(extreme, x -> factor * x);
    Agreement.ofLaw(
            subject(),
            subject().run(ordinary, DType.FLOAT32),
            Oracle.expect(ordinary),
            subject().run(extreme, DType.FLOAT32),
            extreme,
            DType.FLOAT32,
            what)
        .output(hint)
        .referenceOutput(hint);
  }

  /** The seed is in the message and in the census; -Dvbn.conformance.seed replays it. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.ANY_SHAPE)
  final void randomShapesOffsetsAndScalesAgreeWithTheOracle(Variant variant) {
    List<Case> cases = RANDOM.computeIfAbsent(variant, NumericsRules::draw);
    for (int i = 0; i < cases.size(); i++) {
      String what = "draw " + i + " of seed " + Samples.SEED;
      String hint = "Replay it with -D" + Samples.SEED_PROPERTY + "=" + Samples.SEED + ".";
      for (DType dtype : dtypes()) {
        if (dtype.precision() < 24) {
          continue; // most of these offsets leave nothing of the deviations in 16 bits
        }
        Agreement.of(subject(), cases.get(i), dtype, what)
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

  private static List<Case> draw(Variant variant) {
    double[] offsets = {0, 0, 1, -30, 1e4, 1e6};
    double[] scales = {1, 1, 1e-4, 1e-2, 1e3, 1e15};
    Samples samples = new Samples(variant.label().hashCode());
    List<Case> cases = new ArrayList<>();
    for (int i = 0; i < DRAWS; i++) {
      Shapes shapes = Shapes.random(samples);
      VbnConfig config = shapes
          .config()
          .withVariant(variant)
          .withEpsilon(i % 2 == 0 ? 1e-5 : 1e-3)
          .withReferenceGradient(ReferenceGradient.ATTACHED);
      double scale = scales[samples.below(scales.length)];
      double offset = scale * offsets[samples.below(offsets.length)];
      cases.add(samples.of(config, shapes.live(), shapes.reference(), offset, scale));
    }
    return cases;
  }

  /**
   * A small batch repeated along one axis has the same statistics, and the same results again and
   * again: what a size of 16 bits, a grid of blocks or a sum in 32 bits does not survive shows.
   */
  @Test
  @Checks(Rule.SIZE)
  final void fourMillionPositions() {
    checkRepeated(Variant.LIVE_BATCH, new long[] {1, 1, 64}, 2, 1 << 16);
  }

  @Test
  @Checks(Rule.SIZE)
  final void moreFeaturesThan16BitsCount() {
    checkRepeated(Variant.PER_EXAMPLE, new long[] {2, 5, 2}, 1, 14_001);
  }

  /** In BATCH and PER_EXAMPLE the weight is that of the reference batch, which stays small. */
  @ParameterizedTest
  @EnumSource(names = {"BATCH", "PER_EXAMPLE"})
  @Checks(Rule.SIZE)
  final void moreExamplesThan16BitsCount(Variant variant) {
    checkRepeated(variant, new long[] {7, 2, 2}, 0, 10_001);
  }

  private void checkRepeated(Variant variant, long[] live, int axis, int times) {
    VbnConfig config = VbnConfig.of((int) live[1])
        .withVariant(variant)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    Case once =
        new Samples(56).of(config, live, new long[] {3, live[1], 5}).roundedTo(DType.FLOAT32);
    Expected expected = Oracle.expect(once).withValues(subject().run(once, DType.FLOAT32));
    boolean features = axis == 1;
    Case repeated = new Case(
        features
            ? VbnConfig.of(config.features() * times)
                .withVariant(variant)
                .withReferenceGradient(ReferenceGradient.ATTACHED)
            : config,
        Layouts.repeat(once.x(), axis, times),
        features ? Layouts.repeat(once.reference(), 1, times) : once.reference(),
        features ? Layouts.repeat(requireNonNull(once.gamma()), 0, times) : once.gamma(),
        features ? Layouts.repeat(requireNonNull(once.beta()), 0, times) : once.beta(),
        Layouts.repeat(once.upstream(), axis, times));
    Subject.Outcome actual = subject().run(repeated, DType.FLOAT32);
    int sums = features ? 1 : times; // what is summed over the batch grows with it
    String hint = "It is right for " + Arrays.toString(live) + ", and repeated along axis " + axis
        + ", to " + Arrays.toString(repeated.x().shape())
        + ", not: look at counts and indexes of 16 bits, limits of a grid, and sums in 32 bits.";
    checkRepeats(
        "output",
        expected.output,
        largest(expected.output),
        live,
        axis,
        times,
        actual.output(),
        expected.condition,
        hint);
    checkRepeats(
        "dx",
        expected.dx,
        expected.dxScale,
        live,
        axis,
        times,
        actual.dx(),
        expected.condition,
        hint);
    long[] parameter = {live[1]};
    checkRepeats(
        "dgamma",
        scaled(expected.dgamma, sums),
        expected.dgammaScale * sums,
        parameter,
        0,
        features ? times : 1,
        actual.dgamma(),
        expected.condition,
        hint);
    checkRepeats(
        "dbeta",
        scaled(expected.dbeta, sums),
        expected.dbetaScale * sums,
        parameter,
        0,
        features ? times : 1,
        actual.dbeta(),
        0,
        hint);
    checkRepeats(
        "gradient of the reference batch",
        scaled(expected.dreference, sums),
        expected.dreferenceScale * sums,
        once.reference().shape(),
        1,
        features ? times : 1,
        requireNonNull(actual.dreference()),
        expected.condition,
        hint);
  }

  private static double[] scaled(double[] values, double factor) {
    return Arrays.stream(values).map(value -> value * factor).toArray();
  }

  private void checkRepeats(
      String what,
      double[] expected,
      double magnitude,
      long[] shape,
      int axis,
      int times,
      HostTensor actual,
      double condition,
      String hint) {
    HostTensor all = Layouts.repeat(HostTensor.of(expected, shape), axis, times);
    subject()
        .tolerance(DType.FLOAT32, magnitude, condition)
        .assertClose(what, all.doubles(), actual, hint);
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
    Case markedInput = clean.withLive(Layouts.with(clean.x(), MARKED, value), clean.upstream());
    Case markedUpstream = clean.withLive(clean.x(), Layouts.with(clean.upstream(), MARKED, value));
    Geometry geometry = clean.liveGeometry();
    IntPredicate group = i -> inGroup(variant.scope(), geometry, i);
    IntPredicate none = i -> false;
    IntPredicate feature = i -> i == 1;
    IntPredicate statistic = switch (variant.scope()) {
      case BATCH -> feature;
      case EXAMPLE -> i -> i == 3 * MARKED_EXAMPLE + 1;
      case NONE -> none;
    };
    for (DType dtype : dtypes()) {
      Subject.Outcome expected = subject().run(clean, dtype);
      String where = value + " under " + variant.label() + " in " + dtype;
      Subject.Outcome actual = subject().run(markedInput, dtype);
      checkGroup("output, " + where, expected.output(), actual.output(), group);
      checkGroup("mixed mean, " + where, expected.mixedMean(), actual.mixedMean(), statistic);
      checkGroup(
          "mixed variance, " + where, expected.mixedVariance(), actual.mixedVariance(), statistic);
      boolean alone = variant.scope() == Scope.NONE;
      checkGroup("dx, " + where, expected.dx(), actual.dx(), alone ? none : group);
      checkGroup("dgamma, " + where, expected.dgamma(), actual.dgamma(), feature);
      checkGroup("dbeta, " + where, expected.dbeta(), actual.dbeta(), none);
      checkReferenceGradient(where, expected, actual);

      actual = subject().run(markedUpstream, dtype);
      where += ", upstream";
      checkGroup("output, " + where, expected.output(), actual.output(), none);
      checkGroup("dx, " + where, expected.dx(), actual.dx(), group);
      checkGroup("dgamma, " + where, expected.dgamma(), actual.dgamma(), feature);
      checkGroup("dbeta, " + where, expected.dbeta(), actual.dbeta(), feature);
      checkReferenceGradient(where, expected, actual);
    }
  }

  private static void checkReferenceGradient(
      String where, Subject.Outcome expected, Subject.Outcome actual) {
    checkGroup(
        "gradient of the reference batch, " + where,
        requireNonNull(expected.dreference()),
        requireNonNull(actual.dreference()),
        NumericsRules::sameFeature);
  }

  /** In either batch: their shapes differ in the number of examples only. */
  private static boolean sameFeature(int index) {
    return index / 6 % 3 == 1;
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
      VbnConfig config =
          VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
      Case clean = new Samples(54).of(config, LIVE, REFERENCE);
      Case marked = clean.withReference(Layouts.with(clean.reference(), MARKED, value));
      IntPredicate sameFeature = NumericsRules::sameFeature;
      IntPredicate feature = i -> i % 3 == 1;
      Subject.Outcome expected = subject().run(clean, DType.FLOAT32);
      Subject.Outcome actual = subject().run(marked, DType.FLOAT32);
      String where = value + " in the reference under " + variant.label();
      checkGroup("output, " + where, expected.output(), actual.output(), sameFeature);
      checkGroup(
          "reference output, " + where,
          expected.referenceOutput(),
          actual.referenceOutput(),
          sameFeature);
      checkGroup(
          "reference mean, " + where, expected.referenceMean(), actual.referenceMean(), feature);
      checkGroup(
          "reference variance, " + where,
          expected.referenceVariance(),
          actual.referenceVariance(),
          feature);
      checkGroup("mixed mean, " + where, expected.mixedMean(), actual.mixedMean(), feature);
      checkGroup("dx, " + where, expected.dx(), actual.dx(), sameFeature);
      checkGroup("dgamma, " + where, expected.dgamma(), actual.dgamma(), feature);
      checkGroup("dbeta, " + where, expected.dbeta(), actual.dbeta(), i -> false);
      checkReferenceGradient(where, expected, actual);
    }
  }

  /** A parameter belongs to one feature. */
  @Test
  @Checks(Rule.NOT_A_NUMBER)
  final void notANumberInAParameterSpoilsItsFeatureOnly() {
    for (Variant variant : Variant.values()) {
      Case clean = new Samples(55).of(VbnConfig.of(3).withVariant(variant), LIVE, REFERENCE);
      HostTensor gamma = Layouts.with(requireNonNull(clean.gamma()), 1, Double.NaN);
      HostTensor beta = Layouts.with(requireNonNull(clean.beta()), 1, Double.NaN);
      Subject.Outcome expected = subject().run(clean, DType.FLOAT32);
      for (boolean inGamma : new boolean[] {true, false}) {
        Case marked = inGamma
            ? clean.withParameters(gamma, clean.beta())
            : clean.withParameters(clean.gamma(), beta);
        Subject.Outcome actual = subject().run(marked, DType.FLOAT32);
        String where = "NaN in " + (inGamma ? "gamma" : "beta") + " under " + variant.label();
        IntPredicate sameFeature = NumericsRules::sameFeature;
        checkGroup("output, " + where, expected.output(), actual.output(), sameFeature);
        checkGroup(
            "reference output, " + where,
            expected.referenceOutput(),
            actual.referenceOutput(),
            sameFeature);
        checkGroup("dx, " + where, expected.dx(), actual.dx(), inGamma ? sameFeature : i -> false);
      }
    }
  }
}
