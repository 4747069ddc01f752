package dev.vbn.cli;

import dev.vbn.spi.Moments;
import dev.vbn.spi.VbnBackend;
import java.util.ArrayList;
import java.util.List;

/** Tensors that are released together. */
final class TensorScope<T> implements AutoCloseable {
  private final VbnBackend<T> backend;
  private final List<T> tensors = new ArrayList<>();

  TensorScope(VbnBackend<T> backend) {
    this.backend = backend;
  }

  T add(T tensor) {
    tensors.add(tensor);
    return tensor;
  }

  void add(Moments<T> moments) {
    tensors.add(moments.mean());
    tensors.add(moments.variance());
  }

  @Override
  public void close() {
    tensors.forEach(backend::release);
    tensors.clear();
  }
}
