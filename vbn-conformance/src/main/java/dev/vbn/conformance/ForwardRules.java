package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertClose;
import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.bound;
import static dev.vbn.conformance.Tolerance.largest;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Oracle.Expected;
import java.util.Arrays;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Outputs and mixed statistics, by worked values, golden cases, oracle and laws. */
abstract class ForwardRules extends Rules {
  private static final String FORMULA =
      "y = gamma*(x - m)/sqrt(v + epsilon) + beta, with m = mr + w*d and"
          + " v = (1-w)*vr + w*va + w*(1-w)*d*d, d = ma - mr.";

  ForwardRules(VbnConformance kit) {
    super(kit);
  }

  static Stream<Arguments> workedValues() {
    return Stream.of(
        Arguments.of(Variant.PER_EXAMPLE, 1.224744871391589, 1.224744871391589),
        Arguments.of(Variant.BATCH, 1.224744871391589, 1.5666989036012806),
        Arguments.of(Variant.POOLED, 1.224744871391589, 1.3416407864998738),
        Arguments.of(Variant.LIVE_BATCH, 0.9045340337332909, 1.5666989036012806),
        Arguments.of(Variant.REFERENCE_ONLY, 3.0, 3.0));
  }

  /** Reference [1,3], gamma 1, beta 0, and an epsilon that leaves no trace. */
  @ParameterizedTest
  @MethodSource("workedValues")
  final void workedValues(Variant variant, double ofFive, double ofPair) {
    checkWorked(variant, new double[] {ofFive}, 5);
    checkWorked(variant, new double[] {ofPair, -ofPair}, 5, -1);
  }

  private void checkWorked(Variant variant, double[] expected, float... live) {
    HostTensor x = HostTensor.of(live, live.length, 1);
    Case c = new Case(
        VbnConfig.of(1).withVariant(variant).withEpsilon(1e-30),
        x,
        HostTensor.of(new float[] {1, 3}, 2, 1),
        HostTensor.of(new float[] {1}, 1),
        HostTensor.of(new float[] {0}, 1),
        x);
    assertClose(
        variant.label() + " of live " + Arrays.toString(live),
        expected,
        subject().output(c, DType.FLOAT32),
        bound(DType.FLOAT32, 3, 1),
        FORMULA + " Look at the weight w and at the scope of ma and va.");
  }

  static Stream<String> goldenNames() {
    return GoldenCase.names();
  }

  @ParameterizedTest
  @MethodSource("goldenNames")
  final void goldenOutputs(String name) {
    GoldenCase golden = GoldenCase.load(name);
    Case c = golden.input();
    double condition = Oracle.expect(c).condition;
    for (DType dtype : dtypes()) {
      if (dtype != DType.FLOAT32 && dtype != DType.FLOAT64) {
        continue; // the inputs are no values of 16 bits
      }
      Subject.Outcome outcome = subject().run(c, dtype);
      checkGolden(golden, "y", outcome.output().toDoubles(), dtype, condition);
      checkGolden(golden, "ref_y", outcome.referenceOutput().toDoubles(), dtype, condition);
      if (golden.has("mean")) {
        double[] meanSquare = outcome.mixedVariance().toDoubles();
        for (int i = 0; i < meanSquare.length; i++) {
          meanSquare[i] += outcome.mixedMean().get(i) * outcome.mixedMean().get(i);
        }
        checkGolden(golden, "mean", outcome.mixedMean().toDoubles(), dtype, condition);
        checkGolden(golden, "mean_square", meanSquare, dtype, condition);
      }
    }
  }

  private static void checkGolden(
      GoldenCase golden, String array, double[] actual, DType dtype, double condition) {
    double[] expected = golden.expected(array);
    // In 64 bits the files' own error shows: they were made from E[x^2] - m^2 in part, which
    // loses the square of the condition.
    double lost = dtype == DType.FLOAT64 ? condition * condition : condition;
    assertClose(
        array + " of " + golden + " in " + dtype,
        expected,
        actual,
        bound(dtype, largest(expected), lost),
        FORMULA);
  }

