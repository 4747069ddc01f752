package dev.vbn.conformance;

import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;

/** The tensors that one check makes on a backend, freed at its end. */
class Tensors<T> implements AutoCloseable {
  private final VbnBackend<T> backend;
  private final List<T> made = new ArrayList<>();

  Tensors(VbnBackend<T> backend) {
    this.backend = backend;
  }

  /** A new tensor. */
  final T of(HostTensor host, DType dtype) {
    T tensor = backend.fromHost(host, dtype);
    made.add(tensor);
    return tensor;
  }

  /** A tensor to be used as an argument: a new one, unless a subclass knows better. */
  T as(Argument argument, HostTensor host, DType dtype) {
    return of(host, dtype);
  }

  /** The layer of a case, with its parameters. */
  final VirtualBatchNorm<T> layer(Case c, DType dtype) {
    VirtualBatchNorm<T> layer = VirtualBatchNorm.of(backend, c.config());
    if (c.gamma() != null) {
      layer = layer.withGamma(as(Argument.GAMMA, c.gamma(), dtype.parameterType()));
    }
    if (c.beta() != null) {
      layer = layer.withBeta(as(Argument.BETA, c.beta(), dtype.parameterType()));
    }
    return layer;
  }

  @Override
  public void close() {
    made.forEach(backend::release);
  }
}
