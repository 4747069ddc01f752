package dev.vbn.bench;

import java.util.List;

/** What is measured of a layer. */
enum Pass {
  /** The output. */
  FORWARD("forward", List.of("y")),
  /** The gradients of input, gamma and beta, from the input and the upstream gradient. */
  BACKWARD("backward", List.of("dx", "dgamma", "dbeta")),
  /** One after the other, as a training step does. */
  STEP("forward and backward", List.of("y", "dx", "dgamma", "dbeta"));

  private final String label;
  private final List<String> results;

  Pass(String label, List<String> results) {
    this.label = label;
    this.results = results;
  }

  String label() {
    return label;
  }

  /** Names of the results, in order. */
  List<String> results() {
    return results;
  }
}
