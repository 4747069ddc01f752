package dev.vbn.cli;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.vbn.BackendCandidate;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.state.LayerState;
import dev.vbn.state.NamedTensors;
import dev.vbn.state.Npy;
import dev.vbn.state.Npz;
import dev.vbn.state.Safetensors;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A layer's state through the command line: files of torch, round trips in bits, hostile files. */
class StateFileTest {
  /** What torch and safetensors wrote, with the founding network's exact outputs. */
  private static final Path FILES =
      Path.of("..", "..", "vbn-state", "src", "test", "resources", "dev", "vbn", "state");

  private static final List<String> FORMATS = List.of("npz", "safetensors");

  @TempDir
  Path directory;

  static Stream<String> backends() {
    return VbnBackends.find().list().stream()
        .filter(candidate -> candidate.availability().available())
        .map(BackendCandidate::name);
  }

  static Stream<Arguments> goldenFiles() {
    return backends()
        .flatMap(backend -> Stream.of(
                "live-batch-ncl",
                "batch-nc",
                "per-example-nchw",
                "pooled-nhwc",
                "reference-only-offset",
                "live-batch-long")
            .map(golden -> arguments(backend, golden)));
  }

  private static HostTensor expected(String name) throws IOException {
    return Npz.read(FILES.resolve("expected.npz")).tensor(name);
  }

  private Path input(String layer) throws IOException {
    Path x = directory.resolve(layer + "-input.npy");
    Npy.write(x, expected(layer + "_input"));
    return x;
  }

  /** Against what the founding module itself computed in 64 bits. */
  private static void assertOutput(String layer, Path y) throws IOException {
    HostTensor expected = expected(layer + "_output");
    HostTensor actual = Npy.read(y);
    assertArrayEquals(expected.shape(), actual.shape());
    for (int i = 0; i < expected.size(); i++) {
      double tolerance = 2e-6 * Math.max(1, Math.abs(expected.get(i)));
      assertEquals(expected.get(i), actual.get(i), tolerance);
    }
  }

  private static void assertSameBytes(Path expected, Path actual) throws IOException {
    assertArrayEquals(Files.readAllBytes(expected), Files.readAllBytes(actual));
  }

  /** As torch.save writes it, now and before 1.6. */
  @ParameterizedTest
  @ValueSource(strings = {"network.pt", "network-plain.pt"})
  void aStateDictOfTorchGivesWhatItsModuleComputes(String name) throws IOException {
    for (String layer : List.of("vbn1", "vbn2")) {
      Path y = directory.resolve(layer + ".npy");
      CommandLine.run(
              "normalize",
              "--state",
              FILES.resolve(name),
              "--prefix",
              layer + ".",
              "--input",
              input(layer),
              "--output",
              y)
          .succeeded();
      assertOutput(layer, y);
    }
  }

  /** A mapping, the prefix, (1, C, 1), mean squares: and from there on in our own files. */
  @ParameterizedTest
  @MethodSource("backends")
  void theFoundingNetworkGoesOnInBothFormats(String backend) throws IOException {
    for (String layer : List.of("vbn1", "vbn2")) {
      Path x = input(layer);
      Path y = directory.resolve("y.npy");
      Path state = FILES.resolve("network.safetensors");
      List<Object> options =
          List.of("--prefix", layer + ".", "--names", "reference_mean_square=ref_mean_sq");
      for (String format : FORMATS) {
        Path saved = directory.resolve(layer + "." + format);
        Path again = directory.resolve("again.npy");
        List<Object> arguments = new ArrayList<>(List.of(
            "normalize",
            "--backend",
            backend,
            "--state",
            state,
            "--input",
            x,
            "--output",
            y,
            "--save-state",
            saved));
        arguments.addAll(options);
        CommandLine.run(arguments.toArray()).succeeded();
        assertOutput(layer, y);
        CommandLine.run(
                "normalize",
                "--backend",
                backend,
                "--state",
                saved,
                "--input",
                x,
                "--output",
                again)
            .succeeded();
        assertSameBytes(y, again);
        state = saved; // the next is written from this
        options = List.of();
      }
    }
  }

