package dev.vbn.cli;

import static java.nio.charset.StandardCharsets.ISO_8859_1;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import dev.vbn.ReferenceMoments;
import dev.vbn.VbnConfig;
import dev.vbn.state.LayerState;
import dev.vbn.state.Npy;
import dev.vbn.state.Npz;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Bad input: exit code 2, one line that says what was given and what was expected, and no file
 * created or changed. Arguments that start with "@" name files in the test's directory.
 */
class CommandLineRefusalTest {
  private static final String NORMALIZE = "normalize --reference @r --input @x --output @old.npy";
  private static final String GRADIENT = "gradient --reference @r --input @x --upstream @x";
  private static final String STATE = "normalize --input @x --output @old.npy --state ";

  @TempDir
  Path directory;

  @BeforeEach
  void writeFiles() throws IOException {
    write("r", 4, 3, 5);
    write("x", 2, 3, 5);
    write("four-features", 2, 4, 5);
    write("rank-1", 3);
    write("rank-6", 1, 3, 1, 1, 1, 1);
    write("empty", 0, 3, 5);
    write("two", 2);
    write("three", 3);
    write("shorter", 2, 3, 4);
    byte[] x = Files.readAllBytes(directory.resolve("x"));
    Files.write(directory.resolve("cut"), Arrays.copyOf(x, x.length - 4));
    Files.writeString(directory.resolve("text"), "no array at all");
    String header = new String(x, 0, 128, ISO_8859_1);
    Files.write(
        directory.resolve("integers"),
        (header.replace("<f4", "<i4") + "\0".repeat(x.length - 128)).getBytes(ISO_8859_1));
    writeStates();
    Files.createDirectory(directory.resolve("folder"));
    Files.writeString(directory.resolve("old.npy"), "what was there before");
  }

  private void writeStates() throws IOException {
    HostTensor ones = HostTensor.of(new float[] {1, 1, 1}, 3);
    LayerState bare = new LayerState(VbnConfig.of(3), ones, ones, null);
    bare.save(directory.resolve("bare.npz"));
    bare.withReference(ReferenceMoments.of(new double[3], new double[3], 4, 20))
        .save(directory.resolve("state.npz"));
    Npz.write(
        directory.resolve("uncounted.npz"), Map.of("reference_mean", ones, "ref_variance", ones));
    Npz.write(directory.resolve("empty.npz"), Map.of());
    for (String name : List.of("text.npz", "text.safetensors")) {
      Files.writeString(directory.resolve(name), "no state at all");
    }
  }

  private void write(String name, long... shape) throws IOException {
    Npy.write(directory.resolve(name), HostTensor.zeros(DType.FLOAT32, shape));
  }

