package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** Padded batches in a graph, held to the masks of the backend, which the kit holds. */
class VbnGraphMaskTest {
  private static final int FEATURES = 3;

  @BeforeEach
  void device() {
    VbnConformance.assumeDevice(new Nd4jProvider());
  }

  /** Shape, feature axis, lengths; of rank 2 those that count have 1. */
  static Stream<Arguments> batches() {
    return Stream.of(
            Arguments.of(new long[] {4, 3, 5}, 1, new long[] {5, 0, 2, 3}),
            Arguments.of(new long[] {4, 5, 3}, -1, new long[] {1, 5, 2, 3}),
            Arguments.of(new long[] {3, 2, 3, 4}, 2, new long[] {2, 0, 1}),
            Arguments.of(new long[] {3, 3, 4, 2}, 1, new long[] {1, 4, 3}),
            Arguments.of(new long[] {5, 3}, 1, new long[] {1, 0, 1, 1, 0}))
        .flatMap(each -> Stream.of(Variant.values())
            .map(variant -> Arguments.of(each.get()[0], each.get()[1], each.get()[2], variant)));
  }

  @ParameterizedTest
  @MethodSource("batches")
  void paddingHasNoEffect(long[] shape, int axis, long[] lengths, Variant variant) {
    boolean[] counts = counts(shape, axis, lengths);
    long[] withoutFeatures = withoutFeatures(shape, axis);
    HostTensor x = padded(drawn(1, shape), axis, counts, Double.NaN);
    HostTensor dy = padded(drawn(2, shape), axis, counts, Double.NaN);
    VbnConfig config = VbnConfig.of(FEATURES).withFeatureAxis(axis).withVariant(variant);
    LayerState state = new LayerState(
        config,
        drawn(3, FEATURES),
        drawn(4, FEATURES),
        ReferenceMoments.of(new double[] {1, 2, 3}, new double[] {0.5, 1, 2}, 6, 11));
    try (VbnBackend<INDArray> backend = VbnBackend.open(new Nd4jProvider());
        VirtualBatchNorm<INDArray> layer = state.layer(backend);
        ReferenceStatistics<INDArray> statistics = state.statistics(backend)) {
      INDArray batch = backend.fromHost(x, DType.FLOAT64);
      INDArray upstream = backend.fromHost(dy, DType.FLOAT64);
      VirtualBatchNorm<INDArray> masked = layer.withMask(Mask.of(counts, withoutFeatures));
      try (Output<INDArray> expected = masked.forward(batch, statistics);
          Gradients<INDArray> gradients = masked.backward(batch, statistics, upstream)) {
        INDArray mask = Nd4j.createFromArray(counts).reshape(withoutFeatures);
        check(state, batch, upstream, mask, expected, gradients);
        INDArray halves = mask.castTo(DataType.FLOAT).mul(0.5);
        check(state, batch, upstream, halves, expected, gradients);
        if (shape.length > 2) {
          check(state, batch, upstream, Nd4j.createFromArray(lengths), expected, gradients);
        }
      }
    }
  }

  private static void check(
      LayerState state,
      INDArray x,
      INDArray upstream,
      INDArray counts,
      Output<INDArray> expected,
      Gradients<INDArray> gradients) {
    SameDiff graph = SameDiff.create();
    VbnGraph.setState(graph, "", state);
    SDVariable input = graph.var("x", x);
    SDVariable given = graph.placeHolder("counts", counts.dataType(), open(counts.rank()));
    SDVariable output = VbnGraph.normalize(input, given, "");
    Map<String, INDArray> fed = Map.of("counts", counts);
    assertArrayEquals(
        doubles(expected.output()),
        doubles(graph.output(fed, output.name()).get(output.name())),
        1e-12);
    graph.setLossVariables(output.mul(graph.constant(upstream)).sum().name());
    Map<String, INDArray> actual = graph.calculateGradients(fed, "x", "gamma", "beta");
    assertArrayEquals(doubles(gradients.dx()), doubles(actual.get("x")), 1e-11, "dx");
    assertArrayEquals(doubles(gradients.dgamma()), doubles(actual.get("gamma")), 1e-11, "dgamma");
    assertArrayEquals(doubles(gradients.dbeta()), doubles(actual.get("beta")), 1e-11, "dbeta");
  }

  private static long[] open(int rank) {
    long[] shape = new long[rank];
    Arrays.fill(shape, -1);
    return shape;
  }

