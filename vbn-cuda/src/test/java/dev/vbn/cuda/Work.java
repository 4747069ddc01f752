package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.MixedStatistics;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/** Everything that a backend does, once, small; a worked example for its values. */
final class Work {
  private static final VbnConfig CONFIG = VbnConfig.of(1)
      .withVariant(Variant.BATCH)
      .withEpsilon(1e-12)
      .withReferenceGradient(ReferenceGradient.ATTACHED);

  private Work() {}

  /** Opens the backend, does the work and closes it. */
  static void openDoAndClose() {
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      on(backend);
    }
  }

  /** More than a block holds, and so in several. */
  private static final int MANY = 40_000;

  /** Releases what it makes, whatever fails. */
  static void on(VbnBackend<CudaTensor> backend) {
    try (CudaTensor reference = tensor(backend, 1, 3);
        CudaTensor x = tensor(backend, 5, -1);
        CudaTensor upstream = tensor(backend, 1, 0);
        VirtualBatchNorm<CudaTensor> layer =
            VirtualBatchNorm.of(backend, CONFIG).initialized(DType.FLOAT32, 1);
        ReferenceOutput<CudaTensor> pass = layer.reference(reference)) {
      ReferenceStatistics<CudaTensor> statistics = pass.statistics();
      // 1 and 3, of mean 2 and variance 1
      assertClose(0.1, backend.toHost(pass.output()), -1, 1);
      assertClose(1e-12, backend.toHost(statistics.mean()), 2);
      assertClose(1e-12, backend.toHost(statistics.variance()), 1);
      // m = 2 + (2 - 2)/3, v = 2/3*1 + 1/3*9 = 11/3 by the formula, of the live mean 2 and variance
      // 9
      MixedStatistics mixed = layer.mixedStatistics(x, statistics);
      assertClose(1e-12, mixed.mean(), 2);
      assertClose(1e-6, mixed.variance(), 11.0 / 3);
      try (Output<CudaTensor> live = layer.forward(x, statistics)) {
        double unit = backend.toHost(layer.gamma()).get(0) * 3 / Math.sqrt(11.0 / 3);
        assertClose(1e-6, backend.toHost(live.output()), unit, -unit);
      }
      try (Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream);
          Output<CudaTensor> dr = layer.referenceGradient(reference, statistics, gradients)) {
        // dbeta = 1 + 0, dgamma the first output before gamma
        assertClose(1e-6, backend.toHost(gradients.dbeta()), 1);
        assertClose(1e-6, backend.toHost(gradients.dgamma()), 3 / Math.sqrt(11.0 / 3));
        assertEquals(2, backend.toHost(gradients.dx()).size());
        assertEquals(2, backend.toHost(dr.output()).size());
      }
    }
    try (CudaTensor many = backend.fromHost(HostTensor.of(new float[MANY], MANY, 1));
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, CONFIG);
        ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(many)) {
      assertClose(0, backend.toHost(statistics.mean()), 0);
    }
  }

  private static void assertClose(double bound, HostTensor actual, double... expected) {
    assertArrayEquals(expected, actual.toDoubles(), bound);
  }

  private static CudaTensor tensor(VbnBackend<CudaTensor> backend, float... values) {
    return backend.fromHost(HostTensor.of(values, values.length, 1), DType.FLOAT32);
  }
}
