package dev.vbn.conformance;

import static java.util.stream.Collectors.joining;

import dev.vbn.BackendFailedException;
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
import org.junit.jupiter.api.extension.BeforeAllCallback;
import org.junit.jupiter.api.extension.BeforeTestExecutionCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.TestExecutionExceptionHandler;
import org.junit.jupiter.api.extension.TestWatcher;
import org.opentest4j.TestAbortedException;

/**
 * Counts what was checked, rule by rule. At the end a test that did not run or compared nothing, or
 * was switched off in part, fails the kit: a filtered or emptied run does not look green. Tests of
 * the subclass's own are none of its business.
 */
final class Census
    implements BeforeAllCallback,
        BeforeTestExecutionCallback,
        TestExecutionExceptionHandler,
        AfterTestExecutionCallback,
        TestWatcher,
        AfterAllCallback {
  private static final int FIRST_STEPS = 3;

  private final Map<Rule, Map<Outcome, Integer>> tallies = new EnumMap<>(Rule.class);
  private final Map<Rule, Long> comparisons = new EnumMap<>(Rule.class);
  private final Set<Method> run = new HashSet<>();
  private final List<String> switchedOff = new ArrayList<>();

  /** A setting that means nothing must not pass for one that means something. */
  @Override
  public void beforeAll(ExtensionContext context) {
    Samples.seed();
    VbnConformance.requireDevice();
  }

  private static Optional<Rule> rule(ExtensionContext context) {
    return context.getTestMethod().flatMap(Rule::checkedBy);
  }

  @Override
  public void beforeTestExecution(ExtensionContext context) {
    Check.start();
  }

  /** Puts the rule before the message: it is what an author looks up. */
  @Override
  public void handleTestExecutionException(ExtensionContext context, Throwable failure)
      throws Throwable {
    Rule rule = rule(context).orElse(null);
    if (rule == null
        || failure instanceof TestAbortedException
        || failure instanceof VirtualMachineError) {
      throw failure;
    }
    throw new AssertionError(rule.id() + ": " + words(failure), failure);
  }

  private static String words(Throwable failure) {
    if (failure instanceof AssertionError) {
      return String.valueOf(failure.getMessage());
    }
    if (failure instanceof BackendFailedException failed) {
      Throwable cause = failed.getCause() == null ? failed : failed.getCause();
      return failed.call() + " threw " + cause + at(cause) + "; expected a result";
    }
    return "the backend threw " + failure + at(failure) + "; expected a result";
  }

  private static String at(Throwable failure) {
    return frame(failure).map(frame -> ", at " + frame).orElse("");
  }

  /** The first frame that is neither the JDK's nor VBN's own. */
  private static Optional<String> frame(Throwable failure) {
    return Arrays.stream(failure.getStackTrace())
        .filter(frame -> {
          String name = frame.getClassName();
          String owner = name.substring(0, Math.max(name.lastIndexOf('.'), 0));
          return !owner.matches("(java|javax|jdk|sun)\\..*|org\\.junit\\..*")
              && !Set.of("dev.vbn", "dev.vbn.spi", "dev.vbn.tensor", "dev.vbn.conformance")
                  .contains(owner);
        })
        .findFirst()
        .map(StackTraceElement::toString);
  }

  @Override
  public synchronized void afterTestExecution(ExtensionContext context) {
    Rule rule = rule(context).orElse(null);
    if (rule == null) {
      return;
    }
    Check check = Check.current();
    Throwable seen = context.getExecutionException().orElse(null);
    String fault = fault(check, seen);
    Outcome outcome = fault != null ? Outcome.FAILED : outcome(check.failure());
    run.add(context.getRequiredTestMethod());
    comparisons.merge(rule, check.comparisons(), Long::sum);
    tallies
        .computeIfAbsent(rule, first -> new EnumMap<>(Outcome.class))
        .merge(outcome, 1, Integer::sum);
    publish(context, rule, check, outcome);
    if (fault != null) {
      Throwable cause = seen == null ? check.failure() : seen;
      throw new AssertionError(rule.id() + ": " + fault, cause);
    }
  }

  /** What is wrong with how the check went, apart from what it found. */
  private static @Nullable String fault(Check check, @Nullable Throwable seen) {
    Throwable failure = check.failure();
    if (seen == null && failure != null) {
      return "an extension swallowed the outcome of this check: " + failure;
    }
    if (seen == null && !check.ended()) {
      return "an extension kept this check from running";
    }
    if (isAbort(seen) && !isOurs(failure)) {
      return "the backend aborted a check, which only the kit may: " + seen;
    }
    if (seen == null && check.comparisons() == 0) {
      return "this check compared nothing";
    }
    return null;
  }

  private static boolean isAbort(@Nullable Throwable exception) {
    return exception instanceof TestAbortedException;
  }

  private static boolean isOurs(@Nullable Throwable exception) {
    return exception instanceof DeclaredAbsent || exception instanceof NoDevice;
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

  private static void publish(ExtensionContext context, Rule rule, Check check, Outcome outcome) {
    Map<String, String> entry = new LinkedHashMap<>();
    entry.put("rule", rule.id());
    entry.put("outcome", outcome.name());
    entry.put("comparisons", Long.toString(check.comparisons()));
    putMeasured(entry, "ulps", check.worstUlps());
    putMeasured(entry, "share-of-tolerance", check.worstShare());
    if (check.failure() instanceof BackendFailedException failed) {
      entry.put("kernel", failed.call());
      Throwable cause = failed.getCause() == null ? failed : failed.getCause();
      frame(cause).ifPresent(frame -> entry.put("frame", frame));
    }
    context.publishReportEntry(entry);
  }

  private static void putMeasured(Map<String, String> entry, String key, double value) {
    if (!Double.isNaN(value)) {
      entry.put(key, String.format(Locale.ROOT, "%.3g", value));
    }
  }

  /** The kit disables none of its tests: it was done from outside. */
  @Override
  public synchronized void testDisabled(ExtensionContext context, Optional<String> reason) {
    if (rule(context).isPresent()) {
      switchedOff.add(name(context) + ", disabled: " + reason.orElse("no reason given"));
    }
  }

  /** An assumption before a test, of a subclass or an extension, is not the kit's. */
  @Override
  public synchronized void testAborted(ExtensionContext context, @Nullable Throwable cause) {
    if (rule(context).isPresent() && !isOurs(cause)) {
      switchedOff.add(name(context) + ", aborted: " + cause);
    }
  }

  private static String name(ExtensionContext context) {
    return context.getTestMethod().map(Method::getName).orElse("?") + " "
        + context.getDisplayName();
  }

  @Override
  public synchronized void afterAll(ExtensionContext context) {
    if (!(context.getTestInstance().orElse(null) instanceof VbnConformance kit)) {
      return; // the end of one family of rules, or of tests of the subclass's own
    }
    String provider = kit.provider().name();
    long leaked = kit.openTensors();
    context.publishReportEntry("seed", Long.toString(Samples.seed()));
    if (!comparisons.isEmpty()) {
      context.publishReportEntry("comparisons-by-rule", byRule());
    }
    System.out.println(summary(provider));
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
    if (leaked != 0 && count(Outcome.FAILED) == 0) {
      throw new AssertionError("the kit has left " + leaked + " tensors open on the backends that"
          + " it opened; expected none, and the fault is the kit's");
    }
  }

  private String byRule() {
    return comparisons.entrySet().stream()
        .map(each -> each.getKey().number() + ": " + each.getValue())
        .collect(joining(", "));
  }

  private int count(Outcome outcome) {
    return tallies.values().stream()
        .mapToInt(tally -> tally.getOrDefault(outcome, 0))
        .sum();
  }

  /** One line of totals, with what to mend first where something failed. */
  private String summary(String provider) {
    int checks = Arrays.stream(Outcome.values()).mapToInt(this::count).sum();
    List<Rule> failed = tallies.keySet().stream()
        .filter(rule -> tallies.getOrDefault(rule, Map.of()).containsKey(Outcome.FAILED))
        .toList();
    return String.format(
        Locale.ROOT,
        "VBN conformance of '%s': %d of %d rules, %d checks, %d comparisons: %d passed, %d declared"
            + " absent, %d without device, %d failed; seed %d%s",
        provider,
        tallies.size(),
        Rule.values().length,
        checks,
        comparisons.values().stream().mapToLong(Long::longValue).sum(),
        count(Outcome.PASSED),
        count(Outcome.DECLARED_ABSENT),
        count(Outcome.NO_DEVICE),
        count(Outcome.FAILED),
        Samples.seed(),
        failed.isEmpty()
            ? ""
            : "; start with "
                + Rule.orderOfWork(failed).stream()
                    .limit(FIRST_STEPS)
                    .map(Rule::id)
                    .collect(joining(", ")));
  }
}
