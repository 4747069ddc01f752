package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import dev.vbn.Gradients;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;

/** Everything that a backend does, once, small; a worked example for its values. */
final class Work {
  private static final VbnConfig CONFIG = VbnConfig.of(1)
      .withVariant(Variant.BATCH)
      .withEpsilon(1e-12)
      .withReferenceGradient(ReferenceGradient.ATTACHED);

  private Work() {}

  /** Opens the backend, does the work and closes it. */
  static void openDoAndClose() {
    try (CudaBackend backend = CudaProvider.open(0)) {
      on(backend);
    }
  }

  /** Releases what it makes, whatever fails. */
  static void on(CudaBackend backend) {
    try (CudaTensor reference = tensor(backend, 1, 3);
        CudaTensor x = tensor(backend, 5, -1);
        CudaTensor upstream = tensor(backend, 1, 0);
        VirtualBatchNorm<CudaTensor> layer =
            VirtualBatchNorm.initialized(backend, CONFIG, DType.FLOAT32, 1)) {
      ReferenceOutput<CudaTensor> pass = layer.reference(reference);
      try (CudaTensor normalized = pass.output();
          ReferenceStatistics<CudaTensor> statistics = pass.statistics()) {
        // 1 and 3, of mean 2 and variance 1
        assertArrayEquals(new double[] {-1, 1}, backend.toHost(normalized).toDoubles(), 0.1);
        LiveOutput<CudaTensor> live = layer.forward(x, statistics);
        try (CudaTensor output = live.output();
            CudaTensor mean = live.statistics().moments().mean();
            CudaTensor variance = live.statistics().moments().variance()) {
          // m = 2 + (2 - 2)/3, v = 2/3*1 + 1/3*9 = 11/3 by the formula, of the live mean 2 and
          // variance 9
          assertArrayEquals(new double[] {2}, backend.toHost(mean).toDoubles(), 1e-12);
          assertArrayEquals(new double[] {11.0 / 3}, backend.toHost(variance).toDoubles(), 1e-6);
          backend.toHost(output);
        }
        Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream);
        try (CudaTensor dx = gradients.input();
            CudaTensor dgamma = gradients.gamma();
            CudaTensor dbeta = gradients.beta();
            CudaTensor dMean = gradients.reference().mean();
            CudaTensor dVariance = gradients.reference().variance();
            CudaTensor dr = layer.referenceGradient(reference, statistics, gradients)) {
          assertArrayEquals(new double[] {1}, backend.toHost(dbeta).toDoubles(), 1e-6);
          for (CudaTensor tensor : List.of(dx, dgamma, dMean, dVariance, dr)) {
            backend.toHost(tensor);
          }
        }
      }
    }
  }

  private static CudaTensor tensor(CudaBackend backend, float... values) {
    return backend.fromHost(HostTensor.of(values, values.length, 1), DType.FLOAT32);
  }
}
