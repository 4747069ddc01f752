package dev.vbn.examples;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * A stranger's backend passes the kit in both ways: its own build, which sees nothing of this one
 * but the published artifacts, and "java -jar", which needs no build. Its project is copied to a
 * place of its own, and Maven works offline: what the stranger's build needs, this one has fetched.
 */
class ThirdPartyBackendIT {
  private static final Path ROOT = Path.of("..", "..").toAbsolutePath().normalize();
  private static final Path SOURCES = Path.of("third-party-backend");
  private static final String VERSION = property("vbn.version");
  private static final Pattern CENSUS = Pattern.compile(
      "VBN conformance of 'nio': (\\d+) of (\\d+) rules, (\\d+) checks, \\d+ comparisons: .* 0 without"
          + " device, 0 failed");
  private static final Pattern SUITE = Pattern.compile(
      "<testsuite [^>]*?tests=\"(\\d+)\" errors=\"(\\d+)\" skipped=\"\\d+\" failures=\"(\\d+)\"");

  @TempDir
  static Path directory;

  private static String buildOutput;

  @BeforeAll
  static void build() throws Exception {
    Path project = directory.resolve("project");
    copy(project);
    assertTrue(
        Files.readString(project.resolve("pom.xml"))
            .contains("<vbn.version>" + VERSION + "</vbn.version>"),
        "the version of the kit in the project's pom.xml; expected " + VERSION);
    Path repository = directory.resolve("repository");
    publish(repository, "vbn-parent", ROOT.resolve("pom.xml"));
    publish(repository, "vbn-api", ROOT.resolve("vbn-api/pom.xml"));
    publish(repository, "vbn-state", ROOT.resolve("vbn-state/pom.xml"));
    publish(repository, "vbn-conformance", ROOT.resolve("vbn-conformance/pom.xml"));
    boolean windows = File.separatorChar == '\\';
    buildOutput = run(
        project,
        Path.of(property("maven.home"), "bin", windows ? "mvn.cmd" : "mvn").toString(),
        "--batch-mode",
        "--offline",
        "-Dmaven.repo.local=" + repository,
        // Read, never written, for all that is not ours.
        "-Dmaven.repo.local.tail=" + property("vbn.localRepository"),
        "-Dmaven.repo.local.tail.ignoreAvailability=true",
        "verify");
  }

  private static void copy(Path project) throws IOException {
    try (Stream<Path> files = Files.walk(SOURCES)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path relative = SOURCES.relativize(file);
        if (!relative.startsWith("target")) {
          Path copy = project.resolve(relative.toString());
          Files.createDirectories(requireNonNull(copy.getParent()));
          Files.copy(file, copy);
        }
      }
    }
  }

  /** Puts a module's pom and plain jar, if it has one, where "install" puts them. */
  private static void publish(Path repository, String module, Path pom) throws IOException {
    String file = module + "-" + VERSION;
    Path target = Files.createDirectories(repository.resolve("dev/vbn/" + module + "/" + VERSION));
    Files.copy(pom, target.resolve(file + ".pom"));
    if (!module.equals("vbn-parent")) {
      Files.copy(ROOT.resolve(module + "/target/" + file + ".jar"), target.resolve(file + ".jar"));
    }
  }

  @Test
  void itsBuildRunsTheWholeKit() throws IOException {
    assertCensus(buildOutput);
    int tests = 0;
    try (Stream<Path> reports = Files.list(directory.resolve("project/target/surefire-reports"))) {
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
    String output = run(
        directory,
        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "-jar",
        ROOT.resolve("apps/vbn-cli/target/vbn-cli-" + VERSION + "-standalone.jar")
            .toString(),
        "conform",
        "--class-path",
        directory.resolve("project/target/nio-backend-1.0.0.jar").toString(),
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

  /** Runs a command on the Java of this test, and yields what it printed if it succeeded. */
  private static String run(Path workingDirectory, String... command) throws Exception {
    Path log = Files.createTempFile(directory, "output", ".txt");
    ProcessBuilder builder = new ProcessBuilder(command)
        .directory(workingDirectory.toFile())
        .redirectErrorStream(true)
        .redirectOutput(log.toFile());
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    Process process = builder.start();
    try {
      if (!process.waitFor(3, TimeUnit.MINUTES)) {
        fail(List.of(command) + " did not end in 3 minutes:\n" + Files.readString(log));
      }
    } finally {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    }
    String output = Files.readString(log);
    assertEquals(0, process.exitValue(), () -> List.of(command) + " failed:\n" + output);
    return output;
  }

  private static String property(String name) {
    return requireNonNull(
        System.getProperty(name), () -> name + " is not set; run this with ./mvnw verify");
  }
}