  static Stream<Arguments> badInput() {
    String files = "normalize --output @old.npy ";
    return Stream.of(
        // The command line itself.
        arguments("", "no command was given; expected demo, backends, normalize"),
        arguments("train", "'train' is no command; expected demo, backends, normalize"),
        arguments("normalize", "Missing required options: '--input=X.npy', '--output=Y.npy'"),
        arguments(files + "--input @x", "neither --reference nor --state is given; expected one"),
        arguments(NORMALIZE + " --momentum 1", "Unknown options: '--momentum', '1'; expected"),
        arguments(
            "normalize --referense @r --input @x --output @old.npy",
            "Unknown options: '--referense', '@r'; expected what 'vbn normalize --help' shows"),
        arguments(NORMALIZE + " --statistics ", "given ''; expected the name of a file"),
        arguments("normalize --reference @r --input  --output @old.npy", "given ''; expected"),
        arguments(NORMALIZE + " extra", "'extra'; expected what 'vbn normalize --help' shows"),
        arguments(NORMALIZE + " --input @r", "'--input' (X.npy) should be specified only once"),
        arguments("backends extra", "'extra'; expected what 'vbn backends --help' shows"),
        // Settings.
        arguments(
            NORMALIZE + " --variant virtual",
            "variant is 'virtual'; expected live-batch, batch, per-example, pooled,"
                + " reference-only"),
        arguments(NORMALIZE + " --epsilon 0", "epsilon is 0.0; expected a finite number above 0"),
        arguments(NORMALIZE + " --epsilon -1e-5", "epsilon is -1.0E-5; expected a finite number"),
        arguments(NORMALIZE + " --epsilon NaN", "epsilon is NaN; expected a finite number"),
        arguments(NORMALIZE + " --epsilon Infinity", "epsilon is Infinity; expected a finite"),
        arguments(NORMALIZE + " --epsilon small", "given 'small'; expected a number such as 1e-5"),
        arguments(NORMALIZE + " --feature-axis 0", "feature axis is 0; expected 1 to 4"),
        arguments(
            NORMALIZE + " --feature-axis 3",
            "--reference @r: feature axis is 3 for shape [4, 3, 5]; expected 1 to 2, or -1 to -2"),
        arguments(NORMALIZE + " --feature-axis -3", "feature axis is -3 for shape [4, 3, 5]"),
        arguments(NORMALIZE + " --feature-axis last", "given 'last'; expected a whole number"),
        arguments(NORMALIZE + " --dtype float16", "'float16'; expected float32, float64"),
        arguments(NORMALIZE + " --backend abacus", "backend 'abacus' was not found; expected one"),
        arguments(
            NORMALIZE + " --backend reference --device gpu:0",
            "device is 'gpu:0'; expected none, for backend 'reference' has no choice of them"),
        arguments(NORMALIZE + " --threads 0", "parallelism is 0; expected 1 or more"),
        arguments(NORMALIZE + " --threads many", "given 'many'; expected a whole number"),
        arguments(
            GRADIENT + " --output-dir @folder --reference-gradient half",
            "reference gradient is 'half'; expected detached, attached"),
        arguments(
            GRADIENT + " --output-dir @folder --dgamma-upstream @three",
            "--dgamma-upstream is given without --dx-upstream; expected both"),
        arguments(
            GRADIENT + " --output-dir @folder --dbeta-upstream @three",
            "--dbeta-upstream is given without --dx-upstream; expected both"),
        arguments(
            GRADIENT + " --output-dir @folder --dx-upstream @x --reference-gradient attached",
            "--dx-upstream is given with --reference-gradient attached; expected detached"),
        arguments(
            GRADIENT + " --output-dir @folder --dx-upstream @none",
            "--dx-upstream @none: no such file; expected a .npy"),
        arguments(
            GRADIENT + " --output-dir @folder --dx-upstream @shorter",
            "upstream gradient of dx has shape [2, 3, 4]; expected that of x, [2, 3, 5]"),
        arguments(
            GRADIENT + " --output-dir @folder --dx-upstream @x --dgamma-upstream @two",
            "upstream gradient of dgamma has shape [2]; expected [3]"),
        arguments(
            GRADIENT + " --output-dir @folder --dx-upstream @x --dbeta-upstream @two",
            "upstream gradient of dbeta has shape [2]; expected [3]"),
        // Input files.
        arguments(files + "--reference @r --input @none", "--input @none: no such file; expected"),
        arguments(files + "--reference @none --input @x", "--reference @none: no such file"),
        arguments(NORMALIZE + " --gamma @none", "--gamma @none: no such file; expected a .npy"),
        arguments(files + "--reference @r --input @folder", "is a directory; expected a .npy file"),
        arguments(
            files + "--reference @r --input @text",
            "--input @text: is text, as CSV is, and starts"),
        arguments(files + "--reference @r --input @cut", "data is 116 bytes; expected 120"),
        arguments(files + "--reference @r --input @integers", "dtype is '<i4'; expected '<f2'"),
        arguments(
            files + "--reference @r --input @rank-1",
            "--input @rank-1: rank is 1, shape [3]; expected rank 2 to 5"),
        arguments(files + "--reference @rank-6 --input @x", "rank is 6, shape [1, 3, 1, 1, 1, 1]"),
        arguments(files + "--reference @r --input @empty", "expected at least 1 along every axis"),
        arguments(
            files + "--reference @r --input @four-features",
            "x has 4 features, shape [2, 4, 5], feature axis 1; expected 3"),
        arguments(files + "--reference @four-features --input @x", "x has 3 features, shape"),
        arguments(NORMALIZE + " --gamma @two", "gamma has shape [2]; expected [3]"),
        arguments(NORMALIZE + " --beta @two", "beta has shape [2]; expected [3]"),
        arguments(
            "gradient --reference @r --input @x --upstream @shorter --output-dir @folder",
            "upstream has shape [2, 3, 4]; expected that of x, [2, 3, 5]"),
        // The state of a layer.
        arguments(STATE + "@none.npz", "--state @none.npz: no such file; expected a state file"),
        arguments(STATE + "@folder", "--state @folder: is a directory; expected a state file"),
        arguments(
            STATE + "@r",
            "--state: file is '@r'; expected one that ends in .safetensors, .npz, .pt"),
        arguments(STATE + "@text.npz", "--state @text.npz: not a whole zip"),
        arguments(STATE + "@text.safetensors", "--state @text.safetensors: header of"),
        arguments(STATE + "@empty.npz", "--state @empty.npz: no layer; expected gamma, beta or"),
        arguments(STATE + "@state.npz --prefix vbn1.", "@state.npz: no layer of prefix 'vbn1.'"),
        arguments(STATE + "@bare.npz", "--state @bare.npz: has no statistics of a reference batch"),
        arguments(
            STATE + "@state.npz --reference @r",
            "--reference @r: --state @state.npz has statistics of a reference batch too; expected"),
        arguments(STATE + "@state.npz --gamma @three", "--state @state.npz has a gamma too;"),
        arguments(STATE + "@bare.npz --reference @r --beta @three", "has a beta too; expected it"),
        arguments(STATE + "@state.npz --feature-axis 2", "x has 5 features, shape [2, 3, 5]"),
        arguments(STATE + "@bare.npz --reference @four-features", "expected 3"),
        arguments(STATE + "@uncounted.npz --gamma @two", "gamma has shape [2]; expected [3]"),
        arguments(
            STATE + "@uncounted.npz --variant batch",
            "--state @uncounted.npz: no reference_examples; expected it for variant batch"),
        arguments(STATE + "@state.npz --names gamma", "--names: 'gamma' is no name of a part;"),
        arguments(STATE + "@state.npz --names gamma=", "'gamma=' is no name of a part; expected"),
        arguments(STATE + "@state.npz --names gamma=a,gamma=b", "--names: names gamma twice;"),
        arguments(
            STATE + "@state.npz --names delta=a", "--names: part is 'delta'; expected one of"),
        arguments(STATE + "@state.npz --names gamma=weight", "no tensor 'weight'; expected it as"),
        arguments(
            STATE + "@state.npz --names epsilon=eps", "no text 'eps'; expected it as epsilon"),
        arguments(NORMALIZE + " --prefix vbn1.", "--prefix is given without --state; expected the"),
        arguments(
            NORMALIZE + " --names gamma=weight", "--names is given without --state; expected"),
        arguments(
            STATE + "@state.npz --reference-output @ry.npy",
            "--reference-output is given without --reference; expected the reference batch itself"),
        arguments(
            "gradient --state @state.npz --input @x --upstream @x --output-dir @folder"
                + " --reference-gradient attached",
            "--reference-gradient attached is given without --reference; expected the reference"),
        arguments(
            NORMALIZE + " --save-state @state.pt",
            "--save-state: file is '@state.pt'; expected one that ends in .safetensors or .npz"),
        arguments(
            NORMALIZE + " --statistics @s.npy",
            "--statistics: file is '@s.npy'; expected one that ends in .safetensors or .npz"),
        // Outputs.
        arguments(
            "normalize --reference @r --input @x --output @none/y.npy",
            "@none does not exist; expected an existing directory"),
        arguments(
            "normalize --reference @r --input @x --output @r/y.npy",
            "@r is not a directory; expected an existing directory"),
        arguments(
            "normalize --reference @r --input @x --output @folder",
            "--output @folder: is a directory; expected a file"),
        arguments(
            NORMALIZE + " --reference-output @folder/../old.npy",
            "--reference-output @folder/../old.npy: is --output @old.npy too; expected different"),
        arguments(GRADIENT + " --output-dir @r", "--output-dir @r: is not a directory; expected"),
        arguments(
            "gradient --reference @r --input @x --upstream @shorter --output-dir @none/deep",
            "upstream has shape [2, 3, 4]; expected that of x, [2, 3, 5]"),
        arguments("demo --output @none/picture.svg", "@none does not exist; expected"),
        arguments(
            "demo --output @picture.png",
            "--output @picture.png: the picture is SVG; expected a name that ends in .svg"),
        arguments("conform --backend abacus", "backend 'abacus' was not found; expected one of"),
        arguments("conform --report @r", "--report @r: cannot be made a directory; expected"));
  }

