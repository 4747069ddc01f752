package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.VbnProvider;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.jar.JarEntry;
import java.util.jar.JarOutputStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Backends that only {@code --class-path} makes known. */
class ClassPathOptionTest {
  private static final String SERVICE = "META-INF/services/" + VbnProvider.class.getName();

  @TempDir
  Path directory;

  @BeforeEach
  void writeClassPath() throws IOException {
    Path service = directory.resolve("classes").resolve(SERVICE);
    Files.createDirectories(service.getParent());
    Files.writeString(service, FailingBackendTest.Throwing.class.getName());
    Path jars = Files.createDirectories(directory.resolve("jars"));
    try (JarOutputStream jar =
        new JarOutputStream(Files.newOutputStream(jars.resolve("absent.jar")))) {
      jar.putNextEntry(new JarEntry(SERVICE));
      jar.write(FailingBackendTest.Absent.class.getName().getBytes(StandardCharsets.UTF_8));
    }
    Files.writeString(jars.resolve("readme.txt"), "no jar");
  }

  private static void assertHas(CommandLine run, String... fragments) {
    for (String fragment : fragments) {
      assertTrue(run.out().contains(fragment), () -> fragment + " in\n" + run.out());
    }
  }

  @Test
  void directoriesAndJarsAddBackends() {
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    String both = directory.resolve("classes")
        + File.pathSeparator
        + directory.resolve("jars").resolve("absent.jar");
    CommandLine run = CommandLine.run("backends", "--class-path", both).succeeded();
    assertHas(run, "throwing", "absent", "reference");
    assertSame(before, Thread.currentThread().getContextClassLoader());
  }

  @Test
  void anAsteriskStandsForTheJarsOfADirectory() {
    CommandLine run = CommandLine.run(
            "--class-path", directory.resolve("jars") + File.separator + "*", "backends")
        .succeeded();
    assertHas(run, "absent", "reference");
  }

  @Test
  void commandsUseThem() {
    CommandLine run = CommandLine.run(
        "conform", "--class-path", directory.resolve("classes"), "--backend", "throwing");
    assertEquals(1, run.exitCode(), run.err());
    assertHas(run, "throwing", "the device");
  }

  /** The backend on other tensors has the higher priority. */
  @Test
  void plainArraysArePreferredWhereNoBackendIsNamed() throws IOException {
    Path classes = directory.resolve("classes");
    Files.writeString(classes.resolve(SERVICE), FailingBackendTest.Foreign.class.getName());
    CommandLine run = CommandLine.run("backends", "--class-path", classes).succeeded();
    assertHas(run, "foreign", "Without --backend, 'reference' computes.");
  }

  /** As for "java -cp". */
  @Test
  void anEmptyElementStandsForTheCurrentDirectory() {
    String classes = directory.resolve("classes").toString();
    for (String path :
        new String[] {"", classes + File.pathSeparator, File.pathSeparator + classes}) {
      CommandLine run = CommandLine.run("backends", "--class-path", path).succeeded();
      assertEquals(!path.isEmpty(), run.out().contains("throwing"), run.out());
    }
  }

  @Test
  void whatIsMissingOrNoJarIsBadInput() {
    assertRefused(directory.resolve("none.jar").toString(), "none.jar' is missing");
    assertRefused(directory.resolve("none") + File.separator + "*", "*' is missing");
    assertRefused(directory.resolve("jars/readme.txt").toString(), "readme.txt' cannot be read");
    assertRefused("\0", "cannot be read");
  }

  private static void assertRefused(String classPath, String fragment) {
    CommandLine run = CommandLine.run("backends", "--class-path", classPath);
    assertEquals(2, run.exitCode(), run.out());
    assertEquals("", run.out());
    assertEquals(1, run.err().lines().count(), run.err());
    assertTrue(run.err().contains(fragment), run.err());
  }
}
