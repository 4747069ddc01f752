package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.state.NamedTensors;
import dev.vbn.state.Safetensors;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** {@code vbn conform --export} and {@code --check}, with answers that are the expected values. */
class SuiteFilesTest {
  private static final Path STATE_FILES =
      Path.of("..", "..", "vbn-state", "src", "test", "resources", "dev", "vbn", "state");

  @TempDir
  Path directory;

  private Path suite;

  private void export() throws IOException {
    suite = directory.resolve("suite");
    CommandLine.run("conform", "--export", suite).succeeded();
    Files.createDirectory(suite.resolve("answers"));
    try (Stream<Path> all = Files.list(suite.resolve("expected"))) {
      for (Path file : all.toList()) {
        Map<String, HostTensor> answers =
            new LinkedHashMap<>(Safetensors.read(file).tensors());
        answers.keySet().removeIf(name -> name.endsWith(".bound"));
        answer(file.getFileName().toString(), answers);
      }
    }
  }

  private void answer(String name, Map<String, HostTensor> answers) throws IOException {
    Safetensors.write(suite.resolve("answers").resolve(name), new NamedTensors(answers, Map.of()));
  }

  /** Rules that have something wrong, in their order, and the whole of the output. */
  private CommandLine check(String... failed) {
    CommandLine run = CommandLine.run("conform", "--check", suite);
    List<String> wrong = run.out()
        .lines()
        .filter(line -> line.matches(" +VBN-\\d+ +\\d+ +[1-9]\\d* .*"))
        .map(line -> line.strip().substring(0, 7))
        .toList();
    assertEquals(List.of(failed), wrong, run.out() + run.err());
    assertEquals(failed.length == 0 ? 0 : 1, run.exitCode());
    return run;
  }

  @Test
  void theExpectedValuesAreRightAndAllTheRestIsNot() throws IOException {
    export();
    CommandLine run = check();
    assertTrue(run.outInOneLine().contains("0 of 14 rules failed."), run.out());
    assertTrue(run.outInOneLine().contains("Not judged, for they need a"), run.out());

    String name = firstWithSlopesOfGamma();
    Map<String, HostTensor> answers = new LinkedHashMap<>(
        Safetensors.read(suite.resolve("answers").resolve(name)).tensors());
    double[] dgamma = answers.get("dgamma").toDoubles();
    dgamma[0] += 1.01 * boundOfDgamma(name);
    answers.put("dgamma", HostTensor.of(dgamma, dgamma.length));
    answer(name, answers);
    run = check("VBN-402");
    assertTrue(
        run.outInOneLine().contains(name.replace(".safetensors", ": dgamma[0] is")), run.out());

    dgamma[0] = Double.NaN;
    answer(name, answers);
    check("VBN-402");

    answers.put("dgamma", HostTensor.of(new double[0], 0));
    answer(name, answers);
    assertTrue(check("VBN-402").outInOneLine().contains("dgamma has shape [0]; expected ["));

    Files.delete(suite.resolve("answers").resolve("pair-32.safetensors"));
    assertTrue(
        check("VBN-201", "VBN-402").outInOneLine().contains("pair-32.safetensors is missing"));

    Files.write(suite.resolve("answers").resolve("pair-32.safetensors"), new byte[3]);
    assertTrue(check("VBN-201", "VBN-402").outInOneLine().contains("3 bytes; expected 8"));

    // As PyTorch saves them: a dictionary without the tensors that are wanted, and no dictionary.
    Files.delete(suite.resolve("answers").resolve("pair-32.safetensors"));
    Path ofTorch = suite.resolve("answers").resolve("pair-32.pt");
    Files.copy(STATE_FILES.resolve("network.pt"), ofTorch);
    assertTrue(check("VBN-201", "VBN-402").outInOneLine().contains("is missing; expected ["));
    Files.copy(STATE_FILES.resolve("one-tensor.pt"), ofTorch, StandardCopyOption.REPLACE_EXISTING);
    assertTrue(check("VBN-201", "VBN-402").outInOneLine().contains("holds a tensor; expected"));
  }

