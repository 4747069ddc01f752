package dev.vbn.cli.report;

import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.time.Duration;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * How the kit ended for one backend.
 *
 * @param description of the device and library; or the reason why none can be used here
 * @param available whether it can be used here, and so has been tested
 * @param required whether it is a failure if it cannot
 * @param tensorType of its tensors; null if it cannot be told
 * @param origin jar or folder that it comes from
 * @param version of that jar; null if it states none
 * @param seed of the random cases; empty if the kit did not get to its end
 */
public record BackendResult(
    String name,
    String description,
    boolean available,
    boolean required,
    @Nullable String tensorType,
    String origin,
    @Nullable String version,
    List<CheckResult> checks,
    OptionalLong seed,
    Duration duration) {

  /** Copies the list. */
  public BackendResult {
    checks = List.copyOf(checks);
  }

  /** Number of checks that ended so. */
  public int count(Outcome outcome) {
    return (int) checks.stream().filter(check -> check.outcome() == outcome).count();
  }

  /** How it does by one rule. */
  public RuleResult of(Rule rule) {
    return new RuleResult(
        rule, checks.stream().filter(check -> check.rule() == rule).toList());
  }

  /** How it does by every rule. */
  public List<RuleResult> rules() {
    return Arrays.stream(Rule.values()).map(this::of).toList();
  }

  /** Rules of which a check failed. */
  public List<RuleResult> failedRules() {
    return rules().stream().filter(result -> result.count(Outcome.FAILED) > 0).toList();
  }

  /** Where to begin with the rules that fail, and how to go on. */
  public List<Rule> orderOfWork() {
    return Rule.orderOfWork(failedRules().stream().map(RuleResult::rule).toList());
  }

  /**
   * Kernels that threw, each with the place where it did, those of the most checks first.
   *
   * @return the first check of each, and the number of all
   */
  public Map<CheckResult.Thrown, Integer> thrown() {
    Map<List<@Nullable String>, CheckResult.Thrown> first = new LinkedHashMap<>();
    Map<CheckResult.Thrown, Integer> counts = new LinkedHashMap<>();
    for (CheckResult check : checks) {
      CheckResult.Thrown thrown = check.thrown();
      if (thrown != null) {
        List<@Nullable String> place = Arrays.asList(thrown.kernel(), thrown.frame());
        counts.merge(first.computeIfAbsent(place, none -> thrown), 1, Integer::sum);
      }
    }
    Map<CheckResult.Thrown, Integer> sorted = new LinkedHashMap<>();
    counts.entrySet().stream()
        .sorted(Map.Entry.<CheckResult.Thrown, Integer>comparingByValue().reversed())
        .forEach(each -> sorted.put(each.getKey(), each.getValue()));
    return sorted;
  }

  /** What failed besides the rules: the kit's own preparation, or its census at the end. */
  public List<CheckResult> failuresBesideRules() {
    return checks.stream().filter(check -> check.rule() == null).toList();
  }

  /** Largest error in units in the last place; NaN where none was measured. */
  public double worstUlps() {
    return RuleResult.largest(checks, CheckResult::ulps);
  }

  /** It conforms if every rule was checked, and nothing failed or went without a device. */
  public Verdict verdict() {
    if (!available) {
      return Verdict.NO_DEVICE;
    }
    boolean whole = rules().stream().noneMatch(result -> result.checks().isEmpty());
    return whole
            && count(Outcome.PASSED) > 0
            && count(Outcome.FAILED) == 0
            && count(Outcome.NO_DEVICE) == 0
        ? Verdict.CONFORMS
        : Verdict.DOES_NOT_CONFORM;
  }
}