  @ParameterizedTest
  @MethodSource("backends")
  void anNpzWithSeparateStatisticsIsRead(String backend) throws IOException {
    Path y = directory.resolve("y.npy");
    CommandLine.run(
            "normalize",
            "--backend",
            backend,
            "--state",
            FILES.resolve("module-with-reference.npz"),
            "--input",
            input("vbn1"),
            "--output",
            y)
        .succeeded();
    assertOutput("vbn1", y);
  }

  /** The founding module keeps no statistics: it takes them from the reference batch each time. */
  @Test
  void aStateDictWithoutStatisticsGoesWithAReferenceBatch() throws IOException {
    Path module = FILES.resolve("module.safetensors");
    LayerState parts = LayerState.load(module);
    Path gamma = directory.resolve("gamma.npy");
    Path beta = directory.resolve("beta.npy");
    Npy.write(gamma, parts.gamma());
    Npy.write(beta, parts.beta());
    Path x = input("vbn1");
    Path byParts = directory.resolve("by-parts.npy");
    Path byState = directory.resolve("by-state.npy");
    CommandLine.run(
            "normalize",
            "--reference",
            x,
            "--input",
            x,
            "--gamma",
            gamma,
            "--beta",
            beta,
            "--output",
            byParts)
        .succeeded();
    CommandLine.run(
            "normalize", "--state", module, "--reference", x, "--input", x, "--output", byState)
        .succeeded();
    assertSameBytes(byParts, byState);
  }

  @ParameterizedTest
  @MethodSource("goldenFiles")
  void whatIsSavedGivesTheSameBits(String backend, String name) throws IOException {
    GoldenFile golden = GoldenFile.unpack(name, directory);
    Path x = directory.resolve("x.npy");
    Path dy = directory.resolve("dy.npy");
    Path gradients = directory.resolve("gradients");
    Path y = directory.resolve("y.npy");
    golden
        .run("gradient", "--backend", backend, "--upstream", dy, "--output-dir", gradients)
        .succeeded();
    for (String format : FORMATS) {
      Path state = directory.resolve("state." + format);
      golden
          .run("normalize", "--backend", backend, "--output", y, "--save-state", state)
          .succeeded();
      golden.check("y", y, golden.offset());
      Path again = directory.resolve("again.npy");
      CommandLine.run(
              "normalize", "--backend", backend, "--state", state, "--input", x, "--output", again)
          .succeeded();
      assertSameBytes(y, again);
      Path gradientsAgain = directory.resolve("gradients-again");
      CommandLine.run(
              "gradient",
              "--backend",
              backend,
              "--state",
              state,
              "--input",
              x,
              "--upstream",
              dy,
              "--output-dir",
              gradientsAgain)
          .succeeded();
      assertEquals(CommandLine.contents(gradients), CommandLine.contents(gradientsAgain));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"npz", "safetensors"})
  void statisticsCanBeGivenBack(String format) throws IOException {
    for (Variant variant : Variant.values()) {
      GoldenFile golden = GoldenFile.unpack(variant.label() + "-nhwc", directory);
      Path y = directory.resolve("y.npy");
      Path again = directory.resolve("again.npy");
      Path statistics = directory.resolve("s." + format);
      golden.run("normalize", "--output", y, "--statistics", statistics).succeeded();
      CommandLine.run(
              "normalize",
              "--state",
              statistics,
              "--gamma",
              directory.resolve("gamma.npy"),
              "--beta",
              directory.resolve("beta.npy"),
              "--input",
              directory.resolve("x.npy"),
              "--output",
              again)
          .succeeded();
      assertSameBytes(y, again);
      Files.delete(directory.resolve("golden.npz"));
    }
  }

