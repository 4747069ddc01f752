package dev.vbn.conformance;

import static java.util.stream.Collectors.joining;

import java.lang.reflect.Method;
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
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.opentest4j.TestAbortedException;

/**
 * Counts what was checked, rule by rule. At the end a rule that was never checked fails the kit: a
 * filtered or emptied run does not look green.
 */
final class Census
    implements BeforeTestExecutionCallback,
        TestExecutionExceptionHandler,
        AfterTestExecutionCallback,
        AfterAllCallback {

  private final Map<Rule, Map<Outcome, Integer>> tallies = new EnumMap<>(Rule.class);

  @Override
  public void beforeTestExecution(ExtensionContext context) {
    Tolerance.startMeasuring();
  }

  /** Puts the rule before the message: it is what an author looks up. */
  @Override
  public void handleTestExecutionException(ExtensionContext context, Throwable failure)
      throws Throwable {
    if (failure instanceof AssertionError) {
      String id = Rule.checkedBy(context.getRequiredTestMethod()).map(Rule::id).orElse("");
      throw new AssertionError(id + ": " + failure.getMessage(), failure);
    }
    throw failure;
  }

  @Override
  public synchronized void afterTestExecution(ExtensionContext context) {
    Method test = context.getRequiredTestMethod();
    Rule rule =
        Rule.checkedBy(test).orElseThrow(() -> new IllegalStateException(test + " holds no rule"));
    Outcome outcome = outcome(context.getExecutionException().orElse(null));
    tallies
        .computeIfAbsent(rule, first -> new EnumMap<>(Outcome.class))
        .merge(outcome, 1, Integer::sum);
    Map<String, String> entry = new LinkedHashMap<>();
    entry.put("rule", rule.id());
    entry.put("outcome", outcome.name());
    putMeasured(entry, "ulps", Tolerance.worstUlps());
    putMeasured(entry, "share-of-tolerance", Tolerance.worstShareOfBound());
    context.publishReportEntry(entry);
    context
        .getExecutionException()
        .filter(e -> outcome == Outcome.FAILED && isAbort(e))
        .ifPresent(e -> {
          throw new AssertionError("the backend aborted a check, which only the kit may: " + e, e);
        });
  }

  private static void putMeasured(Map<String, String> entry, String key, double value) {
    if (!Double.isNaN(value)) {
      entry.put(key, String.format(Locale.ROOT, "%.3g", value));
    }
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
    context.publishReportEntry("seed", Long.toString(Samples.SEED));
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
    for (Map<Outcome, Integer> tally : tallies.values()) {
      tally.forEach((outcome, count) -> totals.merge(outcome, count, Integer::sum));
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
