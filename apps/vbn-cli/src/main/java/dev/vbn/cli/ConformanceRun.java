package dev.vbn.cli;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.BackendFailedException;
import dev.vbn.cli.report.CheckResult;
import dev.vbn.cli.report.CheckResult.Thrown;
import dev.vbn.conformance.NamedBackendConformance;
import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.TestExecutionResult.Status;
import org.junit.platform.engine.UniqueId;
import org.junit.platform.engine.reporting.ReportEntry;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.reporting.legacy.xml.LegacyXmlReportGeneratingListener;
import org.opentest4j.IncompleteExecutionException;

/**
 * Runs the kit's tests of one backend. The only class of the tool that touches the JUnit Platform,
 * and in no signature of another, so that the other commands start without it.
 */
final class ConformanceRun implements TestExecutionListener {
  private final String backend;
  private final Progress progress;
  private final Map<UniqueId, Long> started = new HashMap<>();
  private final Map<UniqueId, Map<String, String>> entries = new HashMap<>();
  private final List<CheckResult> checks = new ArrayList<>();
  private OptionalLong seed = OptionalLong.empty();
  private @Nullable TestPlan plan;

  private ConformanceRun(String backend, Progress progress) {
    this.backend = backend;
    this.progress = progress;
  }

  /**
   * Runs the tests.
   *
   * @param report directory for JUnit XML
   */
  static ConformanceRun of(String backend, @Nullable Path report, Progress progress) {
    ConformanceRun run = new ConformanceRun(backend, progress);
    LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
        .selectors(selectClass(NamedBackendConformance.class))
        .configurationParameter("vbn.conformance.backend", backend)
        .build();
    // Listeners of whoever runs this in a test are not asked to listen here.
    LauncherConfig config = LauncherConfig.builder()
        .enableLauncherSessionListenerAutoRegistration(false)
        .enableTestExecutionListenerAutoRegistration(false)
        .build();
    List<TestExecutionListener> listeners = new ArrayList<>(List.of(run));
    if (report != null) {
      listeners.add(
          new LegacyXmlReportGeneratingListener(report, new PrintWriter(Writer.nullWriter())));
    }
    LauncherFactory.create(config)
        .execute(request, listeners.toArray(TestExecutionListener[]::new));
    return run;
  }

  synchronized List<CheckResult> checks() {
    return List.copyOf(checks);
  }

  /** Of the random cases, as the kit stated it at its end. */
  synchronized OptionalLong seed() {
    return seed;
  }

  @Override
  public synchronized void testPlanExecutionStarted(TestPlan testPlan) {
    plan = testPlan;
  }

  @Override
  public synchronized void executionStarted(TestIdentifier test) {
    started.put(test.getUniqueIdObject(), System.nanoTime());
    if (test.isTest()) {
      progress.show(backend + ": " + count(Outcome.PASSED) + " passed, " + count(Outcome.FAILED)
          + " failed; " + name(test));
    }
  }

  private long count(Outcome outcome) {
    return checks.stream().filter(check -> check.outcome() == outcome).count();
  }

  /** The kit's census publishes what it makes of each test, and at the end the seed. */
  @Override
  public synchronized void reportingEntryPublished(TestIdentifier test, ReportEntry entry) {
    Map<String, String> pairs = entry.getKeyValuePairs();
    if (pairs.containsKey("outcome")) {
      entries.put(test.getUniqueIdObject(), pairs);
    } else if (pairs.containsKey("seed")) {
      seed = OptionalLong.of(Long.parseLong(pairs.get("seed")));
      progress.wipe(); // the census prints a line of its own
    }
  }

  /** The kit skips nothing unseen: what is skipped was switched off from outside. */
  @Override
  public synchronized void executionSkipped(TestIdentifier test, String reason) {
    add(test, Outcome.FAILED, "was skipped: " + reason, null);
  }

  @Override
  public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
    boolean successful = result.getStatus() == Status.SUCCESSFUL;
    if (successful && !test.isTest()) {
      return; // a container fails when its preparation does, or the census at the end
    }
    Throwable failure = result.getThrowable().orElse(null);
    add(test, outcome(test, result.getStatus()), successful ? "" : message(failure), failure);
  }

  private Outcome outcome(TestIdentifier test, Status status) {
    String counted = entries.getOrDefault(test.getUniqueIdObject(), Map.of()).get("outcome");
    return switch (status) {
      case SUCCESSFUL -> Outcome.PASSED;
      case FAILED -> Outcome.FAILED;
      // Only the census knows whether an abort is the kit's own.
      case ABORTED -> counted == null ? Outcome.FAILED : Outcome.valueOf(counted);
    };
  }

  private void add(
      TestIdentifier test, Outcome outcome, String message, @Nullable Throwable failure) {
    Map<String, String> entry = entries.getOrDefault(test.getUniqueIdObject(), Map.of());
    long now = System.nanoTime();
    checks.add(new CheckResult(
        rule(test),
        name(test),
        outcome,
        message,
        Double.parseDouble(entry.getOrDefault("ulps", "NaN")),
        Double.parseDouble(entry.getOrDefault("share-of-tolerance", "NaN")),
        Long.parseLong(entry.getOrDefault("comparisons", "0")),
        thrown(entry, failure),
        Duration.ofNanos(now - started.getOrDefault(test.getUniqueIdObject(), now))));
  }

  /** The census says which kernel threw, and where; the exception hangs on the failure. */
  private static @Nullable Thrown thrown(Map<String, String> entry, @Nullable Throwable failure) {
    String kernel = entry.get("kernel");
    if (kernel == null || failure == null) {
      return null;
    }
    Throwable exception = failure;
    while (exception.getCause() != null) {
      boolean backend = exception instanceof BackendFailedException;
      exception = exception.getCause();
      if (backend) {
        break;
      }
    }
    return new Thrown(kernel, ErrorLine.of(exception.toString()), entry.get("frame"));
  }

  private static @Nullable Rule rule(TestIdentifier test) {
    return test.getSource()
        .filter(MethodSource.class::isInstance)
        .map(MethodSource.class::cast)
        .flatMap(source -> Rule.checkedBy(source.getJavaMethod()))
        .orElse(null);
  }

  /** Display names from below the test class down; of a class, its own. */
  private String name(TestIdentifier test) {
    StringBuilder name = new StringBuilder(test.getDisplayName());
    TestIdentifier parent = parent(test);
    while (parent != null) {
      TestIdentifier grandparent = parent(parent);
      if (grandparent == null || parent(grandparent) == null) {
        break; // the class, or the engine
      }
      name.insert(0, parent.getDisplayName() + " > ");
      parent = grandparent;
    }
    return ErrorLine.of(name.toString());
  }

  private @Nullable TestIdentifier parent(TestIdentifier test) {
    return plan == null ? null : plan.getParent(test).orElse(null);
  }

  private static String message(@Nullable Throwable failure) {
    if (failure == null) {
      return "failed without a reason";
    }
    String message = failure.getMessage();
    if (message == null || message.isBlank()) {
      return failure.getClass().getName();
    }
    boolean readable =
        failure instanceof AssertionError || failure instanceof IncompleteExecutionException;
    return (readable ? "" : failure.getClass().getName() + ": ") + message.strip();
  }
}
