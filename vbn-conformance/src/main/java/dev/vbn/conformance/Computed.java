package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import dev.vbn.tensor.HostTensor;
import java.util.EnumMap;
import java.util.Map;

/** What a backend computed of a case, on the host. */
final class Computed {
  private final Map<Quantity, HostTensor> tensors = new EnumMap<>(Quantity.class);

  HostTensor of(Quantity quantity) {
    return requireNonNull(tensors.get(quantity), quantity.label() + " was not computed");
  }

  /** By quantity, in its order. */
  Map<Quantity, HostTensor> all() {
    return tensors;
  }

  void put(Quantity quantity, HostTensor tensor) {
    tensors.put(quantity, tensor);
  }
}