  static Stream<Arguments> shapes() {
    return Stream.of(
            new long[][] {{5, 4}, {8, 4}, {1}},
            new long[][] {{4, 3, 7}, {6, 3, 5}, {1}},
            new long[][] {{4, 7, 3}, {6, 5, 3}, {2}},
            new long[][] {{4, 7, 3}, {6, 5, 3}, {-1}},
            new long[][] {{3, 4, 2, 5}, {2, 4, 3, 5}, {1}},
            new long[][] {{3, 2, 4, 5}, {2, 3, 4, 5}, {2}},
            new long[][] {{3, 2, 5, 4}, {2, 3, 5, 4}, {-1}},
            new long[][] {{2, 3, 2, 3, 2}, {3, 3, 2, 3, 2}, {1}},
            new long[][] {{2, 2, 3, 2, 3}, {3, 2, 3, 2, 3}, {2}},
            new long[][] {{2, 2, 2, 3, 3}, {3, 2, 2, 3, 3}, {-2}},
            new long[][] {{2, 2, 3, 2, 3}, {3, 2, 3, 2, 3}, {4}},
            new long[][] {{1, 1}, {1, 1}, {1}},
            new long[][] {{1, 2, 9}, {3, 2, 9}, {1}},
            new long[][] {{2, 3, 1025}, {3, 3, 1023}, {1}},
            new long[][] {{33, 17, 31}, {16, 17, 15}, {1}},
            new long[][] {{67, 31, 33}, {16, 15, 33}, {2}})
        .map(shapes -> Arguments.of(shapes[0], shapes[1], (int) shapes[2][0]));
  }

  @ParameterizedTest
  @MethodSource("shapes")
  final void everyVariantOnEveryLayoutAgreesWithTheOracle(
      long[] liveShape, long[] referenceShape, int featureAxis) {
    int axis = featureAxis < 0 ? featureAxis + liveShape.length : featureAxis;
    VbnConfig config = VbnConfig.of((int) liveShape[axis]).withFeatureAxis(featureAxis);
    Case drawn = new Samples(21).of(config, liveShape, referenceShape);
    for (DType dtype : dtypes()) {
      for (Variant variant : Variant.values()) {
        Case c = drawn.withConfig(config.withVariant(variant)).roundedTo(dtype);
        checkAgainstOracle(c, dtype, variant.label() + " in " + dtype);
      }
    }
  }

