package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the bundle for GPU machines runs: its script, from a folder laid out as {@code gpu/pack} does, on
 * this Java cut down to the modules that the bundle's has, with a bare environment.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
@EnabledOnOs(OS.LINUX)
class BundleTest {
  private static final Path GPU = Path.of("gpu").toAbsolutePath();

  @TempDir
  Path directory;

  private Path bundle;

  private record Run(int status, String output) {}

  @BeforeEach
  void layOut() throws IOException {
    bundle = Files.createDirectories(directory.resolve("vbn gpu"));
    Files.copy(GPU.resolve("run.sh"), bundle.resolve("run.sh"));
    Files.copy(GPU.resolve("pytorch_peer.py"), bundle.resolve("pytorch_peer.py"));
    Files.writeString(bundle.resolve("REVISION"), "a test\n");
    Matcher modules =
        Pattern.compile("--add-modules ([a-z.,]+)").matcher(Files.readString(GPU.resolve("pack")));
    assertTrue(modules.find(), "gpu/pack names no modules");
    Path java = Files.createDirectories(bundle.resolve("runtime/bin")).resolve("java");
    // The jars that would be in lib are here on the class path, in part as folders.
    Files.writeString(java, """
        #!/bin/sh
        for each; do
          shift
          [ "$each" != '%s/lib/*' ] || each='%s'
          set -- "$@" "$each"
        done
        exec '%s/bin/java' --limit-modules %s "$@"
        """.formatted(
            bundle,
            System.getProperty("java.class.path"),
            System.getProperty("java.home"),
            modules.group(1)));
    assertTrue(java.toFile().setExecutable(true));
  }

  private Run run(Path library, String... arguments) throws Exception {
    List<String> command =
        new ArrayList<>(List.of("bash", bundle.resolve("run.sh").toString()));
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).directory(directory.toFile());
    builder.environment().clear();
    builder.environment().put("PATH", "/usr/bin" + File.pathSeparator + "/bin");
    builder.environment().put("VBN_JAVA_OPTS", "-Dvbn.cuda.library=" + library);
    Process process = builder.redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Run(process.waitFor(), output);
  }

  @Test
  void theBenchmarkNamesTheDeviceAndIsKept() throws Exception {
    Emulator.controls(); // skips where there is none
    Run run = run(Emulator.library(), "bench", "report", "2,3,5");
    assertEquals(0, run.status, run.output);
    assertTrue(run.output.contains("emulated CUDA device"), run.output);
    assertTrue(run.output.contains("[2, 3, 5]"), run.output);
    assertTrue(run.output.contains("times a copy: forward"), run.output);
    String kept = Files.readString(directory.resolve("report/vbn.txt"));
    assertTrue(kept.contains("emulated") && kept.contains("[2, 3, 5]"), kept);
    assertTrue(
        Files.readString(directory.resolve("report/machine.txt")).contains("revision: a test"));
    assertTrue(Files.exists(directory.resolve("report/pytorch.txt")));
  }

  @Test
  void withoutADriverItFailsAndSaysSoInALine() throws Exception {
    Path nothing = directory.resolve("libcuda.so.1");
    Run run = run(nothing, "bench");
    assertEquals(1, run.status, run.output);
    assertTrue(run.output.contains("benchmark: no device to measure: no " + nothing), run.output);
    assertFalse(run.output.contains("\tat "), run.output);
    assertTrue(Files.exists(directory.resolve("vbn-gpu-bench/machine.txt")));
  }

  @Test
  void whatItCannotDoIsRefused() throws Exception {
    for (String[] arguments :
        new String[][] {{}, {"tests"}, {"test", "report", "2,3,5"}, {"bench", "report", "2,3"}}) {
      Run run = run(Path.of("/"), arguments);
      assertEquals(2, run.status, run.output);
      assertTrue(run.output.contains("expected"), run.output);
    }
  }
}
