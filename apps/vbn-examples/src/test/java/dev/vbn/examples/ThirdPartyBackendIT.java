package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A stranger's backend passes the kit in both ways: its own build, which sees nothing of this one
 * but the published artifacts, and "java -jar", which needs no build. What the stranger's build
 * needs and this one has not fetched comes from Maven Central.
 */
class ThirdPartyBackendIT {
  private static final Path SOURCES = Path.of("third-party-backend");
  private static final Pattern CENSUS = Pattern.compile(
      "VBN conformance of 'nio': (\\d+) of (\\d+) rules, (\\d+) checks, \\d+ comparisons: .* 0 without"
          + " device, 0 failed");
  private static final Pattern SUITE = Pattern.compile(
      "<testsuite [^>]*?tests=\"(\\d+)\" errors=\"(\\d+)\" skipped=\"\\d+\" failures=\"(\\d+)\"");

  @TempDir
  static Path directory;

  private static Elsewhere elsewhere;
  private static Path project;
  private static String buildOutput;

  @BeforeAll
  static void build() throws Exception {
    elsewhere = Elsewhere.in(
        directory, directory.resolve("repository"), "vbn-api", "vbn-state", "vbn-conformance");
    project = elsewhere.project(SOURCES);
    buildOutput = elsewhere.maven(project, "verify");
  }

  @Test
  void itsBuildRunsTheWholeKit() throws IOException {
    assertCensus(buildOutput);
    int tests = 0;
    try (Stream<Path> reports = Files.list(project.resolve("target/surefire-reports"))) {
      for (Path report :
          reports.filter(file -> file.toString().endsWith(".xml")).toList()) {
        Matcher suite = SUITE.matcher(Files.readString(report));
        assertTrue(suite.find(), () -> report + " holds no test suite");
        assertEquals("0", suite.group(2), "errors in " + report);
        assertEquals("0", suite.group(3), "failures in " + report);
        tests += Integer.parseInt(suite.group(1));
      }
    }
    assertTrue(tests > 100, "tests in the report: " + tests + "; expected more than 100");
  }

  @Test
  void theKitRunsOnItsJarWithoutABuild() throws Exception {
    String output = elsewhere.succeed(
        directory,
        Elsewhere.java("java"),
        "-jar",
        Elsewhere.standaloneJar().toString(),
        "conform",
        "--class-path",
        project.resolve("target/nio-backend-1.0.0.jar").toString(),
        "--backend",
        "nio");
    assertCensus(output);
    assertTrue(
        Pattern.compile("(?m)^ *nio .* conforms$").matcher(output).find(),
        () -> "expected the verdict 'conforms' in\n" + output);
  }

  private static void assertCensus(String output) {
    Matcher census = CENSUS.matcher(output);
    assertTrue(census.find(), () -> "no census, or not a good one, in\n" + output);
    assertEquals(census.group(2), census.group(1), "rules checked");
    assertTrue(Integer.parseInt(census.group(3)) > 100, census.group());
  }
}
