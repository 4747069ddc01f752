package dev.vbn.nd4j;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

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
    Availability availability = new Nd4jProvider().probe();
    assumeTrue(availability.available(), availability::description);
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
    Availability availability = new Nd4jProvider().probe();
    assumeTrue(availability.available(), availability::description);
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
          graph.placeHolder("x", DataType.FLOAT, 4, 3, 3),
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

  private static double[] doubles(INDArray array) {
    return array.dup('c').data().asDouble();
  }
}
