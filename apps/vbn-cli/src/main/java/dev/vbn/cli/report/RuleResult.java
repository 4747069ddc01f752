package dev.vbn.cli.report;

import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/**
 * How a backend does by one rule.
 *
 * @param checks of the rule; none if it was not checked
 */
public record RuleResult(Rule rule, List<CheckResult> checks) {

  /** Number of checks that ended so. */
  public int count(Outcome outcome) {
    return (int) checks.stream().filter(check -> check.outcome() == outcome).count();
  }

  /** The worst of the checks; empty if there was none. */
  public Optional<Outcome> outcome() {
    return checks.stream().map(CheckResult::outcome).max(Comparator.naturalOrder());
  }

  /** Largest error in units in the last place; NaN where none was measured. */
  public double worstUlps() {
    return largest(checks, CheckResult::ulps);
  }

  /** Largest error as a share of what is tolerated; NaN where none was measured. */
  public double worstShareOfTolerance() {
    return largest(checks, CheckResult::shareOfTolerance);
  }

  /** Comparisons made. */
  public long comparisons() {
    return checks.stream().mapToLong(CheckResult::comparisons).sum();
  }

  static double largest(List<CheckResult> checks, ToDoubleFunction<CheckResult> measure) {
    return checks.stream()
        .mapToDouble(measure)
        .filter(value -> !Double.isNaN(value))
        .max()
        .orElse(Double.NaN);
  }
}
