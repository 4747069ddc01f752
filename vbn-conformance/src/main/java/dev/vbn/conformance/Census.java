package dev.vbn.conformance;

import static java.util.stream.Collectors.joining;

import java.lang.reflect.Method;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterAllCallback;
import org.junit.jupiter.api.extension.AfterTestExecutionCallback;
import org.junit.jupiter.api.extension.BeforeTestExecutionCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ExtensionContext.Namespace;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.jupiter.api.extension.TestWatcher;
import org.opentest4j.TestAbortedException;

/**
 * Counts what was checked, rule by rule. At the end a test that did not run, or was switched off in
 * part, fails the kit: a filtered or emptied run does not look green.
 */
final class Census
    implements BeforeTestExecutionCallback,
        TestExecutionExceptionHandler,
        AfterTestExecutionCallback,
        TestWatcher,
        AfterAllCallback {
  private static final Namespace NAMESPACE = Namespace.create(Census.class);

  private final Map<Rule, Map<Outcome, Integer>> tallies = new EnumMap<>(Rule.class);
  private final Set<Method> run = new HashSet<>();
  private final List<String> switchedOff = new ArrayList<>();

  @Override
  public void beforeTestExecution(ExtensionContext context) {
    Tolerance.startMeasuring();
  }

  /** Puts the rule before the message: it is what an author looks up. */
  @Override
  public void handleTestExecutionException(ExtensionContext context, Throwable failure)
      throws Throwable {
    context.getStore(NAMESPACE).put("failure", failure);
    if (failure instanceof TestAbortedException || failure instanceof VirtualMachineError) {
      throw failure;
    }
    String id = Rule.checkedBy(context.getRequiredTestMethod()).map(Rule::id).orElse("");
    throw new AssertionError(
        id + ": "
            + (failure instanceof AssertionError
                ? failure.getMessage()
                : "the backend threw " + failure + "; expected a result"),
        failure);
  }

  @Override
  public synchronized void afterTestExecution(ExtensionContext context) {
    Method test = context.getRequiredTestMethod();
    Rule rule =
        Rule.checkedBy(test).orElseThrow(() -> new IllegalStateException(test + " holds no rule"));
    Throwable thrown = context.getStore(NAMESPACE).get("failure", Throwable.class);
    Outcome outcome = outcome(context.getExecutionException().orElse(thrown));
    run.add(test);
    tallies
        .computeIfAbsent(rule, first -> new EnumMap<>(Outcome.class))
        .merge(outcome, 1, Integer::sum);
    Map<String, String> entry = new LinkedHashMap<>();
    entry.put("rule", rule.id());
    entry.put("outcome", outcome.name());
    putMeasured(entry, "ulps", Tolerance.worstUlps());
    putMeasured(entry, "share-of-tolerance", Tolerance.worstShareOfBound());
    context.publishReportEntry(entry);
    Optional<Throwable> failure = context.getExecutionException();
    if (outcome == Outcome.FAILED && failure.filter(Census::isAbort).isPresent()) {
      throw new AssertionError(
          rule.id() + ": the backend aborted a check, which only the kit may: " + failure.get(),
          failure.get());
    }
    if (thrown != null && failure.isEmpty()) {
      throw new AssertionError(
          rule.id() + ": an extension swallowed the outcome of this check: " + thrown, thrown);
    }
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

  /** The kit has no test that is disabled: it was done from outside. */
  @Override
  public synchronized void testDisabled(ExtensionContext context, Optional<String> reason) {
    switchedOff.add(name(context) + ", disabled: " + reason.orElse("no reason given"));
  }

  /** An assumption before a test, of a subclass or an extension, is not the kit's. */
  @Override
  public synchronized void testAborted(ExtensionContext context, @Nullable Throwable cause) {
    if (!(cause instanceof DeclaredAbsent || cause instanceof NoDevice)) {
      switchedOff.add(name(context) + ", aborted: " + cause);
    }
  }

  private static String name(ExtensionContext context) {
    return context.getTestMethod().map(Method::getName).orElse("?") + " "
        + context.getDisplayName();
  }

  /** Whether a check has failed so far. */
  synchronized boolean hasFailures() {
    return tallies.values().stream().anyMatch(tally -> tally.containsKey(Outcome.FAILED));
  }

  @Override
  public synchronized void afterAll(ExtensionContext context) {
    if (!(context.getRequiredTestInstance() instanceof VbnConformance kit)) {
      return; // the end of one family of rules
    }
    context.publishReportEntry("seed", Long.toString(Samples.SEED));
    System.out.println(summary(kit.provider().name()));
    List<String> faults = new ArrayList<>(switchedOff);
    Rules.tests().forEach((test, rule) -> {
      if (!run.contains(test)) {
        faults.add(rule.id() + " (" + rule.sentence() + ") by " + test.getName());
      }
    });
    if (!faults.isEmpty()) {
      throw new AssertionError("not everything was checked; expected also " + faults.size()
          + " checks: " + String.join("; ", faults)
          + ". A part of the kit proves nothing: run it whole.");
    }
  }

  /** One line of totals, and the checks of every rule. */
  private String summary(String provider) {
    Map<Outcome, Integer> totals = new LinkedHashMap<>();
    for (Outcome outcome : Outcome.values()) {
      totals.put(outcome, 0);
    }
    for (Map<Outcome, Integer> tally : tallies.values()) {
      tally.forEach((outcome, count) -> totals.merge(outcome, count, Integer::sum));
    }
    String byRule = Arrays.stream(Rule.values())
        .map(rule -> rule.number() + ": " + sum(tallies.getOrDefault(rule, Map.of())))
        .collect(joining(", "));
    return String.format(
        Locale.ROOT,
        "VBN conformance of '%s': %d of %d rules, %d checks: %d passed, %d declared absent,"
            + " %d without device, %d failed; seed %d%nChecks by rule: %s",
        provider,
        tallies.size(),
        Rule.values().length,
        sum(totals),
        totals.get(Outcome.PASSED),
        totals.get(Outcome.DECLARED_ABSENT),
        totals.get(Outcome.NO_DEVICE),
        totals.get(Outcome.FAILED),
        Samples.SEED,
        byRule);
  }

  private static int sum(Map<Outcome, Integer> counts) {
    return counts.values().stream().mapToInt(Integer::intValue).sum();
  }
}