  @Test
  void openLengthsAreThoseOfTheBatchThatComes() {
    VbnConfig config = VbnConfig.of(FEATURES);
    LayerState state = new LayerState(
        config, null, null, ReferenceMoments.of(new double[3], new double[] {1, 1, 1}, 6, 11));
    SameDiff graph = SameDiff.create();
    VbnGraph.setState(graph, "", state);
    SDVariable x = graph.placeHolder("x", DataType.FLOAT, -1, 3, -1);
    SDVariable lengths = graph.placeHolder("lengths", DataType.INT32, -1);
    SDVariable output = VbnGraph.normalize(x.mul(2), 3, lengths, "");
    try (VbnBackend<INDArray> backend = VbnBackend.open(new Nd4jProvider());
        VirtualBatchNorm<INDArray> layer = state.layer(backend);
        ReferenceStatistics<INDArray> statistics = state.statistics(backend)) {
      for (long[] own : new long[][] {{2, 1}, {4, 0, 3, 1}}) {
        INDArray batch = backend.fromHost(drawn(5, own.length, 3, 4), DType.FLOAT32);
        int[] ints = Arrays.stream(own).mapToInt(each -> (int) each).toArray();
        Map<String, INDArray> fed = Map.of("x", batch, "lengths", Nd4j.createFromArray(ints));
        try (Output<INDArray> expected =
            layer.withMask(Mask.lengths(own)).forward(batch.mul(2), statistics)) {
          INDArray actual = graph.outputSingle(fed, output.name());
          assertEquals(DataType.FLOAT, actual.dataType());
          assertArrayEquals(doubles(expected.output()), doubles(actual), 1e-6);
        }
      }
    }
  }

  @Test
  void countsOfAnotherFormAreRefused() {
    SameDiff graph = SameDiff.create();
    VbnGraph.setState(
        graph,
        "",
        new LayerState(
            VbnConfig.of(FEATURES),
            null,
            null,
            ReferenceMoments.of(new double[3], new double[] {1, 1, 1}, 6, 11)));
    SDVariable x = graph.placeHolder("x", DataType.FLOAT, -1, 3, 4);
    SDVariable flat = graph.placeHolder("flat", DataType.FLOAT, -1, 3);
    assertRefused(x, graph.placeHolder("a", DataType.INT16, -1, 4), "'a' is SHORT");
    assertRefused(x, graph.placeHolder("e", DataType.FLOAT, -1), "'e' has shape [-1]");
    assertRefused(x, graph.placeHolder("b", DataType.INT32, -1, 4), "'b' has shape [-1, 4]");
    assertRefused(x, graph.placeHolder("c", DataType.BOOL, -1, 3, 4), "'c' has shape [-1, 3, 4]");
    assertRefused(flat, graph.placeHolder("d", DataType.INT32, -1), "'d' has shape [-1]");
  }

  private static void assertRefused(SDVariable x, SDVariable counts, String fragment) {
    IllegalArgumentException refusal =
        assertThrows(IllegalArgumentException.class, () -> VbnGraph.normalize(x, counts, ""));
    assertTrue(refusal.getMessage().contains(fragment), refusal.getMessage());
  }

  private static long[] withoutFeatures(long[] shape, int axis) {
    int features = axis < 0 ? axis + shape.length : axis;
    long[] rest = new long[shape.length - 1];
    Arrays.setAll(rest, i -> shape[i < features ? i : i + 1]);
    return rest;
  }

  /** Of positions in the order of the batch without the features. */
  private static boolean[] counts(long[] shape, int axis, long[] lengths) {
    long[] rest = withoutFeatures(shape, axis);
    int positions = 1;
    for (int i = 1; i < rest.length; i++) {
      positions *= (int) rest[i];
    }
    int inner = rest.length < 2 ? 1 : positions / (int) rest[1];
    boolean[] counts = new boolean[(int) shape[0] * positions];
    for (int i = 0; i < counts.length; i++) {
      counts[i] = i % positions / inner < lengths[i / positions];
    }
    return counts;
  }

  private static HostTensor padded(HostTensor tensor, int axis, boolean[] counts, double junk) {
    long[] shape = tensor.shape();
    int features = axis < 0 ? axis + shape.length : axis;
    int after = 1;
    for (int i = features + 1; i < shape.length; i++) {
      after *= (int) shape[i];
    }
    double[] values = tensor.toDoubles();
    for (int i = 0; i < values.length; i++) {
      int position = i / after / FEATURES * after + i % after;
      values[i] = counts[position] ? values[i] : junk;
    }
    return HostTensor.of(values, shape);
  }

  private static HostTensor drawn(long seed, long... shape) {
    int size = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
    return HostTensor.of(new Random(seed).doubles(size, 0.5, 3).toArray(), shape);
  }

  private static double[] doubles(INDArray array) {
    return array.castTo(DataType.DOUBLE).dup('c').data().asDouble();
  }
}
