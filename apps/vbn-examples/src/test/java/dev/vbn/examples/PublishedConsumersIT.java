package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Those of the folder consumers that fetch much or take long, on what a release has published. */
class PublishedConsumersIT {
  private static final Path CONSUMERS = Elsewhere.ROOT.resolve("consumers");
  private static final Pattern CENSUS = Pattern.compile(
      "VBN conformance of 'reference': (\\d+) of (\\d+) rules, .* 0 without device, 0 failed");

  @TempDir
  Path directory;

  private static Path repository;

  @BeforeAll
  static void release() {
    Elsewhere.property("vbn.release");
    repository = Path.of("target", "consumers").toAbsolutePath();
  }

  @Test
  void inASpringBootJar() throws Exception {
    Elsewhere elsewhere = Elsewhere.in(directory, repository);
    Path project = elsewhere.project(CONSUMERS.resolve("spring-boot"));
    elsewhere.maven(project, "package");

    String output = elsewhere.succeed(
        project.resolve("target"), Elsewhere.java("java"), "-jar", "spring-boot-1.0.0.jar");
    assertEquals(
        List.of("computed [1.2247425, 0.0]", "backend cuda", "backend reference"),
        output
            .lines()
            .filter(line -> line.startsWith("computed ") || line.startsWith("backend "))
            .toList(),
        output);
  }

  /** Of Debian, which is old: it runs on Java 17, and what it makes on the Java of this test. */
  @Test
  void withGradle() throws Exception {
    assumeTrue(
        Stream.of(System.getenv("PATH").split(File.pathSeparator, -1))
            .anyMatch(folder -> Files.isExecutable(Path.of(folder, "gradle"))),
        "no gradle on the PATH (apt-get install gradle)");
    Elsewhere elsewhere = Elsewhere.in(directory, repository);
    Path project = elsewhere.copy(CONSUMERS.resolve("gradle"));
    elsewhere.succeed(
        project,
        "env",
        "--unset=JAVA_HOME",
        "gradle",
        "--no-daemon",
        "--gradle-user-home=" + directory.resolve("gradle-home"),
        "-PvbnVersion=" + Elsewhere.VERSION,
        "-PvbnRepository=" + Path.of(Elsewhere.property("vbn.release")).toUri(),
        "lib");

    assertEquals(
        List.of("computed [1.2247425, 0.0]", "backend cuda", "backend reference"),
        elsewhere
            .succeed(project, Elsewhere.java("java"), "-cp", "build/lib/*", "com.example.Main")
            .lines()
            .toList());
  }

  /** The oldest and the newest; the one between is that of the build. */
  @ParameterizedTest
  @ValueSource(strings = {"5.9.3", "6.1.3"})
  void theKitOnJUnit(String version) throws Exception {
    Elsewhere elsewhere = Elsewhere.in(directory, repository);
    Path project = elsewhere.project(CONSUMERS.resolve("conformance"));

    String output = elsewhere.maven(project, "-Djunit.version=" + version, "test");
    Matcher census = CENSUS.matcher(output);
    assertTrue(census.find(), () -> "no census, or not a good one, in\n" + output);
    assertEquals(census.group(2), census.group(1), "rules checked");
  }
}
