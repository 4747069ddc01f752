package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import java.util.EnumMap;
import java.util.Map;

/** What a case must give, tensor by tensor. */
final class Expected {
  private final Map<Quantity, Values> values = new EnumMap<>(Quantity.class);

  Values of(Quantity quantity) {
    return requireNonNull(values.get(quantity), quantity.label() + " is not expected");
  }

  boolean has(Quantity quantity) {
    return values.containsKey(quantity);
  }

  void put(Quantity quantity, Values expected) {
    values.put(quantity, expected);
  }
}
