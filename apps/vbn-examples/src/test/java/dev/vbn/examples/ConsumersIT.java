package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import java.io.File;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * Programs of strangers, in the folder consumers: each is built by itself from the published
 * artifacts, with every warning of the compiler an error, and runs on the Java of this test.
 */
class ConsumersIT {
  private static final Path CONSUMERS = Elsewhere.ROOT.resolve("consumers");

  /** Stays until the build is cleaned, for the sake of Kotlin's compiler, which is 60 MB. */
  private static final Path REPOSITORY = Path.of("target", "consumers").toAbsolutePath();

  @TempDir
  static Path directory;

  private static Elsewhere elsewhere;

  @BeforeAll
  static void publish() throws Exception {
    elsewhere = Elsewhere.in(
        directory,
        REPOSITORY,
        "vbn-api",
        "vbn-state",
        "vbn-kernels",
        "vbn-reference",
        "vbn-djl",
        "vbn-nd4j",
        "vbn-cuda");
  }

  /** Builds a copy of a project, and yields the folder with what that made. */
  private static Path built(String consumer) throws Exception {
    Path project = elsewhere.project(CONSUMERS.resolve(consumer));
    elsewhere.maven(project, "package");
    return project.resolve("target");
  }

  private static void assertPrinted(String output, String... lines) {
    assertEquals(List.of(lines), output.lines().toList());
  }

  @Test
  void onTheClassPath() throws Exception {
    Path target = built("class-path");
    String classPath = "class-path-1.0.0.jar" + File.pathSeparator + "lib/*";

    assertPrinted(
        elsewhere.succeed(target, Elsewhere.java("java"), "-cp", classPath, "com.example.Main"),
        "computed [1.2247425, 0.0]",
        "restored [1.2247425, 0.0]",
        "backend cuda",
        "backend djl",
        "backend nd4j",
        "backend reference");
  }

  @Test
  void asANamedModule() throws Exception {
    Path target = built("named-module");
    String modulePath = "named-module-1.0.0.jar" + File.pathSeparator + "lib";
    String[] lines = {
      "computed [1.2247425, 0.0]", "restored [1.2247425, 0.0]", "backend cuda", "backend reference"
    };

    assertPrinted(
        elsewhere.succeed(
            target, Elsewhere.java("java"), "-p", modulePath, "-m", "com.example/com.example.Main"),
        lines);

    elsewhere.succeed(
        target,
        Elsewhere.java("jlink"),
        "-p",
        modulePath,
        "--add-modules",
        "com.example,dev.vbn.reference,dev.vbn.cuda",
        "--output",
        "image");
    assertPrinted(
        elsewhere.succeed(
            target,
            Path.of("image", "bin", "java").toString(),
            "-m",
            "com.example/com.example.Main"),
        lines);
  }

  @Test
  void inOneJar() throws Exception {
    Path target = built("shaded");

    assertPrinted(
        elsewhere.succeed(target, Elsewhere.java("java"), "-jar", "shaded-1.0.0-merged.jar"),
        "computed [1.2247425, 0.0]",
        "backend cuda",
        "backend reference");
    String refusal =
        elsewhere.run(1, target, Elsewhere.java("java"), "-jar", "shaded-1.0.0-unmerged.jar");
    assertTrue(
        refusal.contains("dev.vbn.reference.ReferenceProvider is there, but no"
            + " META-INF/services/dev.vbn.spi.VbnProvider names it: when jars are put into one,"
            + " merge META-INF/services."),
        refusal);
  }

  /** Its compiler is fetched by its build alone, and once. */
  @Test
  void inKotlin() throws Exception {
    assumeTrue(
        !Elsewhere.OFFLINE
            || Files.exists(REPOSITORY.resolve("org/jetbrains/kotlin/kotlin-maven-plugin")),
        "Maven is offline, and Kotlin's compiler was not fetched before");
    Path target = built("kotlin");
    String classPath = "kotlin-1.0.0.jar" + File.pathSeparator + "lib/*";

    assertPrinted(
        elsewhere.succeed(target, Elsewhere.java("java"), "-cp", classPath, "MainKt"),
        "computed [1.2247425, 0.0], gamma null");
  }
}