  private double boundOfDgamma(String name) throws IOException {
    return Safetensors.read(suite.resolve("expected").resolve(name))
        .tensors()
        .get("dgamma.bound")
        .get(0);
  }

  /** A case of the table whose upstream gradient is not 0, nor so large that no bound is left. */
  private String firstWithSlopesOfGamma() throws IOException {
    try (Stream<Path> all = Files.list(suite.resolve("expected"))) {
      for (Path file : all.sorted().toList()) {
        String name = file.getFileName().toString();
        if (name.matches("table-\\d+-64\\.safetensors")) {
          double bound = boundOfDgamma(name);
          if (bound > Double.MIN_NORMAL && bound < 1) { // not that of a 0
            return name;
          }
        }
      }
    }
    throw new AssertionError("no case of the table has a gradient of gamma");
  }

  @Test
  void theIndexNamesEveryCaseAndItsFiles() throws Exception {
    export();
    Map<String, Object> index = JsonReader.read(Files.readString(suite.resolve("index.json")));
    assertEquals("FLOAT64 FLOAT64_STATISTICS SUBNORMALS", index.get("capabilities"));
    List<?> cases = (List<?>) index.get("cases");
    assertFalse(cases.isEmpty());
    for (Object each : cases) {
      Map<?, ?> entry = (Map<?, ?>) each;
      Path file = Path.of(entry.get("name") + ".safetensors");
      NamedTensors input = Safetensors.read(suite.resolve("cases").resolve(file));
      assertEquals(entry.get("weight"), input.texts().get("weight"), entry.toString());
      Map<String, HostTensor> expected =
          Safetensors.read(suite.resolve("expected").resolve(file)).tensors();
      for (Object wanted : ((Map<?, ?>) entry.get("wanted")).keySet()) {
        assertTrue(expected.containsKey(wanted + ".bound"), entry + " " + wanted);
      }
    }
  }

  /** With statistics of 32 bits there are no batches of 64, and other bounds. */
  @Test
  void theSuiteIsThatOfTheCapabilities() throws IOException {
    export();
    Path other = directory.resolve("other");
    CommandLine.run("conform", "--export", other, "--capabilities", "SUBNORMALS")
        .succeeded();
    assertFalse(Files.exists(other.resolve("cases/table-000-64.safetensors")));
    String file = "expected/table-000-32.safetensors";
    double wide =
        Safetensors.read(suite.resolve(file)).tensors().get("output.bound").get(0);
    double narrow =
        Safetensors.read(other.resolve(file)).tensors().get("output.bound").get(0);
    assertTrue(narrow / wide >= 4, () -> narrow + " and " + wide);
  }

  @ParameterizedTest
  @CsvSource(delimiter = '|', textBlock = """
      --check,missing                          | index.safetensors cannot be read
      --export,x,--backend,reference           | more is given than --export
      --check,x,--command,true                 | more is given than --check
      --check,x,--capabilities,FLOAT64         | more is given than --check
      --capabilities,FLOAT64                   | --capabilities is given without --export
      --export,x,--capabilities,FLOAT64        | expected FLOAT64_STATISTICS with FLOAT64
      --export,x,--capabilities,DIRT           | capability is 'DIRT'; expected FLOAT64
      """)
  void whatMakesNoSenseIsRefused(String arguments, String words) {
    Object[] all = Stream.concat(
            Stream.of("conform"),
            Stream.of(arguments.split(",", -1))
                .map(each -> each.equals("x") ? directory.resolve("x").toString() : each))
        .toArray();
    CommandLine run = CommandLine.run(all);
    assertEquals(2, run.exitCode(), run.out() + run.err());
    assertTrue(run.err().contains(words), run.err());
    assertEquals(1, run.err().lines().count(), run.err());
  }
}
