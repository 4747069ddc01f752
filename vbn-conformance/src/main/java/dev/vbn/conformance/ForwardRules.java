package dev.vbn.conformance;

import static dev.vbn.conformance.Agreement.FORMULA;
import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.largest;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Outputs and mixed statistics, by worked values, golden cases, oracle and laws. */
abstract class ForwardRules extends Rules {
  private static final String SCOPE_AND_WEIGHT =
      FORMULA + " Look at the weight w and at the scope of ma and va.";

  ForwardRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.LIVE_BATCH)
  final void liveBatch() {
    checkVariant(Variant.LIVE_BATCH, 0.9045340337332909, 1.5666989036012806);
  }

  @Test
  @Checks(Rule.BATCH)
  final void batch() {
    checkVariant(Variant.BATCH, 1.224744871391589, 1.5666989036012806);
  }

  @Test
  @Checks(Rule.PER_EXAMPLE)
  final void perExample() {
    checkVariant(Variant.PER_EXAMPLE, 1.224744871391589, 1.224744871391589);
  }

  @Test
  @Checks(Rule.POOLED)
  final void pooled() {
    checkVariant(Variant.POOLED, 1.224744871391589, 1.3416407864998738);
  }

  @Test
  @Checks(Rule.REFERENCE_ONLY)
  final void referenceOnly() {
    checkVariant(Variant.REFERENCE_ONLY, 3, 3);
  }

  private void checkVariant(Variant variant, double ofFive, double ofPair) {
    checkWorked(variant, new double[] {ofFive}, 5);
    checkWorked(variant, new double[] {ofPair, -ofPair}, 5, -1);
    for (GoldenCase golden : GoldenCase.of(variant)) {
      double condition = golden.expected().condition;
      for (DType dtype : goldenTypes()) {
        Subject.Outcome outcome = subject().outcome(golden.input(), dtype);
        golden.check(subject(), "y", outcome.output(), dtype, condition, SCOPE_AND_WEIGHT);
      }
    }
    for (Case c : LayoutCases.of(variant)) {
      for (DType dtype : dtypes()) {
        Agreement.of(subject(), c, dtype).output(SCOPE_AND_WEIGHT);
      }
    }
  }

  /** Reference [1,3], gamma 1, beta 0, and an epsilon that leaves no trace. */
  private void checkWorked(Variant variant, double[] expected, float... live) {
    HostTensor x = HostTensor.of(live, live.length, 1);
    VbnConfig config = VbnConfig.of(1).withVariant(variant).withEpsilon(1e-30);
    HostTensor reference = HostTensor.of(new float[] {1, 3}, 2, 1);
    subject()
        .tolerance(DType.FLOAT32, 3, 1)
        .assertClose(
            variant.label() + " of live " + Arrays.toString(live) + ", reference [1, 3],",
            expected,
            subject().output(new Case(config, x, reference, null, null, x), DType.FLOAT32),
            SCOPE_AND_WEIGHT);
  }

  @Test
  @Checks(Rule.REFERENCE_PASS)
  final void referencePass() {
    String hint = "It normalises by its own mean and biased variance, and nothing else.";
    for (Variant variant : Variant.values()) {
      for (GoldenCase golden : GoldenCase.of(variant)) {
        double condition = golden.expected().condition;
        for (DType dtype : goldenTypes()) {
          Subject.Outcome outcome = subject().outcome(golden.input(), dtype);
          golden.check(subject(), "ref_y", outcome.referenceOutput(), dtype, condition, hint);
        }
      }
    }
    for (Case c : LayoutCases.of(Variant.LIVE_BATCH)) {
      for (DType dtype : dtypes()) {
        Agreement.of(subject(), c, dtype).referenceOutput(hint);
      }
    }
  }

  /** Epsilons around the variance: outside the root they would show at once. */
  @ParameterizedTest
  @ValueSource(doubles = {4, 0.5, 1e-3})
  @Checks(Rule.EPSILON)
  final void epsilonIsInsideTheRoot(double epsilon) {
    for (Variant variant : Variant.values()) {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case without = new Samples(23)
          .of(config.withEpsilon(1e-12), new long[] {4, 3, 5}, new long[] {6, 3, 5})
          .bare()
          .roundedTo(DType.FLOAT32);
      Case with = without.withConfig(config.withEpsilon(epsilon));
      Subject.Outcome before = subject().run(without, DType.FLOAT32);
      Subject.Outcome after = subject().run(with, DType.FLOAT32);
      double condition = Oracle.expect(without).condition;
      String where = " of " + with.describe();
      checkGrowth(where, without.x(), before.output(), after.output(), epsilon, condition);
      checkGrowth(
          where + ", reference pass",
          without.reference(),
          before.referenceOutput(),
          after.referenceOutput(),
          epsilon,
          condition);
    }
  }

  /** The s of an output is how much closer than in x two elements of a group lie in y. */
  private void checkGrowth(
      String where,
      HostTensor x,
      HostTensor without,
      HostTensor with,
      double epsilon,
      double condition) {
    double[] squares = squaresOfS(x, with);
    double[] growth = squaresOfS(x, without);
    Arrays.setAll(growth, i -> squares[i] - growth[i]);
    double[] expected = new double[growth.length];
    Arrays.fill(expected, epsilon);
    // Either output has an error, which counts twice in a square.
    subject()
        .tolerance(DType.FLOAT32, 4 * largest(squares), condition)
        .assertClose(
            "growth of s^2 with epsilon" + where,
            expected,
            growth,
            "s = sqrt(v + epsilon), not sqrt(v) + epsilon and not max(v, epsilon).");
  }

  /** By the farthest two positions of each example and feature. */
  private static double[] squaresOfS(HostTensor x, HostTensor y) {
    int positions = (int) x.shape()[2];
    double[] squares = new double[x.size() / positions];
    for (int i = 0; i < squares.length; i++) {
      int least = i * positions;
      int most = least;
      for (int j = i * positions; j < (i + 1) * positions; j++) {
        least = x.get(j) < x.get(least) ? j : least;
        most = x.get(j) > x.get(most) ? j : most;
      }
      double s = (x.get(most) - x.get(least)) / (y.get(most) - y.get(least));
      squares[i] = s * s;
    }
    return squares;
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.MIXED_STATISTICS)
  final void mixedStatisticsAreReturned(Variant variant) {
    String hint = "Live calls return (m, v), per example in PER_EXAMPLE. " + FORMULA;
    for (Case c : LayoutCases.of(variant)) {
      for (DType dtype : dtypes()) {
        Agreement.of(subject(), c, dtype).mixedStatistics(hint);
      }
    }
    for (GoldenCase golden : GoldenCase.of(variant)) {
      if (golden.has("mean")) {
        double condition = golden.expected().condition;
        for (DType dtype : goldenTypes()) {
          Subject.Outcome outcome = subject().outcome(golden.input(), dtype);
          golden.check(subject(), "mean", outcome.mixedMean(), dtype, condition, hint);
          golden.check(subject(), "mean_square", outcome.mixedMeanSquare(), dtype, condition, hint);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SCALE_AND_CENTER)
  final void gammaMultipliesAndBetaIsAdded(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case full = new Samples(25).of(config, new long[] {3, 3, 4}, new long[] {4, 3, 4});
    Case bare = full.bare();
    for (DType dtype : dtypes()) {
      Subject.Outcome normalised = subject().outcome(bare, dtype);
      for (Case c : List.of(
          full, full.withParameters(full.gamma(), null), full.withParameters(null, full.beta()))) {
        Subject.Outcome outcome = subject().outcome(c, dtype);
        double condition = Oracle.expect(c, dtype).condition;
        String where = " of " + c.describe() + ", in " + dtype;
        checkAffine("output" + where, c, normalised.output(), outcome.output(), dtype, condition);
        checkAffine(
            "reference output" + where,
            c,
            normalised.referenceOutput(),
            outcome.referenceOutput(),
            dtype,
            condition);
      }
    }
  }

  private void checkAffine(
      String what, Case c, HostTensor xh, HostTensor actual, DType dtype, double condition) {
    Case rounded = c.roundedTo(dtype);
    Geometry geometry = Geometry.of(xh.shape(), c.config().featureAxis());
    double[] expected = new double[xh.size()];
    double magnitude = 0;
    for (int i = 0; i < expected.length; i++) {
      int feature = (int) (i / geometry.after() % geometry.features());
      double product =
          xh.get(i) * (rounded.gamma() == null ? 1 : rounded.gamma().get(feature));
      double beta = rounded.beta() == null ? 0 : rounded.beta().get(feature);
      expected[i] = product + beta;
      magnitude = Math.max(magnitude, Math.abs(product) + Math.abs(beta));
    }
    // Twice, for xh is a result as well.
    subject()
        .tolerance(dtype, 2 * magnitude, condition)
        .assertClose(
            what,
            expected,
            actual,
            "y = gamma*xh + beta; gamma is 1 and beta 0 where null, which gave xh.");
  }

  @ParameterizedTest
  @EnumSource(names = {"PER_EXAMPLE", "BATCH", "POOLED"})
  @Checks(Rule.LEAVE_ONE_OUT)
  final void oneLiveExampleIsBatchNormOverReferenceAndExample(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    checkLiveRowsOfBatchNorm(new Samples(26)
        .of(config, new long[] {1, 3, 5}, new long[] {6, 3, 5})
        .roundedTo(DType.FLOAT32));
  }

  static Stream<Arguments> pooledShapes() {
    return Stream.of(
        Arguments.of(new long[] {4, 3}, new long[] {6, 3}),
        Arguments.of(new long[] {4, 3, 5}, new long[] {7, 3, 5}),
        Arguments.of(new long[] {7, 3, 2, 2}, new long[] {1, 3, 2, 2}));
  }

  @ParameterizedTest
  @MethodSource("pooledShapes")
  @Checks(Rule.POOLED)
  final void pooledIsBatchNormOverReferenceAndLiveBatch(long[] live, long[] reference) {
    checkLiveRowsOfBatchNorm(new Samples(27)
        .of(VbnConfig.of(3).withVariant(Variant.POOLED), live, reference)
        .roundedTo(DType.FLOAT32));
  }

  /** The reference pass over the concatenation is batch norm, and its last rows the live batch. */
  private void checkLiveRowsOfBatchNorm(Case c) {
    Case together = c.withReference(Layouts.concatenate(c.reference(), c.x()));
    double[] all = subject().run(together, DType.FLOAT32).referenceOutput().toDoubles();
    double[] expected = Arrays.copyOfRange(all, c.reference().size(), all.length);
    subject()
        .tolerance(DType.FLOAT32, largest(expected), Oracle.expect(c).condition)
        .assertClose(
            "live output of " + c.describe(),
            expected,
            subject().output(c, DType.FLOAT32),
            "It equals the live rows of batch norm over reference and live batch.");
  }

  @ParameterizedTest
  @EnumSource(names = {"PER_EXAMPLE", "REFERENCE_ONLY"})
  @Checks(Rule.COMPANIONS)
  final void anExampleDoesNotDependOnItsCompanions(Variant variant) {
    for (long positions : new long[] {1, 5, 1025}) {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case c =
          new Samples(28).of(config, new long[] {17, 3, positions}, new long[] {5, 3, positions});
      for (DType dtype : dtypes()) {
        Subject.Outcome all = subject().run(c, dtype);
        for (int example : new int[] {0, 7, 16}) {
          Subject.Outcome alone = subject()
              .run(
                  c.withLive(
                      Layouts.examples(c.x(), example), Layouts.examples(c.upstream(), example)),
                  dtype);
          String where = variant.label() + " of example " + example + " in " + dtype;
          String hint = "Statistics of this variant never see another example of the batch.";
          assertSameBits(where, Layouts.examples(all.output(), example), alone.output(), hint);
          assertSameBits("dx, " + where, Layouts.examples(all.dx(), example), alone.dx(), hint);
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LAYOUT)
  final void channelsLastIsChannelsFirstTransposed(Variant variant) {
    for (long[] shape : new long[][] {{4, 3, 7, 5}, {4, 5, 5, 5}, {5, 5, 5, 5}}) {
      VbnConfig first = VbnConfig.of((int) shape[1]).withVariant(variant);
      Case channelsFirst = new Samples(29).of(first, shape, shape);
      Case channelsLast = new Case(
          first.withFeatureAxis(-1),
          Layouts.moveAxis(channelsFirst.x(), 1, 3),
          Layouts.moveAxis(channelsFirst.reference(), 1, 3),
          channelsFirst.gamma(),
          channelsFirst.beta(),
          Layouts.moveAxis(channelsFirst.upstream(), 1, 3));
      double[] expected =
          Layouts.moveAxis(subject().output(channelsFirst, DType.FLOAT32), 1, 3).toDoubles();
      double condition = Oracle.expect(channelsFirst).condition;
      subject()
          .tolerance(DType.FLOAT32, largest(expected), condition)
          .assertClose(
              variant.label() + " of channels-last " + Arrays.toString(shape),
              expected,
              subject().output(channelsLast, DType.FLOAT32),
              "Statistics, gamma and beta go along the feature axis, whatever its place.");
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.PERMUTATION)
  final void permutingExamplesPermutesOutputs(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case c = new Samples(30).of(config, new long[] {5, 3, 4}, new long[] {4, 3, 4});
    int[] order = {3, 0, 4, 1, 2};
    Case permuted =
        c.withLive(Layouts.examples(c.x(), order), Layouts.examples(c.upstream(), order));
    double[] expected =
        Layouts.examples(subject().output(c, DType.FLOAT32), order).toDoubles();
    subject()
        .tolerance(DType.FLOAT32, largest(expected), Oracle.expect(c).condition)
        .assertClose(
            variant.label() + " of permuted examples",
            expected,
            subject().output(permuted, DType.FLOAT32),
            "The order of examples carries no meaning.");
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.RESULT_FORM)
  final void resultsHaveTheStatedShapesAndTypes(Variant variant) {
    for (Case c : LayoutCases.of(variant)) {
      if (c.x().size() <= 1000) {
        for (DType dtype : dtypes()) {
          checkForm(subject(), c.roundedTo(dtype), dtype);
        }
      }
    }
  }

  private static <T> void checkForm(Subject<T> subject, Case c, DType dtype) {
    long features = c.config().features();
    long[] perFeature = {features};
    long[] mixed = c.config().variant().scope() == Scope.EXAMPLE
        ? new long[] {c.x().shape()[0], features}
        : perFeature;
    String where = " of " + c.describe() + ", in " + dtype;
    DType statisticsType = subject.backend.statisticsType();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T reference = made.of(c.reference(), dtype);
      try (ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference);
          Output<T> live = layer.forward(x, alone)) {
        subject.assertForm("output" + where, c.x().shape(), dtype, live.output());
        subject.assertForm("reference output" + where, c.reference().shape(), dtype, pass.output());
        for (ReferenceStatistics<T> statistics : List.of(pass.statistics(), alone)) {
          subject.assertForm(
              "reference mean" + where, perFeature, statisticsType, statistics.mean());
          subject.assertForm(
              "reference variance" + where, perFeature, statisticsType, statistics.variance());
        }
        assertArrayEquals(
            mixed,
            layer.mixedStatistics(x, alone).variance().shape(),
            "shape of the live statistics" + where);
      }
    }
  }

  /** Golden inputs are values of 32 bits, and none of 16. */
  private List<DType> goldenTypes() {
    return dtypes().stream().filter(dtype -> dtype.precision() >= 24).toList();
  }
}
