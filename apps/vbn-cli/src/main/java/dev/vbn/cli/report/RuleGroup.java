package dev.vbn.cli.report;

import dev.vbn.conformance.Rule;
import java.util.Arrays;
import java.util.List;

/** The rules of one hundred. */
enum RuleGroup {
  DISCOVERY(1, "Discovery"),
  STATISTICS(2, "Statistics"),
  FORWARD(3, "Forward"),
  GRADIENTS(4, "Gradients"),
  NUMERICS(5, "Numerics"),
  REFUSAL(6, "Validation and refusal"),
  LIFECYCLE(7, "Lifecycle and threads"),
  CONVERSION(8, "Conversion"),
  MASKS(9, "Masks");

  private final int hundred;
  private final String title;

  RuleGroup(int hundred, String title) {
    this.hundred = hundred;
    this.title = title;
  }

  String title() {
    return title;
  }

  List<Rule> rules() {
    return Arrays.stream(Rule.values())
        .filter(rule -> rule.number() / 100 == hundred)
        .toList();
  }
}
