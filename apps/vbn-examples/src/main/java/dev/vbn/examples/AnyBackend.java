package dev.vbn.examples;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;

/** Code on the tensors of any library: it never says which. */
public final class AnyBackend {
  private AnyBackend() {}

  /** Prints what the best backend here makes of a live batch. */
  public static void main(String[] args) {
    try (VbnBackend<?> backend = VbnBackends.find().open()) {
      System.out.println(onTensorsOf(backend).get(0));
    }
  }

  /** Normalises a live batch that its caller has in the library's tensors, and keeps the output. */
  static <T> T normalize(VbnBackend<T> backend, T reference, T live) {
    try (VirtualBatchNorm<T> layer = VirtualBatchNorm.of(backend, VbnConfig.of(1));
        ReferenceStatistics<T> statistics = layer.referenceStatistics(reference);
        Output<T> normalized = layer.forward(live, statistics)) {
      return normalized.takeOutput();
    }
  }

  static <T> HostTensor onTensorsOf(VbnBackend<T> backend) {
    T reference = backend.fromHost(HostTensor.of(new float[] {1, 3}, 2, 1));
    T live = backend.fromHost(HostTensor.of(new float[] {5}, 1, 1));
    T normalized = normalize(backend, reference, live);
    HostTensor result = backend.toHost(normalized);
    backend.release(normalized);
    backend.release(live);
    backend.release(reference);
    return result;
  }
}
