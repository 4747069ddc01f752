package dev.vbn.conformance;

import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;

/** The tensors that one check makes on a backend, freed at its end. */
final class Tensors<T> implements AutoCloseable {
  private final VbnBackend<T> backend;
  private final List<T> made = new ArrayList<>();

  Tensors(VbnBackend<T> backend) {
    this.backend = backend;
  }

  T of(HostTensor host, DType dtype) {
    return keep(backend.fromHost(host, dtype));
  }

  /** Frees a tensor that the backend made with the others. */
  T keep(T tensor) {
    made.add(tensor);
    return tensor;
  }

  /** The layer of a case, with its parameters. */
  VirtualBatchNorm<T> layer(Case c, DType dtype) {
    VirtualBatchNorm<T> layer = VirtualBatchNorm.of(backend, c.config());
    if (c.gamma() != null) {
      layer = layer.withGamma(of(c.gamma(), dtype.parameterType()));
    }
    if (c.beta() != null) {
      layer = layer.withBeta(of(c.beta(), dtype.parameterType()));
    }
    return layer;
  }

  @Override
  public void close() {
    made.forEach(backend::release);
  }
}
