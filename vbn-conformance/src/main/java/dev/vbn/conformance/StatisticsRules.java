package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.EXACT;
import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.largest;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Oracle.Expected;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Statistics of the reference batch. */
abstract class StatisticsRules extends Rules {
  private static final String HINT =
      "Reference statistics are the mean and the biased variance over batch and positions.";
  private static final VbnConfig ONE_FEATURE = VbnConfig.of(1);

  StatisticsRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.BIASED_VARIANCE)
  final void varianceIsBiased() {
    HostTensor pair = HostTensor.of(new float[] {1, 3}, 2, 1);
    Case c = new Case(ONE_FEATURE, pair, pair, null, null, pair);
    String hint = "The variance of [1, 3] is 1: divide by n, not by n - 1.";
    Subject.Outcome outcome = subject().run(c, DType.FLOAT32);
    EXACT.assertClose("mean", new double[] {2}, outcome.referenceMean(), hint);
    EXACT.assertClose("variance", new double[] {1}, outcome.referenceVariance(), hint);
    checkAlone(subject(), c, DType.FLOAT32, EXACT, EXACT, hint);
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.STATISTICS)
  final void statisticsAgreeWithTheOracleOnEveryLayout(DType dtype) {
    for (Case c : LayoutCases.of(Variant.LIVE_BATCH)) {
      Expected expected = Agreement.of(subject(), c, dtype).referenceStatistics(HINT).expected;
      checkAlone(
          subject(),
          c,
          dtype,
          subject().tolerance(dtype, expected.meanScale, expected.condition),
          subject().tolerance(dtype, largest(expected.referenceVariance), expected.condition),
          HINT);
    }
  }

  /** The statistics taken without normalising. */
  private static <T> void checkAlone(
      Subject<T> subject, Case c, DType dtype, Tolerance mean, Tolerance variance, String hint) {
    Expected expected = Oracle.expect(c, dtype);
    Case rounded = c.roundedTo(dtype);
    try (Tensors<T> made = subject.tensors();
        ReferenceStatistics<T> statistics =
            made.layer(rounded, dtype).referenceStatistics(made.of(rounded.reference(), dtype))) {
      mean.assertClose(
          "mean taken alone", expected.referenceMean, subject.host(statistics.mean()), hint);
      variance.assertClose(
          "variance taken alone",
          expected.referenceVariance,
          subject.host(statistics.variance()),
          hint);
      long elements = c.referenceGeometry().elementsPerFeature();
      assertEquals(elements, statistics.elements(), "elements of one feature");
    }
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.SPLIT)
  final void anySplitOfTheReferenceBatchGivesTheSameStatistics(DType dtype) {
    VbnConfig config = VbnConfig.of(3);
    Case c = new Samples(12).of(config, new long[] {2, 3, 4}, new long[] {9, 3, 4});
    checkSplit(subject(), c.roundedTo(dtype), dtype);
  }

  private static <T> void checkSplit(Subject<T> subject, Case c, DType dtype) {
    Expected expected = Oracle.expect(c);
    int[][] chunks = {{0}, {1, 2, 3, 4, 5}, {6, 7}, {8}};
    String hint = "A chunk's statistics are those of the chunk alone, its variance biased.";
    try (Tensors<T> made = subject.tensors()) {
      List<T> tensors = Arrays.stream(chunks)
          .map(chunk -> made.of(Layouts.examples(c.reference(), chunk), dtype))
          .toList();
      try (ReferenceStatistics<T> statistics = made.layer(c, dtype).referenceStatistics(tensors)) {
        subject
            .tolerance(dtype, expected.meanScale, expected.condition)
            .assertClose(
                "mean over chunks", expected.referenceMean, subject.host(statistics.mean()), hint);
        subject
            .tolerance(dtype, largest(expected.referenceVariance), expected.condition)
            .assertClose(
                "variance over chunks",
                expected.referenceVariance,
                subject.host(statistics.variance()),
                hint);
        assertEquals(9, statistics.examples(), "examples of all chunks");
        assertEquals(36, statistics.elements(), "elements of one feature of all chunks");
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.STATISTICS_STAY)
  final void liveCallsLeaveTheReferenceStatistics(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    checkStay(
        subject(),
        new Samples(13)
            .of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5})
            .roundedTo(DType.FLOAT32));
  }

  private static <T> void checkStay(Subject<T> subject, Case c) {
    try (Tensors<T> made = subject.tensors()) {
      T x = made.of(c.x(), DType.FLOAT32);
      T upstream = made.of(c.upstream(), DType.FLOAT32);
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      try (ReferenceStatistics<T> statistics =
          layer.referenceStatistics(made.of(c.reference(), DType.FLOAT32))) {
        HostTensor mean = subject.host(statistics.mean());
        HostTensor variance = subject.host(statistics.variance());
        for (int call = 1; call <= 3; call++) {
          layer.forward(x, statistics).close();
          layer.backward(x, statistics, upstream).close();
          String hint =
              "They changed with live call " + call + "; only a reference batch sets them.";
          assertSameBits("reference mean", mean, subject.host(statistics.mean()), hint);
          assertSameBits("reference variance", variance, subject.host(statistics.variance()), hint);
        }
      }
    }
  }

  /**
   * Rows of 2^22 whose mean and variance are exact by construction: one value throughout, and two
   * in turn. Summed one by one in 32 bits they come out at 0.099 and at anything.
   */
  @ParameterizedTest
  @ValueSource(floats = {0.1f, 0x1p20f})
  @Checks(Rule.LONG_ROWS)
  final void aRowOfFourMillionElementsKeepsItsStatistics(float center) {
    float[] row = new float[1 << 22];
    float step = center == 0.1f ? 0 : 0.5f;
    for (int i = 0; i < row.length; i++) {
      row[i] = center + (i % 2 == 0 ? step : -step);
    }
    checkLongRow(subject(), row, center, step * step);
  }

  private static <T> void checkLongRow(
      Subject<T> subject, float[] row, double mean, double variance) {
    HostTensor small = HostTensor.of(new float[] {0}, 1, 1);
    Case c = new Case(ONE_FEATURE, small, HostTensor.of(row, 1, 1, row.length), null, null, small);
    String hint = "Sum in 64 bits, in blocks or pairwise, around a shift.";
    try (Tensors<T> made = subject.tensors();
        ReferenceStatistics<T> statistics = made.layer(c, DType.FLOAT32)
            .referenceStatistics(made.of(c.reference(), DType.FLOAT32))) {
      subject
          .tolerance(DType.FLOAT32, mean, 0)
          .assertClose(
              "mean of a long row", new double[] {mean}, subject.host(statistics.mean()), hint);
      Tolerance.absolute(Math.scalb(1.0, -20))
          .assertClose(
              "variance of a long row",
              new double[] {variance},
              subject.host(statistics.variance()),
              hint);
    }
  }
}