  private void checkAgainstOracle(Case c, DType dtype, String where) {
    Expected expected = Oracle.expect(c);
    Subject.Outcome outcome = subject().run(c, dtype);
    double condition = expected.condition;
    assertClose(
        "output of " + where,
        expected.output,
        outcome.output(),
        bound(dtype, largest(expected.output), condition),
        FORMULA);
    assertClose(
        "reference output of " + where,
        expected.referenceOutput,
        outcome.referenceOutput(),
        bound(dtype, largest(expected.referenceOutput), condition),
        "The reference pass is batch normalization in training.");
    assertClose(
        "mixed mean of " + where,
        expected.mixedMean,
        outcome.mixedMean(),
        bound(dtype, largest(expected.mixedMean), condition),
        FORMULA);
    assertClose(
        "mixed variance of " + where,
        expected.mixedVariance,
        outcome.mixedVariance(),
        bound(dtype, largest(expected.mixedVariance), condition),
        FORMULA);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  final void withoutScaleAndCenterGammaIsOneAndBetaZero(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case full = new Samples(22).of(config, new long[] {3, 3, 4}, new long[] {4, 3, 4});
    for (boolean scale : new boolean[] {true, false}) {
      for (boolean center : new boolean[] {true, false}) {
        Case c = full.withConfig(config.withScale(scale).withCenter(center));
        checkAgainstOracle(
            c, DType.FLOAT32, variant.label() + " with scale " + scale + " and center " + center);
      }
    }
  }

  /** Reference and one live example: the mixed statistics are those of all of them together. */
  @ParameterizedTest
  @EnumSource(names = {"PER_EXAMPLE", "BATCH", "POOLED"})
  final void oneLiveExampleIsBatchNormOverReferenceAndExample(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    checkLiveRowsOfBatchNorm(
        new Samples(23).of(config, new long[] {1, 3, 5}, new long[] {6, 3, 5}));
  }

  @ParameterizedTest
  @MethodSource("pooledShapes")
  final void pooledIsBatchNormOverReferenceAndLiveBatch(long[] liveShape, long[] referenceShape) {
    VbnConfig config = VbnConfig.of(3).withVariant(Variant.POOLED);
    checkLiveRowsOfBatchNorm(new Samples(24).of(config, liveShape, referenceShape));
  }

  static Stream<Arguments> pooledShapes() {
    return Stream.of(
        Arguments.of(new long[] {4, 3}, new long[] {6, 3}),
        Arguments.of(new long[] {4, 3, 5}, new long[] {7, 3, 5}),
        Arguments.of(new long[] {7, 3, 2, 2}, new long[] {1, 3, 2, 2}));
  }

  /** The reference pass over the concatenation is batch norm, and its last rows the live batch. */
  private void checkLiveRowsOfBatchNorm(Case c) {
    Case together = c.withReference(Layouts.concatenate(c.reference(), c.x()));
    double[] all = Oracle.expect(together).referenceOutput;
    double[] expected = Arrays.copyOfRange(all, c.reference().size(), all.length);
    assertClose(
        "live output",
        expected,
        subject().output(c, DType.FLOAT32),
        bound(DType.FLOAT32, largest(expected), Oracle.expect(c).condition),
        "It equals the live rows of batch normalization over reference and live batch. " + FORMULA);
  }

  @ParameterizedTest
  @EnumSource(names = {"PER_EXAMPLE", "REFERENCE_ONLY"})
  final void anExampleDoesNotDependOnItsCompanions(Variant variant) {
    for (long positions : new long[] {1, 5, 1025}) {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case c =
          new Samples(25).of(config, new long[] {17, 3, positions}, new long[] {5, 3, positions});
      for (DType dtype : dtypes()) {
        HostTensor all = subject().output(c, dtype);
        int size = all.size() / 17;
        for (int example : new int[] {0, 7, 16}) {
          Case alone =
              c.withLive(Layouts.examples(c.x(), example), Layouts.examples(c.upstream(), example));
          HostTensor inCompany = HostTensor.of(
              Arrays.copyOfRange(all.toDoubles(), example * size, (example + 1) * size), size);
          assertSameBits(
              variant.label() + " of example " + example + " in " + dtype,
              inCompany,
              subject().output(alone, dtype),
              "Statistics of this variant never see another example of the batch.");
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  final void channelsLastIsChannelsFirstTransposed(Variant variant) {
    // Axes of equal length too: there a wrong axis breaks no shape.
    for (long[] shape : new long[][] {{4, 3, 7, 5}, {4, 5, 5, 5}, {5, 5, 5, 5}}) {
      VbnConfig first = VbnConfig.of((int) shape[1]).withVariant(variant);
      Case channelsFirst = new Samples(26).of(first, shape, shape);
      Case channelsLast = new Case(
          first.withFeatureAxis(-1),
          Layouts.moveAxis(channelsFirst.x(), 1, 3),
          Layouts.moveAxis(channelsFirst.reference(), 1, 3),
          channelsFirst.gamma(),
          channelsFirst.beta(),
          Layouts.moveAxis(channelsFirst.upstream(), 1, 3));
      HostTensor expected = Layouts.moveAxis(subject().output(channelsFirst, DType.FLOAT32), 1, 3);
      assertClose(
          variant.label() + " of channels-last "
              + Arrays.toString(channelsLast.x().shape()),
          expected.toDoubles(),
          subject().output(channelsLast, DType.FLOAT32),
          bound(
              DType.FLOAT32, largest(expected.toDoubles()), Oracle.expect(channelsFirst).condition),
          "Statistics, gamma and beta go along the feature axis, whatever its place.");
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  final void permutingExamplesPermutesOutputs(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case c = new Samples(27).of(config, new long[] {5, 3, 4}, new long[] {4, 3, 4});
    int[] order = {3, 0, 4, 1, 2};
    Case permuted =
        c.withLive(Layouts.examples(c.x(), order), Layouts.examples(c.upstream(), order));
    double[] expected =
        Layouts.examples(subject().output(c, DType.FLOAT32), order).toDoubles();
    assertClose(
        variant.label() + " of permuted examples",
        expected,
        subject().output(permuted, DType.FLOAT32),
        bound(DType.FLOAT32, largest(expected), Oracle.expect(c).condition),
        "The order of examples carries no meaning.");
  }
}
