package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The launcher {@code ./vbn}, in a checkout whose jars are empty and with a Java that only prints. */
class LauncherTest {
  private static final List<String> MODULES = List.of(
      "vbn-api", "vbn-state", "vbn-kernels", "vbn-conformance", "vbn-reference", "apps/vbn-cli");

  @TempDir
  Path directory;

  private Path root;

  @BeforeEach
  void makeCheckout() throws IOException {
    root = Files.createDirectory(directory.resolve("checkout")).toRealPath();
    Files.copy(Path.of("..", "..", "vbn"), root.resolve("vbn"));
    Files.writeString(root.resolve("pom.xml"), "");
    for (String module : MODULES) {
      Path main = Files.createDirectories(root.resolve(module).resolve("src/main"));
      Files.writeString(root.resolve(module).resolve("pom.xml"), "");
      if (module.equals("vbn-reference")) {
        Path services = Files.createDirectories(main.resolve("resources/META-INF/services"));
        Files.writeString(services.resolve("dev.vbn.spi.VbnProvider"), "");
      }
    }
    for (String module : MODULES) { // after the sources, and so up to date
      Path target = Files.createDirectories(root.resolve(module).resolve("target"));
      Files.writeString(target.resolve(Path.of(module).getFileName() + "-1.0.jar"), "");
    }
    Path java = Files.createDirectories(directory.resolve("java/bin")).resolve("java");
    Files.writeString(java, "#!/bin/sh\nprintf '%s\\n' \"$@\"\n");
    assertTrue(java.toFile().setExecutable(true));
    Files.writeString(directory.resolve("java/release"), "JAVA_VERSION=\"25\"\n");
  }

  /** What Java is started with. */
  private List<String> start(Path workingDirectory, String script) throws Exception {
    ProcessBuilder builder = new ProcessBuilder("bash", script, "backends")
        .directory(workingDirectory.toFile())
        .redirectErrorStream(true);
    builder.environment().put("JAVA_HOME", directory.resolve("java").toString());
    builder.environment().put("CDPATH", directory.toString());
    builder.environment().remove("VBN_BACKENDS");
    Process process = builder.start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertTrue(process.waitFor(1, TimeUnit.MINUTES));
    assertEquals(0, process.exitValue(), output);
    return output.lines().toList();
  }

  @Test
  void aPathThatCdSearchesDoesNotLeadItAway() throws Exception {
    List<String> arguments = start(directory, "checkout/vbn");
    assertEquals("backends", arguments.get(arguments.size() - 1));
    String classPath = arguments.get(arguments.indexOf("-cp") + 1);
    for (String entry : classPath.split(File.pathSeparator, -1)) {
      assertTrue(entry.startsWith(root + "/"), entry);
    }
    assertEquals(MODULES.size(), classPath.split(File.pathSeparator, -1).length, classPath);
  }

  @Test
  void progressIsForTerminals() throws Exception {
    List<String> arguments = start(root, "./vbn");
    assertTrue(arguments.stream().noneMatch(argument -> argument.contains("progress")));
  }
}
