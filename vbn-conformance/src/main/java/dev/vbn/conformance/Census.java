package dev.vbn.conformance;

import static java.util.stream.Collectors.joining;

import java.util.Arrays;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterTestExecutionCallback;
import org.junit.jupiter.api.extension.BeforeTestExecutionCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.platform.commons.support.AnnotationSupport;
import org.opentest4j.TestAbortedException;

/**
 * Counts what was checked, rule by rule. At the end a rule that was never checked fails the kit: a
 * filtered or emptied run does not look green.
 */
final class Census
    implements BeforeTestExecutionCallback, AfterTestExecutionCallback, AfterAllCallback {

  /** How a check ended. */
  enum Outcome {
    PASSED,
    DECLARED_ABSENT,
    NO_DEVICE,
    FAILED
  }

  private final Map<Rule, Tally> tallies = new EnumMap<>(Rule.class);

  private static final class Tally {
    private final Map<Outcome, Integer> outcomes = new EnumMap<>(Outcome.class);
    private double worstUlps;
  }

  @Override
  public void beforeTestExecution(ExtensionContext context) {
    Tolerance.startMeasuring();
  }

  @Override
  public synchronized void afterTestExecution(ExtensionContext context) {
    Checks checks = AnnotationSupport.findAnnotation(context.getRequiredTestMethod(), Checks.class)
        .orElseThrow(
            () -> new IllegalStateException(context.getRequiredTestMethod() + " holds no rule"));
    Tally tally = tallies.computeIfAbsent(checks.value(), rule -> new Tally());
    Outcome outcome = outcome(context.getExecutionException().orElse(null));
    tally.outcomes.merge(outcome, 1, Integer::sum);
    tally.worstUlps = Math.max(tally.worstUlps, Tolerance.worstUlps());
    context.publishReportEntry(Map.of(
        "rule", checks.value().id(),
        "outcome", outcome.name(),
        "ulps", String.format(Locale.ROOT, "%.3g", Tolerance.worstUlps())));
    context
        .getExecutionException()
        .filter(e -> outcome == Outcome.FAILED && isAbort(e))
        .ifPresent(e -> {
          throw new AssertionError("the backend aborted a check, which only the kit may: " + e, e);
        });
  }

  private static boolean isAbort(Throwable exception) {
    return exception instanceof TestAbortedException;
  }

  private static Outcome outcome(@Nullable Throwable exception) {
    if (exception == null) {
      return Outcome.PASSED;
    }
    if (exception instanceof DeclaredAbsent) {
      return Outcome.DECLARED_ABSENT;
    }
    return exception instanceof NoDevice ? Outcome.NO_DEVICE : Outcome.FAILED;
  }

  @Override
  public synchronized void afterAll(ExtensionContext context) {
    if (!(context.getRequiredTestInstance() instanceof VbnConformance kit)) {
      return; // the end of one family of rules
    }
    System.out.println(summary(kit.provider().name()));
    List<Rule> missing =
        Arrays.stream(Rule.values()).filter(rule -> !tallies.containsKey(rule)).toList();
    if (!missing.isEmpty()) {
      throw new AssertionError("not every rule was checked; expected checks of "
          + missing.stream()
              .map(rule -> rule.id() + " (" + rule.sentence() + ")")
              .collect(joining(", "))
          + ". A part of the kit proves nothing: run it whole.");
    }
  }

  private String summary(String provider) {
    Map<Outcome, Integer> totals = new LinkedHashMap<>();
    for (Outcome outcome : Outcome.values()) {
      totals.put(outcome, 0);
    }
    for (Tally tally : tallies.values()) {
      tally.outcomes.forEach((outcome, count) -> totals.merge(outcome, count, Integer::sum));
    }
    int checks = totals.values().stream().mapToInt(Integer::intValue).sum();
    return String.format(
        Locale.ROOT,
        "VBN conformance of '%s': %d of %d rules, %d checks: %d passed, %d declared absent,"
            + " %d without device, %d failed; seed %d",
        provider,
        tallies.size(),
        Rule.values().length,
        checks,
        totals.get(Outcome.PASSED),
        totals.get(Outcome.DECLARED_ABSENT),
        totals.get(Outcome.NO_DEVICE),
        totals.get(Outcome.FAILED),
        Samples.SEED);
  }
}
