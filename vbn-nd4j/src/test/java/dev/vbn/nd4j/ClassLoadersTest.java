package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.conformance.VbnConformance;
import java.io.File;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * ND4J's backend behind class loaders that neither the system's class loader nor the threads of the
 * common pool see. Native libraries load once in a JVM, so that each case has one of its own.
 */
class ClassLoadersTest {
  @ParameterizedTest
  @EnumSource(LoaderCase.class)
  void theBackendIsFound(LoaderCase scenario, @TempDir Path scratch) throws Exception {
    VbnConformance.assumeDevice(new Nd4jProvider());
    // On the class path is nothing but the case itself.
    Path classes = Path.of(
        LoaderCase.class.getProtectionDomain().getCodeSource().getLocation().toURI());
    Path own = Files.createDirectories(scratch.resolve("own/dev/vbn/nd4j"));
    try (var files = Files.list(classes.resolve("dev/vbn/nd4j"))) {
      for (Path file : files.toList()) {
        if (file.getFileName().toString().startsWith("LoaderCase")) {
          Files.copy(file, own.resolve(file.getFileName().toString()));
        }
      }
    }
    List<String> command = new ArrayList<>(List.of(
        Path.of(System.getProperty("java.home"), "bin", "java").toString(),
        "-XX:+IgnoreUnrecognizedVMOptions",
        "--enable-native-access=ALL-UNNAMED",
        "--sun-misc-unsafe-memory-access=allow"));
    String cache = System.getProperty("org.bytedeco.javacpp.cachedir");
    if (cache != null) {
      command.add("-Dorg.bytedeco.javacpp.cachedir=" + cache);
    }
    command.addAll(List.of(
        "-cp", scratch.resolve("own").toString(), LoaderCase.class.getName(), scenario.name()));
    for (String entry : System.getProperty("java.class.path").split(File.pathSeparator, -1)) {
      if (!Path.of(entry).toAbsolutePath().equals(classes.toAbsolutePath())) {
        command.add(entry);
      }
    }
    File output = scratch.resolve("output").toFile();
    Process process = new ProcessBuilder(command)
        .redirectErrorStream(true)
        .redirectOutput(output)
        .start();
    try {
      process.waitFor(5, TimeUnit.MINUTES);
    } finally {
      process.destroyForcibly();
    }
    String text = Files.readString(output.toPath(), StandardCharsets.UTF_8);
    assertEquals("4.0", text.strip().replaceFirst("(?s).*\n", ""), text);
  }
}