  @ParameterizedTest
  @MethodSource("badInput")
  void refuses(String arguments, String message) throws IOException {
    Map<String, String> before = CommandLine.contents(directory);
    List<Object> given = new ArrayList<>();
    for (String argument : arguments.isEmpty() ? new String[0] : arguments.split(" ", -1)) {
      given.add(inDirectory(argument));
    }
    CommandLine run = CommandLine.run(given.toArray());
    assertEquals(2, run.exitCode(), run.err());
    assertTrue(run.err().contains(inDirectory(message)), run.err());
    assertEquals(1, run.err().lines().count(), run.err());
    assertTrue(run.err().startsWith("vbn: "), run.err());
    assertFalse(run.err().contains("Exception"), run.err());
    assertEquals("", run.out());
    assertEquals(before, CommandLine.contents(directory));
  }

  private String inDirectory(String text) {
    return text.replace("@", directory + "/");
  }

  @Test
  void refusesADirectoryWithoutPermission() throws IOException {
    Path folder = directory.resolve("folder");
    Assumptions.assumeTrue(folder.toFile().setWritable(false) && !Files.isWritable(folder));
    CommandLine run = CommandLine.run(
        "normalize",
        "--reference",
        directory.resolve("r"),
        "--input",
        directory.resolve("x"),
        "--output",
        folder.resolve("y.npy"));
    assertEquals(2, run.exitCode());
    assertTrue(run.err().contains("cannot be written"), run.err());
    assertEquals(1, run.err().lines().count(), run.err());
  }

  @Test
  void refusesADevice() {
    Path device = Path.of("/dev/null");
    Assumptions.assumeTrue(Files.exists(device));
    CommandLine run = CommandLine.run(
        "normalize",
        "--reference",
        directory.resolve("r"),
        "--input",
        directory.resolve("x"),
        "--output",
        device);
    assertEquals(2, run.exitCode());
    assertTrue(run.err().contains("expected a regular file"), run.err());
    assertFalse(Files.isRegularFile(device));
  }
}
