package dev.vbn.examples;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.File;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * A stranger's machine: Maven and the Java of this test, and of this build nothing but the published
 * artifacts, in a repository of its own. Projects are copied there. The artifacts are those that this
 * build has made, or those of the folder that the system property {@code vbn.release} names.
 */
final class Elsewhere {
  static final Path ROOT = Path.of("..", "..").toAbsolutePath().normalize();
  private static final Optional<Path> RELEASE =
      Optional.ofNullable(System.getProperty("vbn.release")).map(Path::of);
  static final String VERSION =
      RELEASE.map(Elsewhere::versionIn).orElseGet(() -> property("vbn.version"));

  /** Whether this build fetches nothing. */
  static final boolean OFFLINE = property("vbn.offline").endsWith("true");

  private final Path directory;
  private final Path repository;

  private Elsewhere(Path directory, Path repository) {
    this.directory = directory;
    this.repository = repository;
  }

  /**
   * A machine with these modules and the parent of all.
   *
   * @param directory where projects are copied to
   * @param repository what lies there already, but for the modules, stays
   */
  static Elsewhere in(Path directory, Path repository, String... modules) throws IOException {
    Elsewhere elsewhere = new Elsewhere(directory, repository);
    if (RELEASE.isEmpty()) {
      elsewhere.publish("vbn-parent", ROOT.resolve("pom.xml"));
      for (String module : modules) {
        elsewhere.publish(module, ROOT.resolve(module).resolve("pom.xml"));
      }
    }
    return elsewhere;
  }

  private static String versionIn(Path release) {
    try (Stream<Path> versions =
        Files.list(release.resolve("dev/vbn/vbn-api")).filter(Files::isDirectory)) {
      List<Path> found = versions.toList();
      assertEquals(1, found.size(), () -> "versions in " + release + ": " + found);
      return String.valueOf(found.get(0).getFileName());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The command line with all that it needs. */
  static Path standaloneJar() {
    String file = "vbn-cli-" + VERSION + "-standalone.jar";
    return RELEASE
        .map(release -> release.resolve("dev/vbn/vbn-cli").resolve(VERSION).resolve(file))
        .orElseGet(() -> ROOT.resolve("apps/vbn-cli/target").resolve(file));
  }

  /** Puts a module's pom and plain jar, if it has one, where "install" puts them. */
  private void publish(String module, Path pom) throws IOException {
    String file = module + "-" + VERSION;
    Path target = Files.createDirectories(repository.resolve("dev/vbn/" + module + "/" + VERSION));
    Files.copy(pom, target.resolve(file + ".pom"), StandardCopyOption.REPLACE_EXISTING);
    if (!module.equals("vbn-parent")) {
      Files.copy(
          ROOT.resolve(module + "/target/" + file + ".jar"),
          target.resolve(file + ".jar"),
          StandardCopyOption.REPLACE_EXISTING);
    }
  }

  /** A copy of a project of Maven, without what its build left there. */
  Path project(Path sources) throws IOException {
    String version = property("vbn.version");
    assertTrue(
        Files.readString(sources.resolve("pom.xml"))
            .contains("<vbn.version>" + version + "</vbn.version>"),
        "the version of VBN in " + sources.resolve("pom.xml") + "; expected " + version);
    return copy(sources);
  }

  /** As {@link #project}, whatever builds it. */
  Path copy(Path sources) throws IOException {
    Path project = directory.resolve(String.valueOf(sources.getFileName()));
    try (Stream<Path> files = Files.walk(sources)) {
      for (Path file : files.filter(Files::isRegularFile).toList()) {
        Path relative = sources.relativize(file);
        if (!relative.startsWith("target")) {
          Path copy = project.resolve(relative.toString());
          Files.createDirectories(requireNonNull(copy.getParent()));
          Files.copy(file, copy);
        }
      }
    }
    return project;
  }

  /** Runs Maven on a project, offline if this build is, and yields what it printed if it succeeded. */
  String maven(Path project, String... arguments) throws Exception {
    boolean windows = File.separatorChar == '\\';
    List<String> command = new ArrayList<>(List.of(
        Path.of(property("maven.home"), "bin", windows ? "mvn.cmd" : "mvn").toString(),
        "--batch-mode",
        "--no-transfer-progress",
        "-Dmaven.repo.local=" + repository,
        "-Dvbn.version=" + VERSION,
        // Read, never written: the release, and all that is not ours.
        "-Dmaven.repo.local.tail=" + RELEASE.map(release -> release + ",").orElse("")
            + property("vbn.localRepository"),
        "-Dmaven.repo.local.tail.ignoreAvailability=true"));
    if (OFFLINE) {
      command.add("--offline");
    }
    command.addAll(List.of(arguments));
    return succeed(project, command.toArray(String[]::new));
  }

  /** A program of the Java of this test. */
  static String java(String program) {
    return Path.of(System.getProperty("java.home"), "bin", program).toString();
  }

  /** Runs a command on the Java of this test, and yields what it printed if it succeeded. */
  String succeed(Path workingDirectory, String... command) throws Exception {
    return run(0, workingDirectory, command);
  }

  /** Runs a command on the Java of this test, and yields what it printed if it ended so. */
  String run(int exitCode, Path workingDirectory, String... command) throws Exception {
    Path log = Files.createTempFile(directory, "output", ".txt");
    ProcessBuilder builder = new ProcessBuilder(command)
        .directory(workingDirectory.toFile())
        .redirectErrorStream(true)
        .redirectOutput(log.toFile());
    builder.environment().put("JAVA_HOME", System.getProperty("java.home"));
    // A build of seconds: compiling Maven itself well does not pay.
    builder.environment().put("MAVEN_OPTS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC");
    Process process = builder.start();
    try {
      if (!process.waitFor(10, TimeUnit.MINUTES)) {
        fail(List.of(command) + " did not end in 10 minutes:\n" + Files.readString(log));
      }
    } finally {
      process.descendants().forEach(ProcessHandle::destroyForcibly);
      process.destroyForcibly();
    }
    String output = Files.readString(log);
    assertEquals(
        exitCode, process.exitValue(), () -> "exit code of " + List.of(command) + ":\n" + output);
    return output;
  }

  static String property(String name) {
    return requireNonNull(
        System.getProperty(name), () -> name + " is not set; run this with ./mvnw verify");
  }
}
