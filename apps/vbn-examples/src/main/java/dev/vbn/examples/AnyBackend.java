package dev.vbn.examples;

import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;

/** Code that does not care which tensor library computes: it is swapped by the class path. */
public final class AnyBackend {
  private AnyBackend() {}

  /** Prints what the best backend here makes of a live batch. */
  public static void main(String[] args) {
    try (VbnBackend<?> backend = VbnBackends.find().open()) {
      System.out.println(normalize(backend).get(0));
    }
  }

  static <T> HostTensor normalize(VbnBackend<T> backend) {
    T reference = backend.fromHost(HostTensor.of(new float[] {1, 3}, 2, 1), DType.FLOAT32);
    T live = backend.fromHost(HostTensor.of(new float[] {5}, 1, 1), DType.FLOAT32);
    VbnConfig config = VbnConfig.of(1).withScale(false).withCenter(false);
    try (VirtualBatchNorm<T> layer = VirtualBatchNorm.of(backend, config, null, null);
        ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
      return backend.toHost(layer.forward(live, statistics).output());
    }
  }
}
