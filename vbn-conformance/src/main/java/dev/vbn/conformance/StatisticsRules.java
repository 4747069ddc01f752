package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** Statistics of the reference batch. */
abstract class StatisticsRules extends Rules {
  StatisticsRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.BIASED_VARIANCE)
  final void varianceIsBiased() {
    holds(() -> {
      HostTensor pair = HostTensor.of(new float[] {1, 3}, 2, 1);
      Case c = new Case(VbnConfig.of(1), pair, pair, null, null, pair, pair);
      Computed computed = subject().run(c, DType.FLOAT32);
      Values variance = new Values(new double[] {1}, new double[] {1});
      for (Quantity each : List.of(Quantity.VARIANCE, Quantity.LONE_VARIANCE)) {
        subject()
            .tolerance
            .assertClose(
                each.label(),
                variance,
                computed.of(each),
                DType.FLOAT32,
                "The variance of [1, 3] is 1: divide by n, not by n - 1.");
      }
    });
  }

  @Test
  @Checks(Rule.STATISTICS)
  final void statistics() {
    agrees(Quantity.MEAN, Quantity.VARIANCE, Quantity.LONE_MEAN, Quantity.LONE_VARIANCE);
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.SPLIT)
  final void anySplitOfTheReferenceBatchGivesTheSameStatistics(DType dtype) {
    holds(() -> {
      Case c = new Samples(12).of(VbnConfig.of(3), new long[] {2, 3, 4}, new long[] {9, 3, 4});
      checkSplit(subject(), c, dtype);
    });
  }

  private static <T> void checkSplit(Subject<T> subject, Case c, DType dtype) {
    Expected expected = subject.expect(c, dtype);
    int[][] chunks = {{0}, {1, 2, 3, 4, 5}, {6, 7}, {8}};
    String hint = "A chunk's statistics are those of the chunk alone, its variance biased.";
    DType unit = dtype.parameterType();
    try (Tensors<T> made = subject.tensors()) {
      List<T> tensors = Arrays.stream(chunks)
          .map(chunk -> made.of(Layouts.examples(c.reference(), chunk), dtype))
          .toList();
      VirtualBatchNorm<T> layer = VirtualBatchNorm.of(subject.backend, c.config());
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(tensors)) {
        HostTensor mean = subject.host(statistics.mean());
        HostTensor variance = subject.host(statistics.variance());
        subject.tolerance.assertClose(
            "mean over chunks", expected.of(Quantity.MEAN).scaled(2), mean, unit, hint);
        subject.tolerance.assertClose(
            "variance over chunks", expected.of(Quantity.VARIANCE).scaled(2), variance, unit, hint);
        assertEquals(9, statistics.examples(), "examples of all chunks");
        assertEquals(36, statistics.elements(), "elements of one feature of all chunks");
      }
    }
  }
}
