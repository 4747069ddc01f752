package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertClose;
import static dev.vbn.conformance.Tolerance.bound;
import static dev.vbn.conformance.Tolerance.largest;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.DType;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Oracle.Expected;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Statistics of the reference batch. */
abstract class StatisticsRules extends Rules {
  private static final String HINT =
      "Reference statistics are the mean and the biased variance over batch and positions.";

  StatisticsRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  final void varianceIsBiased() {
    VbnConfig config = VbnConfig.of(1);
    HostTensor pair = HostTensor.of(new float[] {1, 3}, 2, 1);
    Subject.Outcome outcome = subject()
        .run(
            new Case(
                config,
                pair,
                pair,
                HostTensor.of(new float[] {1}, 1),
                HostTensor.of(new float[] {0}, 1),
                pair),
            DType.FLOAT32);
    assertClose("mean of [1,3]", new double[] {2}, outcome.referenceMean(), 0, HINT);
    assertClose("variance of [1,3]", new double[] {1}, outcome.referenceVariance(), 0, HINT);
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  final void statisticsOfTheReferencePassAndAloneAgreeWithTheOracle(DType dtype) {
    Case c = new Samples(11)
        .of(VbnConfig.of(5), new long[] {2, 5, 3}, new long[] {7, 5, 129})
        .roundedTo(dtype);
    Expected expected = Oracle.expect(c);
    Subject.Outcome outcome = subject().run(c, dtype);
    double mean = bound(dtype, largest(expected.referenceMean), expected.condition);
    double variance = bound(dtype, largest(expected.referenceVariance), expected.condition);
    assertClose(
        "mean of the reference pass", expected.referenceMean, outcome.referenceMean(), mean, HINT);
    assertClose(
        "variance of the reference pass",
        expected.referenceVariance,
        outcome.referenceVariance(),
        variance,
        HINT);
    checkAlone(subject(), c, dtype, expected, mean, variance);
  }

  private static <T> void checkAlone(
      Subject<T> subject, Case c, DType dtype, Expected expected, double mean, double variance) {
    subject.withLayer(c, dtype, (layer, reference) -> {
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        assertClose("mean", expected.referenceMean, statistics.mean(), mean, HINT);
        assertClose("variance", expected.referenceVariance, statistics.variance(), variance, HINT);
        assertEquals(7, statistics.examples(), "examples of the reference batch");
        assertEquals(7 * 129, statistics.elements(), "elements of one feature");
      }
      return true;
    });
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  final void anySplitOfTheReferenceBatchGivesTheSameStatistics(DType dtype) {
    Case c = new Samples(12)
        .of(VbnConfig.of(3), new long[] {2, 3, 4}, new long[] {9, 3, 4})
        .roundedTo(dtype);
    checkSplit(subject(), c, dtype, Oracle.expect(c));
  }

  private static <T> void checkSplit(Subject<T> subject, Case c, DType dtype, Expected expected) {
    int[][] chunks = {{0}, {1, 2, 3, 4, 5}, {6, 7}, {8}};
    subject.withLayer(c, dtype, (layer, reference) -> {
      List<T> tensors = Arrays.stream(chunks)
          .map(chunk -> subject.tensor(Layouts.examples(c.reference(), chunk), dtype))
          .toList();
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(tensors)) {
        assertClose(
            "mean over chunks",
            expected.referenceMean,
            statistics.mean(),
            bound(dtype, largest(expected.referenceMean), expected.condition),
            HINT);
        assertClose(
            "variance over chunks",
            expected.referenceVariance,
            statistics.variance(),
            bound(dtype, largest(expected.referenceVariance), expected.condition),
            "Merged variances hold the distance of the means too.");
        assertEquals(9, statistics.examples(), "examples of all chunks");
        assertEquals(36, statistics.elements(), "elements of one feature of all chunks");
      } finally {
        tensors.forEach(subject.backend::release);
      }
      return true;
    });
  }
}
