package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.conformance.VbnConformance;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.io.TempDir;
import org.junit.platform.engine.TestExecutionResult;
import org.junit.platform.launcher.TestExecutionListener;
import org.junit.platform.launcher.TestIdentifier;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;

/** On a machine without g++ there is no emulated driver: tests in a JVM whose PATH leads nowhere. */
@EnabledForJreRange(min = JRE.JAVA_22)
class NoCompilerTest {
  private static final String REASON = "no g++ to build it with";
  private static final String REQUIRED = "-D" + VbnConformance.REQUIRE_DEVICE_PROPERTY + "=true";

  @TempDir
  Path empty;

  @Test
  void testsAreSkippedForThatReason() throws Exception {
    List<String> lines = run(LaunchesTest.class);
    assertTrue(lines.size() > 2, lines::toString);
    for (String line : lines) {
      assertTrue(line.startsWith("ABORTED ") && line.contains(REASON), line);
    }
  }

  @Test
  void withADeviceRequiredTheyFailForIt() throws Exception {
    List<String> lines = run(LaunchesTest.class, REQUIRED);
    assertTrue(lines.size() > 2, lines::toString);
    for (String line : lines) {
      assertTrue(line.startsWith("FAILED ") && line.contains(REASON), line);
    }
  }

  /** Only what asks the provider, and no device, is left of the kit. */
  @Test
  void theKitCountsItsChecksApart() throws Exception {
    List<String> lines = run(EmulatedSeed1ConformanceTest.class);
    long skipped = lines.stream()
        .filter(line -> line.startsWith("ABORTED ") && line.contains(REASON))
        .count();
    assertTrue(skipped > 150, lines::toString);
    assertEquals(0, count(lines, "FAILED "), lines::toString);
    assertTrue(
        lines.stream().anyMatch(line -> line.contains(" " + skipped + " without device")),
        lines::toString);
  }

  @Test
  void withADeviceRequiredTheKitFails() throws Exception {
    List<String> lines = run(EmulatedSeed1ConformanceTest.class, REQUIRED);
    assertEquals(0, count(lines, "ABORTED "), lines::toString);
    assertTrue(count(lines, "FAILED ") > 150, lines::toString);
  }

  private static long count(List<String> lines, String start) {
    return lines.stream().filter(line -> line.startsWith(start)).count();
  }

  /** What a JVM of its own prints that runs a test class. */
  private List<String> run(Class<?> test, String... options) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of(
        "--enable-native-access=ALL-UNNAMED",
        "-Dvbn.test.emulator=" + empty,
        "-cp",
        System.getProperty("java.class.path")));
    command.addAll(List.of(options));
    command.addAll(List.of(Run.class.getName(), test.getName()));
    ProcessBuilder builder = new ProcessBuilder(command).redirectErrorStream(true);
    builder.environment().put("PATH", empty.toString());
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
    return output.lines().toList();
  }

  /** Runs the tests of a class and prints a line for each. */
  static final class Run {
    private Run() {}

    public static void main(String[] arguments) {
      LauncherFactory.create()
          .execute(
              LauncherDiscoveryRequestBuilder.request()
                  .selectors(selectClass(arguments[0]))
                  .build(),
              new TestExecutionListener() {
                @Override
                public void executionFinished(TestIdentifier test, TestExecutionResult result) {
                  if (test.isTest()) {
                    System.out.println(result.getStatus() + " " + test.getDisplayName() + ": "
                        + result.getThrowable().map(Throwable::getMessage).orElse(""));
                  }
                }
              });
    }
  }
}
