package dev.vbn.process;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.conformance.NamedBackendConformance;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** Faults on the other side of the pipe fail at the rule that they break. */
class WrongBackendsTest {

  /** Messages by rule. */
  private static Map<String, String> failures(String command) {
    Map<String, String> failures = new TreeMap<>();
    LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
        .selectors(selectClass(NamedBackendConformance.class))
        .configurationParameter(NamedBackendConformance.BACKEND_PARAMETER, "process")
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
          result
              .getThrowable()
              .filter(failure -> result.getStatus() == TestExecutionResult.Status.FAILED)
              .map(failure -> String.valueOf(failure.getMessage()))
              .ifPresent(message -> failures.merge(
                  message.substring(0, Math.min(7, message.length())), message, (a, b) -> a + b));
        }
      });
    } finally {
      System.clearProperty(ProcessProvider.COMMAND_PROPERTY);
    }
    return failures;
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      Unbiased              | VBN-201 | The variance of [1, 3] is 1
      WeightOfOneMore       | VBN-301 | All of these have variant PER_EXAMPLE
      LastUpstreamForgotten | VBN-403 | All of these have features 12
      PreviousStatistics    | VBN-703 |
      """)
  void aFaultFailsAtTheRuleThatItBreaks(String fault, String rule, String words) {
    String command = "python3 src/test/python/wrong_backend.py " + fault;
    Adapters.require(command);
    Map<String, String> failures = failures(command);
    String message = failures.getOrDefault(rule, "only failed: " + failures.keySet());
    assertTrue(message.contains(words == null ? rule : words), message);
    if (fault.equals("LastUpstreamForgotten")) { // in one sum, under one condition
      assertEquals(Set.of(rule, "VBN-406"), failures.keySet());
    }
  }
}