  /** As docs/STATE.md shows it: what Java saves and loads, and the command line. */
  @Test
  void javaAndTheCommandLineReadEachOthersFiles() throws IOException {
    GoldenFile golden = GoldenFile.unpack("per-example-nchw", directory);
    Path x = directory.resolve("x.npy");
    Path y = directory.resolve("y.npy");
    Path state = directory.resolve("state.safetensors");
    golden
        .run("normalize", "--backend", "reference", "--output", y, "--save-state", state)
        .succeeded();
    Path again = directory.resolve("again.npz");
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider())) {
      LayerState loaded = LayerState.load(state);
      try (VirtualBatchNorm<HostTensor> layer = loaded.layer(backend);
          ReferenceStatistics<HostTensor> reference = loaded.statistics(backend);
          Output<HostTensor> output = layer.forward(Npy.read(x), reference)) {
        assertArrayEquals(Npy.read(y).floats(), output.output().floats());
        LayerState.of(layer, reference).save(again);
      }
    }
    Path third = directory.resolve("third.npy");
    CommandLine.run(
            "normalize",
            "--backend",
            "reference",
            "--state",
            again,
            "--input",
            x,
            "--output",
            third)
        .succeeded();
    assertSameBytes(y, third);
  }

  @Test
  void optionsWinOverTheSettingsOfTheFile() throws IOException {
    GoldenFile golden = GoldenFile.unpack("live-batch-ncl", directory);
    Path x = directory.resolve("x.npy");
    Path state = directory.resolve("state.npz");
    Path served = directory.resolve("served.safetensors");
    Path y = directory.resolve("y.npy");
    golden.run("normalize", "--output", y, "--save-state", state).succeeded();
    byte[] liveBatch = Files.readAllBytes(y);
    CommandLine.run(
            "normalize",
            "--state",
            state,
            "--variant",
            "reference-only",
            "--epsilon",
            "0.5",
            "--feature-axis",
            "-2",
            "--input",
            x,
            "--output",
            y,
            "--save-state",
            served)
        .succeeded();
    assertFalse(Arrays.equals(liveBatch, Files.readAllBytes(y)));
    assertEquals(Variant.LIVE_BATCH, LayerState.load(state).config().variant());
    LayerState saved = LayerState.load(served);
    assertEquals(Variant.REFERENCE_ONLY, saved.config().variant());
    assertEquals(0.5, saved.config().epsilon());
    assertEquals(-2, saved.config().featureAxis());
    assertEquals(LayerState.load(state).reference(), saved.reference());
  }

  /** A count that nobody has said must not become one that a file says. */
  @Test
  void unknownCountsStayUnknown() throws IOException {
    Path saved = directory.resolve("saved.npz");
    Path x = input("vbn1");
    Path y = directory.resolve("y.npy");
    CommandLine.run(
            "normalize",
            "--state",
            FILES.resolve("module-with-reference.npz"),
            "--input",
            x,
            "--output",
            y,
            "--save-state",
            saved)
        .succeeded();
    for (String variant : List.of("batch", "per-example", "pooled")) {
      CommandLine run = CommandLine.run(
          "normalize", "--state", saved, "--variant", variant, "--input", x, "--output", y);
      assertEquals(2, run.exitCode(), run.err());
      assertTrue(run.err().contains("no reference_examples; expected it for variant"), run.err());
    }
  }

  /** What an option says is not asked of the file. */
  @Test
  void aFileThatLacksCountsOfItsVariantServesAsAnother() throws IOException {
    Path state = directory.resolve("state.safetensors");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("reference_mean", HostTensor.of(new float[] {1, 2}, 2));
    tensors.put("reference_variance", HostTensor.of(new float[] {1, 4}, 2));
    Safetensors.write(state, new NamedTensors(tensors, Map.of("variant", "per-example")));
    Path x = directory.resolve("x.npy");
    Npy.write(x, HostTensor.of(new float[] {2, 2}, 1, 2));
    Path y = directory.resolve("y.npy");

    CommandLine refused =
        CommandLine.run("normalize", "--state", state, "--input", x, "--output", y);
    assertEquals(2, refused.exitCode());
    assertTrue(refused.err().contains("expected it for variant per-example"), refused.err());

    CommandLine.run(
            "normalize",
            "--state",
            state,
            "--variant",
            "reference-only",
            "--input",
            x,
            "--output",
            y)
        .succeeded();
    HostTensor output = Npy.read(y);
    assertEquals(1, output.get(0), 1e-4);
    assertEquals(0, output.get(1), 1e-4);
  }

  @Test
  void aStateThatIsNotFiniteIsWarnedOf() throws IOException {
    Path state = directory.resolve("state.npz");
    Map<String, HostTensor> tensors = new LinkedHashMap<>();
    tensors.put("reference_mean", HostTensor.of(new float[] {Float.NaN, 2}, 2));
    tensors.put("reference_variance", HostTensor.of(new float[] {1, 2}, 2));
    Npz.write(state, tensors);
    Path x = directory.resolve("x.npy");
    Npy.write(x, HostTensor.of(new float[] {1, 2}, 1, 2));
    CommandLine run = CommandLine.run(
        "normalize", "--state", state, "--input", x, "--output", directory.resolve("y.npy"));
    assertEquals(0, run.exitCode());
    assertEquals(
        "vbn: warning: --state " + state + ": mean or variance is NaN or infinite in 1 of 2"
            + " features; expected finite numbers",
        run.err().strip());
  }

  /** Exit code 2, one line, and no file: whatever a file says of itself. */
  @Test
  void hostileFilesAreRefusedInOneLine() throws IOException {
    Path x = directory.resolve("x.npy");
    Npy.write(x, HostTensor.of(new float[] {1, 2}, 1, 2));
    Map<String, byte[]> files = new LinkedHashMap<>();
    byte[] torch = Files.readAllBytes(FILES.resolve("module.safetensors"));
    for (int length = 0; length < torch.length; length += 5) {
      files.put("cut-" + length + ".safetensors", Arrays.copyOf(torch, length));
    }
    files.put("longer.safetensors", Arrays.copyOf(torch, torch.length + 1));
    byte[] npz = Files.readAllBytes(FILES.resolve("module-with-reference.npz"));
    for (int length = 0; length < npz.length; length += 50) {
      files.put("cut-" + length + ".npz", Arrays.copyOf(npz, length));
    }
    byte[] dictionary = Files.readAllBytes(FILES.resolve("batch-norm-plain.pt"));
    for (int length = 0; length < dictionary.length; length += 50) {
      files.put("cut-" + length + ".pt", Arrays.copyOf(dictionary, length));
    }
    files.put("module.pt", Files.readAllBytes(FILES.resolve("whole-module.pt")));
    files.put("script.pth", Files.readAllBytes(FILES.resolve("script.pt")));
    files.put("pickle.pt", "\u0080\u0002cos\n\u001b[31msystem\n.".getBytes(ISO_8859_1));
    for (long length : new long[] {-1, Long.MIN_VALUE, Long.MAX_VALUE, 1L << 40, 100_000_000}) {
      files.put("header-" + length + ".safetensors", safetensors(length, "{}", 8));
    }
    files.put("brackets.safetensors", header("{\"gamma\":" + "[".repeat(200_000)));
    files.put("line-ends.safetensors", header("{\"a\\nb\":1}"));
    String gamma = "\"gamma\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
    files.put("twice.safetensors", header("{" + gamma + "," + gamma + "}"));
    files.put(
        "overlapping.safetensors",
        header(
            "{" + gamma + "," + gamma.replace("gamma", "beta").replace("[0,8]", "[4,12]") + "}"));
    files.put(
        "overflow.safetensors",
        header("{" + gamma.replace("[2]", "[4294967296,4294967296]") + "}"));
    files.put("integers.safetensors", header("{" + gamma.replace("F32", "I32") + "}"));
    files.put("unknown.safetensors", header("{" + gamma.replace("F32", "F33") + "}"));
    files.put(
        "epsilon.safetensors",
        header("{\"__metadata__\":{\"epsilon\":\"\\u001b[31m\\n\"}," + gamma + "}"));
    for (Map.Entry<String, byte[]> file : files.entrySet()) {
      Path state = Files.write(directory.resolve(file.getKey()), file.getValue());
      Map<String, String> before = CommandLine.contents(directory);
      CommandLine run = CommandLine.run(
          "normalize", "--state", state, "--input", x, "--output", directory.resolve("y.npy"));
      assertEquals(2, run.exitCode(), file.getKey() + ": " + run.err());
      assertTrue(run.err().startsWith("vbn: --state " + state + ": "), run.err());
      assertTrue(run.err().contains("; expected "), run.err());
      assertEquals(1, run.err().lines().count(), run.err());
      assertFalse(run.err().contains("\u001b"), run.err());
      assertEquals(before, CommandLine.contents(directory));
      assertNotEquals("", run.err());
      Files.delete(state);
    }
  }

  private static byte[] header(String json) {
    return safetensors(json.length(), json, 8);
  }

  private static byte[] safetensors(long headerBytes, String json, int dataBytes) {
    return ByteBuffer.allocate(8 + json.length() + dataBytes)
        .order(ByteOrder.LITTLE_ENDIAN)
        .putLong(headerBytes)
        .put(json.getBytes(StandardCharsets.US_ASCII))
        .array();
  }
}
