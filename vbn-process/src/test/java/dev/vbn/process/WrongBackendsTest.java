package dev.vbn.process;

import static java.nio.charset.StandardCharsets.UTF_8;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.conformance.NamedBackendConformance;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Predicate;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/**
 * Faults on the other side of the pipe, each under one condition, fail at the rule that they break.
 * {@code -Dvbn.process.offenders} says how many that change something are taken of their product,
 * {@code -Dvbn.offenders.seed} which.
 */
class WrongBackendsTest {
  private static final String PROGRAM = "src/test/python/faulty_backend.py";
  private static final int SAMPLE = Integer.getInteger("vbn.process.offenders", 1);
  private static final long SEED = Long.getLong("vbn.offenders.seed", 1);

  @TempDir
  Path folder;

  /** Runs the whole kit. */
  private Map<String, String> failures(String offender) {
    return failures(offender, failures -> false);
  }

  /** Runs the kit until what has failed is enough; the program has no more to compute then. */
  private Map<String, String> failures(String offender, Predicate<Map<String, String>> enough) {
    String command = "python3 " + PROGRAM + " " + offender + " '" + folder + "'";
    Adapters.require(command);
    Map<String, String> failures = new TreeMap<>();
    LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
        .selectors(selectClass(NamedBackendConformance.class))
        .configurationParameter(NamedBackendConformance.BACKEND_PARAMETER, "process")
        // The longest of the kit's tests are late in this order.
        .configurationParameter(
            MethodOrderer.DEFAULT_ORDER_PROPERTY_NAME, MethodOrderer.MethodName.class.getName())
        .build();
    LauncherConfig config = LauncherConfig.builder()
        .enableLauncherSessionListenerAutoRegistration(false)
        .enableTestExecutionListenerAutoRegistration(false)
        .build();
    System.setProperty(ProcessProvider.COMMAND_PROPERTY, command);
    try {
      LauncherFactory.create(config).execute(request, new TestExecutionListener() {
        @Override
        public void executionFinished(TestIdentifier test, TestExecutionResult result) {
          if (result.getStatus() != TestExecutionResult.Status.FAILED || enough.test(failures)) {
            return;
          }
          String message = result.getThrowable().map(Throwable::getMessage).orElse("");
          failures.merge(
              message.substring(0, Math.min(7, message.length())), message, (a, b) -> a + b);
          if (enough.test(failures)) {
            make("stop");
          }
        }
      });
    } finally {
      System.clearProperty(ProcessProvider.COMMAND_PROPERTY);
    }
    return failures;
  }

  private void make(String file) {
    try {
      Files.writeString(folder.resolve(file), "");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      VARIANCE_UNBIASED ALWAYS                         | VBN-201 | The variance of [1, 3] is 1
      WEIGHT_OF_ONE_EXAMPLE_MORE PER_EXAMPLE           | VBN-301 | All of these have variant PER_EXAMPLE
      STATISTICS_OF_THE_CALL_BEFORE IN_REFERENCE_PASS  | VBN-703 | VBN-703
      """)
  void aFaultFailsAtTheRuleThatItBreaks(String offender, String rule, String words) {
    Map<String, String> failures =
        failures(offender, found -> found.getOrDefault(rule, "").contains(words));
    String message = failures.getOrDefault(rule, "only failed: " + failures.keySet());
    assertTrue(message.contains(words), message);
  }

  @Test
  void aFaultOfOneSumFailsNothingElse() {
    Map<String, String> failures = failures("DBETA_LEFT_OUT FEATURES_12");
    Set<String> rules = failures.keySet();
    assertTrue(rules.containsAll(Set.of("VBN-403", "VBN-406", "VBN-903")), rules::toString);
    assertTrue(
        Collections.disjoint(rules, Set.of("VBN-301", "VBN-401", "VBN-402")), rules::toString);
    String message = failures.get("VBN-403");
    assertTrue(message.contains("All of these have features 12"), message);
  }

  @Test
  void aFaultUnderAConditionIsCaught(TestReporter reporter) throws Exception {
    Adapters.require("python3 adapters/numpy_backend.py");
    List<String> pairs = new ArrayList<>(product());
    Collections.shuffle(pairs, new Random(SEED));
    List<String> survivors = new ArrayList<>();
    int offenders = 0;
    int taken = 0;
    while (offenders < SAMPLE && taken < pairs.size()) {
      String pair = pairs.get(taken++);
      Map<String, String> failures = failures(pair, found -> !found.isEmpty());
      boolean altered = Files.deleteIfExists(folder.resolve("altered"));
      Files.deleteIfExists(folder.resolve("stop"));
      offenders += altered ? 1 : 0;
      if (altered && failures.isEmpty()) {
        survivors.add(pair);
      }
    }
    reporter.publishEntry(
        "offenders of a process", offenders + " of " + taken + " pairs, seed " + SEED);
    assertEquals(List.of(), survivors);
    assertTrue(offenders > 0, "no pair of the sample changes anything");
  }

  private static List<String> product() throws IOException {
    Process program = new ProcessBuilder("python3", PROGRAM).start();
    try (InputStream names = program.getInputStream()) {
      return new String(names.readAllBytes(), UTF_8).lines().toList();
    }
  }
}
