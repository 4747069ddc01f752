package dev.vbn.bench;

import java.util.List;

/** What is measured of a layer. */
enum Pass {
  /** The output. */
  FORWARD("forward"),
  /** The gradients of input, gamma and beta, from the input and the upstream gradient. */
  BACKWARD("backward"),
  /** One after the other, as a training step does. */
  STEP("forward and backward");

  private final String label;

  Pass(String label) {
    this.label = label;
  }

  String label() {
    return label;
  }

  /** Names of the results, in order. */
  List<String> results() {
    return switch (this) {
      case FORWARD -> List.of("y");
      case BACKWARD -> List.of("dx", "dgamma", "dbeta");
      case STEP -> List.of("y", "dx", "dgamma", "dbeta");
    };
  }
}
