package dev.vbn.cli;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.conformance.NamedBackendConformance;
import java.io.PrintWriter;
import java.io.Writer;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.TestPlan;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.reporting.legacy.xml.LegacyXmlReportGeneratingListener;

/**
 * Runs the kit's tests of one backend. The only class of the tool that touches the JUnit Platform,
 * and in no signature of another, so that the other commands start without it.
 */
final class ConformanceRun implements TestExecutionListener {
  private final String backend;
  private final Progress progress;
  private final List<String> failures = new ArrayList<>();
  private int passed;
  private int skipped;
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
  static ConformanceResult of(String backend, @Nullable Path report, Progress progress) {
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
    return new ConformanceResult(run.passed, run.skipped, List.copyOf(run.failures));
  }

  @Override
  public void testPlanExecutionStarted(TestPlan testPlan) {
    plan = testPlan;
  }

  @Override
  public void executionStarted(TestIdentifier test) {
    if (test.isTest()) {
      progress.show(
          backend + ": " + passed + " passed, " + failures.size() + " failed; " + name(test));
    }
  }

  @Override
  public void executionSkipped(TestIdentifier test, String reason) {
    // A skipped container stands for all its tests.
    skipped += plan == null
        ? 1
        : (int) Math.max(
            1, plan.countTestIdentifiers(other -> other.isTest() && isWithin(other, test)));
  }

  @Override
  public void executionFinished(TestIdentifier test, TestExecutionResult result) {
    switch (result.getStatus()) {
      case SUCCESSFUL -> passed += test.isTest() ? 1 : 0;
      case ABORTED -> skipped++;
      // A container fails when its preparation does: then its tests have not run at all.
      case FAILED -> failures.add(name(test) + ": " + firstLine(result));
    }
  }

  private static boolean isWithin(TestIdentifier test, TestIdentifier container) {
    return test.getUniqueIdObject().hasPrefix(container.getUniqueIdObject());
  }

  /** Display names from below the test class down. */
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

  private static String firstLine(TestExecutionResult result) {
    Throwable failure = result.getThrowable().orElse(null);
    if (failure == null) {
      return "failed without a reason";
    }
    String message = failure.getMessage();
    if (message == null || message.isBlank()) {
      return failure.getClass().getName();
    }
    String line = message.strip().lines().findFirst().orElse("");
    return failure instanceof AssertionError
        ? line
        : failure.getClass().getSimpleName() + ": " + line;
  }
}
