package dev.vbn.conformance.offender;

import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.conformance.Rule;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.platform.engine.DiscoverySelector;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.engine.TestExecutionResult.Status;
import org.junit.platform.engine.reporting.ReportEntry;
import org.junit.platform.engine.support.descriptor.MethodSource;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** One run of the kit, as a build would start it, and what JUnit reports of it. */
final class KitRun implements TestExecutionListener {
  /** Messages of what failed, by rule. */
  final Map<Rule, List<String>> failures = new EnumMap<>(Rule.class);

  /** Messages of failures outside any test: the census. */
  final List<String> failuresBeside = new ArrayList<>();

  /** How often the census counted each outcome. */
  final Map<String, Integer> outcomes = new TreeMap<>();

  /** The kernels that failed checks ended in, with the frame that threw. */
  final Map<String, String> kernels = new TreeMap<>();

  /** The rule that failed first. */
  @Nullable
  Rule first;

  /** How long each check took, by its unique id. */
  final Map<String, Long> nanoseconds = new HashMap<>();

  private final Map<String, Long> started = new HashMap<>();
  private final Runnable failed;

  private KitRun(Runnable failed) {
    this.failed = failed;
  }

  String seed = "";
  int tests;

  /** Runs a kit. */
  static KitRun of(Class<?> kit, Map<String, String> parameters) {
    return of(selectClass(kit), parameters);
  }

  /** Runs some of a kit or all of it, and tells {@code failed} of the first failure. */
  static KitRun of(List<? extends DiscoverySelector> selectors, Runnable failed) {
    LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
        .selectors(selectors)
        .configurationParameter(
            MethodOrderer.DEFAULT_ORDER_PROPERTY_NAME, CheapestFirst.class.getName())
        .build();
    return of(request, failed);
  }

  /** Runs a part of a kit. */
  static KitRun of(DiscoverySelector selector, Map<String, String> parameters) {
    LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
        .selectors(selector)
        .configurationParameters(parameters)
        .build();
    return of(request);
  }

  static KitRun of(LauncherDiscoveryRequest request) {
    return of(request, () -> {});
  }

  private static KitRun of(LauncherDiscoveryRequest request, Runnable failed) {
    KitRun run = new KitRun(failed);
    LauncherConfig config = LauncherConfig.builder()
        .enableLauncherSessionListenerAutoRegistration(false)
        .enableTestExecutionListenerAutoRegistration(false)
        .build();
    LauncherFactory.create(config).execute(request, run);
    return run;
  }

  boolean green() {
    return failures.isEmpty() && failuresBeside.isEmpty();
  }

  @Override
  public synchronized void reportingEntryPublished(TestIdentifier test, ReportEntry entry) {
    Map<String, String> pairs = entry.getKeyValuePairs();
    seed = pairs.getOrDefault("seed", seed);
    if (pairs.containsKey("kernel")) {
      kernels.put(pairs.get("kernel"), pairs.getOrDefault("frame", ""));
    }
    if (pairs.containsKey("outcome")) {
      outcomes.merge(pairs.get("outcome"), 1, Integer::sum);
    }
  }

  @Override
  public synchronized void executionStarted(TestIdentifier test) {
    started.put(test.getUniqueId(), System.nanoTime());
  }

  @Override
  public synchronized void executionFinished(TestIdentifier test, TestExecutionResult result) {
    if (test.isTest()) {
      tests++;
      String id = test.getUniqueId();
      nanoseconds.put(id, System.nanoTime() - started.getOrDefault(id, 0L));
    }
    if (result.getStatus() != Status.FAILED) {
      return;
    }
    failed.run();
    String message = result.getThrowable().map(Throwable::getMessage).orElse("");
    Optional<Rule> rule = test.getSource()
        .filter(MethodSource.class::isInstance)
        .flatMap(source -> Rule.checkedBy(((MethodSource) source).getJavaMethod()));
    if (rule.isPresent()) {
      first = first == null ? rule.get() : first;
      failures.computeIfAbsent(rule.get(), first -> new ArrayList<>()).add(message);
    } else {
      failuresBeside.add(message);
    }
  }
}
