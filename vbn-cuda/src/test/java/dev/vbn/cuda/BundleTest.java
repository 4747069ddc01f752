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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

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
    for (String file : new String[] {"run.sh", "once.sh", "pytorch_peer.py"}) {
      Files.copy(GPU.resolve(file), bundle.resolve(file));
    }
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
          [ "$each" != dev.vbn.cli.Main ] || each=dev.vbn.cuda.BundleCommandLine
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
    return runScript("run.sh", library, arguments);
  }

  private Run runScript(String script, Path library, String... arguments) throws Exception {
    List<String> command =
        new ArrayList<>(List.of("bash", bundle.resolve(script).toString()));
    command.addAll(List.of(arguments));
    ProcessBuilder builder = new ProcessBuilder(command).directory(directory.toFile());
    builder.environment().clear();
    builder.environment().put("PATH", "/usr/bin" + File.pathSeparator + "/bin");
    builder.environment().put("VBN_JAVA_OPTS", "-Dvbn.cuda.library=" + library);
    builder.environment().put("BATCHES", "2,3,5 bfloat16:3,2,4:last");
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
    assertTrue(run.output.contains("2,3,5"), run.output);
    assertTrue(run.output.contains("times a copy: forward"), run.output);
    String kept = Files.readString(directory.resolve("report/vbn.txt"));
    assertTrue(kept.contains("emulated") && kept.contains("2,3,5"), kept);
    assertTrue(
        Files.readString(directory.resolve("report/machine.txt")).contains("revision: a test"));
    assertTrue(Files.exists(directory.resolve("report/pytorch.txt")));
  }

  /** From end to end, but for the kit, which takes long here. */
  @ParameterizedTest
  @CsvSource({
    "first, 'machine, probe, kit-one, kit-together, kit-two, kit-three, benchmark', benchmark.json",
    "second, 'large, again', large.json"
  })
  void whatIsAskedOfAGpuOnceIsAllDone(String part, String steps, String json) throws Exception {
    Emulator.controls(); // skips where there is none
    Run run = runScript("once.sh", Emulator.library(), part, "report");
    assertEquals(0, run.status, run.output);
    String done = Files.readString(directory.resolve("report/steps.txt"));
    for (String step : steps.split(", ", -1)) {
      assertTrue(done.contains("=== " + step + ": done after "), () -> step + " in: " + done);
    }
    String results = Files.readString(directory.resolve("report").resolve(json));
    for (String batch : new String[] {"2,3,5", "bfloat16:3,2,4:last"}) {
      for (String plan : new String[] {"one", "together", "two", "three"}) {
        String result = "{\"batch\": \"" + batch + "\", \"plan\": \"" + plan + "\"";
        assertTrue(results.contains(result), () -> result + " in: " + results);
      }
    }
    assertFalse(results.contains("false"), results); // whether results are right
    String page =
        Files.readString(directory.resolve("report").resolve(json.replace(".json", ".html")));
    assertTrue(page.contains("<tr><td>bfloat16:3,2,4:last<td>three<td>"), page);
    assertTrue(Files.size(directory.resolve("report.tar.gz")) > 0);
    if (part.equals("first")) {
      assertEquals("by plan two", Files.readString(directory.resolve("report/kit-two/index.html")));
    }
  }

  @Test
  void onceAFailureIsTold() throws Exception {
    Run run = runScript("once.sh", directory.resolve("libcuda.so.1"), "first", "report");
    assertEquals(1, run.status, run.output);
    String steps = Files.readString(directory.resolve("report/steps.txt"));
    assertTrue(steps.contains("=== benchmark: FAILED with 1 after "), steps);
    assertEquals(2, runScript("once.sh", Path.of("/"), "third").status);
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
        new String[][] {{}, {"tests"}, {"test", "report", "2,3,5"}, {"bench", "report", "2"}}) {
      Run run = run(Path.of("/"), arguments);
      assertEquals(2, run.status, run.output);
      assertTrue(run.output.contains("expected"), run.output);
    }
  }
}
