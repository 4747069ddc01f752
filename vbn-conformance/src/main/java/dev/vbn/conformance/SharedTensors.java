package dev.vbn.conformance;

import dev.vbn.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;

/** Tensors of which one stands for several arguments, where type and elements are the same. */
final class SharedTensors<T> extends Tensors<T> {
  private final Set<Argument> sharing;
  private final List<Shared<T>> shared = new ArrayList<>();

  private record Shared<T>(T tensor, HostTensor host, DType dtype) {
    boolean holds(HostTensor other, DType otherType) {
      return dtype == otherType
          && Arrays.equals(host.shape(), other.shape())
          && Arrays.equals(host.toDoubles(), other.toDoubles());
    }
  }

  /**
   * Tensors that some arguments share.
   *
   * @param sharing arguments that may be one tensor
   */
  SharedTensors(VbnBackend<T> backend, Set<Argument> sharing) {
    super(backend);
    this.sharing = sharing;
  }

  @Override
  T as(Argument argument, HostTensor host, DType dtype) {
    if (!sharing.contains(argument)) {
      return of(host, dtype);
    }
    for (Shared<T> each : shared) {
      if (each.holds(host, dtype)) {
        return each.tensor;
      }
    }
    T tensor = of(host, dtype);
    shared.add(new Shared<>(tensor, host, dtype));
    return tensor;
  }
}
