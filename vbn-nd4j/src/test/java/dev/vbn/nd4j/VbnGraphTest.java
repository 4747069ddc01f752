package dev.vbn.nd4j;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** Automatic differentiation of the graph against the explicit gradients, which the kit holds. */
class VbnGraphTest {
  private static INDArray normal(VbnBackend<INDArray> backend, long seed, long... shape) {
    Random random = new Random(seed);
    int size = 1;
    for (long length : shape) {
      size *= (int) length;
    }
    double[] values = random.doubles(size, 0.5, 2).toArray();
    return backend.fromHost(HostTensor.of(values, shape), DType.FLOAT64);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void gradientsAreTheExplicitOnes(Variant variant) {
    VbnConformance.assumeDevice(new Nd4jProvider());
    try (VbnBackend<INDArray> backend = VbnBackend.open(new Nd4jProvider())) {
      VbnConfig config =
          VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
      INDArray gamma = normal(backend, 1, 3);
      INDArray beta = normal(backend, 2, 3);
      INDArray x = normal(backend, 3, 4, 3, 5);
      INDArray dy = normal(backend, 4, 4, 3, 5);
      VirtualBatchNorm<INDArray> layer =
          VirtualBatchNorm.of(backend, config).withGamma(gamma).withBeta(beta);
      ReferenceStatistics<INDArray> statistics =
          layer.referenceStatistics(normal(backend, 5, 6, 3, 5));
      Geometry geometry = Geometry.of(x.shape(), 1);
      double weight = variant.weight(
          4, geometry.elementsPerFeature(), statistics.examples(), statistics.elements());
      Differentiated<INDArray> expected = backend
          .unwrap(Nd4jKernels.class)
          .backward(
              x,
              dy,
              new Normalization(
                  geometry, variant.scope(), weight, config.epsilon(), ReferenceGradient.ATTACHED),
              new Moments<>(statistics.mean(), statistics.variance()),
              gamma,
              null);
      Moments<INDArray> dreference = requireNonNull(expected.dreference());

      SameDiff graph = SameDiff.create();
      SDVariable input = graph.var("x", x);
      SDVariable mean = graph.var("mean", statistics.mean());
      SDVariable variance = graph.var("variance", statistics.variance());
      SDVariable output = VbnGraph.normalize(
          input,
          new Moments<>(mean, variance),
          statistics.examples(),
          statistics.elements(),
          graph.var("gamma", gamma),
          graph.var("beta", beta),
          config);
      assertArrayEquals(
          doubles(layer.forward(x, statistics).output()), doubles(output.eval()), 1e-12);
      graph.setLossVariables(output.mul(graph.constant(dy)).sum().name());
      Map<String, INDArray> actual =
          graph.calculateGradients(Map.of(), "x", "gamma", "beta", "mean", "variance");
      assertArrayEquals(doubles(expected.dx()), doubles(actual.get("x")), 1e-11, "dx");
      assertArrayEquals(doubles(expected.dgamma()), doubles(actual.get("gamma")), 1e-11, "dgamma");
      assertArrayEquals(doubles(expected.dbeta()), doubles(actual.get("beta")), 1e-11, "dbeta");
      assertArrayEquals(doubles(dreference.mean()), doubles(actual.get("mean")), 1e-11, "dmr");
      assertArrayEquals(
          doubles(dreference.variance()), doubles(actual.get("variance")), 1e-11, "dvr");
    }
  }

  /**
   * The code of docs/ND4J.md on floats far from zero: ND4J's own means of them err, its types are not
   * promoted, and a bare vector lies along the last axis.
   */
  @Test
  void floatsFarFromZeroKeepTheirDeviationsInTheGraph() {
    VbnConformance.assumeDevice(new Nd4jProvider());
    try (VbnBackend<INDArray> backend = VbnBackend.open(new Nd4jProvider())) {
      INDArray gamma = normal(backend, 1, 3).castTo(DataType.FLOAT);
      INDArray beta = normal(backend, 2, 3).castTo(DataType.FLOAT);
      INDArray batch = normal(backend, 3, 4, 3, 3).add(1000).castTo(DataType.FLOAT);
      VirtualBatchNorm<INDArray> layer =
          VirtualBatchNorm.of(backend, VbnConfig.of(3)).withGamma(gamma).withBeta(beta);
      ReferenceStatistics<INDArray> statistics =
          layer.referenceStatistics(normal(backend, 5, 6, 3, 3).add(1000).castTo(DataType.FLOAT));
      INDArray mean = statistics.mean();
      INDArray variance = statistics.variance();
      long examples = statistics.examples();
      long elements = statistics.elements();

      SameDiff graph = SameDiff.create();
      SDVariable y = VbnGraph.normalize(
          graph.placeHolder("x", DataType.FLOAT, -1, 3, 3),
          new Moments<>(graph.constant(mean), graph.constant(variance)),
          examples,
          elements,
          graph.var("gamma", gamma),
          graph.var("beta", beta),
          VbnConfig.of(3));
      INDArray output = graph.outputSingle(Map.of("x", batch), y.name());

      assertEquals(DataType.FLOAT, output.dataType());
      assertArrayEquals(doubles(layer.forward(batch, statistics).output()), doubles(output), 1e-6);
    }
  }

  /** One graph for batches of any number of examples and positions, as DL4J's layers are given. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void openLengthsAreThoseOfTheBatchThatComes(Variant variant) {
    VbnConformance.assumeDevice(new Nd4jProvider());
    try (VbnBackend<INDArray> backend = VbnBackend.open(new Nd4jProvider())) {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      VirtualBatchNorm<INDArray> layer =
          VirtualBatchNorm.of(backend, config).withGamma(normal(backend, 1, 3));
      ReferenceStatistics<INDArray> statistics =
          layer.referenceStatistics(normal(backend, 5, 6, 3, 5));
      SameDiff graph = SameDiff.create();
      SDVariable x = graph.placeHolder("x", DataType.DOUBLE, -1, 3, -1);
      Moments<SDVariable> reference =
          new Moments<>(graph.constant(statistics.mean()), graph.constant(statistics.variance()));
      SDVariable gamma = graph.var("gamma", normal(backend, 1, 3));
      SDVariable direct = VbnGraph.normalize(
          x, reference, statistics.examples(), statistics.elements(), gamma, null, config);
      SDVariable behind = VbnGraph.normalize(
          x.mul(2),
          3,
          reference,
          statistics.examples(),
          statistics.elements(),
          gamma,
          null,
          config);
      graph.setLossVariables(behind.sum().name());
      for (long[] shape : new long[][] {{4, 3, 5}, {1, 3, 2}, {7, 3, 1}}) {
        INDArray batch = normal(backend, 3, shape);
        assertArrayEquals(
            doubles(layer.forward(batch, statistics).output()),
            doubles(graph.outputSingle(Map.of("x", batch), direct.name())),
            1e-12);
        INDArray twice = batch.mul(2);
        assertArrayEquals(
            doubles(layer.forward(twice, statistics).output()),
            doubles(graph.outputSingle(Map.of("x", batch), behind.name())),
            1e-12);
        INDArray ones = backend.fromHost(HostTensor.zeros(DType.FLOAT64, shape)).addi(1);
        assertArrayEquals(
            doubles(layer.backward(twice, statistics, ones).dgamma()),
            doubles(graph.calculateGradients(Map.of("x", batch), "gamma").get("gamma")),
            1e-11);
      }
    }
  }

  /** What the mean of doubles loses in rounding is no deviation. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  void constantsAreBeta(Variant variant) {
    VbnConformance.assumeDevice(new Nd4jProvider());
    for (double constant : new double[] {0.1, 1e13 / 3, 1e38 / 3}) {
      SameDiff graph = SameDiff.create();
      INDArray mean = Nd4j.createFromArray(constant, constant, constant);
      SDVariable y = VbnGraph.normalize(
          graph.placeHolder("x", DataType.DOUBLE, -1, 3, 11),
          new Moments<>(graph.constant(mean), graph.constant(Nd4j.zeros(DataType.DOUBLE, 3))),
          5,
          55,
          null,
          graph.constant(Nd4j.createFromArray(4f, 4f, 4f)),
          VbnConfig.of(3).withVariant(variant));
      INDArray batch = Nd4j.createUninitialized(DataType.DOUBLE, 7, 3, 11).assign(constant);
      double[] expected = new double[231];
      Arrays.fill(expected, 4);
      assertArrayEquals(
          expected, doubles(graph.outputSingle(Map.of("x", batch), y.name())), "of " + constant);
    }
  }

  /** Where the graph is declared, and with what to write instead. */
  @Test
  void aBatchThatCannotBeNormalisedIsRefusedWhereItIsDeclared() {
    VbnConformance.assumeDevice(new Nd4jProvider());
    SameDiff graph = SameDiff.create();
    assertRefused(
        graph.placeHolder("open", DataType.FLOAT, 4, -1, 3),
        "'open' has shape [4, -1, 3]; expected 3 features on axis 1");
    assertRefused(
        graph.placeHolder("other", DataType.FLOAT, -1, 4, 3),
        "'other' has shape [-1, 4, 3]; expected 3 features on axis 1");
    assertRefused(
        graph.placeHolder("in", DataType.FLOAT, -1, 3).mul("result", 2),
        "'result' states no shape; expected one, as in placeHolder(name, type, -1, 3, -1), or the"
            + " rank after x where x is the result of an operation");
    assertRefused(graph.placeHolder("none", DataType.FLOAT), "'none' states no shape");
    assertRefused(graph.placeHolder("flat", DataType.FLOAT, 3), "rank is 1");
    assertRefused(
        graph.placeHolder("whole", DataType.INT32, -1, 3),
        "'whole' is INT; expected a floating-point type");
  }

  private static void assertRefused(SDVariable x, String message) {
    SameDiff graph = x.getSameDiff();
    INDArray ones = Nd4j.ones(DataType.DOUBLE, 3);
    Moments<SDVariable> reference = new Moments<>(graph.constant(ones), graph.constant(ones));
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class,
        () -> VbnGraph.normalize(x, reference, 4, 4, null, null, VbnConfig.of(3)));
    assertTrue(String.valueOf(e.getMessage()).startsWith(message), e::getMessage);
  }

  private static double[] doubles(INDArray array) {
    return array.dup('c').data().asDouble();
  }
}
