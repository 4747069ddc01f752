package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.vbn.state.Npy;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Axes, parameters of each example, and constants, by options. */
class LayerOptionsTest {
  @TempDir
  Path directory;

  private Path save(String name, float[] values, long... shape) throws IOException {
    Path file = directory.resolve(name);
    Npy.write(file, HostTensor.of(values, shape));
    return file;
  }

  private CommandLine run(String command, Object... more) throws IOException {
    List<Object> all = new ArrayList<>(List.of(
        command,
        "--backend",
        "reference",
        "--variant",
        "reference-only",
        "--epsilon",
        "1e-9",
        command.equals("normalize") ? "--output" : "--output-dir",
        command.equals("normalize") ? directory.resolve("y.npy") : directory));
    all.addAll(List.of(more));
    return CommandLine.run(all.toArray());
  }

  private float[] read(String name) throws IOException {
    return Npy.read(directory.resolve(name)).floats();
  }

  private static void assertClose(float[] expected, float[] actual) {
    assertArrayEquals(expected, actual, 1e-5f);
  }

  /** Time first: [3, 2, 1], of two examples with one feature. */
  @Test
  void theBatchAxisIsWhereItIsSaidToBe() throws IOException {
    Path r = save("r.npy", new float[] {1, 1, 3, 3}, 2, 2, 1);
    Path x = save("x.npy", new float[] {2, 3, 4, 1, 0, 2}, 3, 2, 1);
    run(
            "normalize",
            "--reference",
            r,
            "--input",
            x,
            "--batch-axis",
            "1",
            "--feature-axis",
            "-1",
            "--save-state",
            directory.resolve("s.npz"))
        .succeeded();
    assertClose(new float[] {0, 1, 2, -1, -2, 0}, read("y.npy"));

    CommandLine again = CommandLine.run(
        "normalize",
        "--backend",
        "reference",
        "--state",
        directory.resolve("s.npz"),
        "--variant",
        "batch",
        "--input",
        x,
        "--output",
        directory.resolve("y.npy"));
    again.succeeded(); // two examples of reference: weight 1/3; live mean 2, variance 5/3
    double s = Math.sqrt((2 * 1 + 5 / 3.0) / 3);
    assertClose(new float[] {0, (float) (1 / s)}, new float[] {read("y.npy")[0], read("y.npy")[1]});
  }

  @Test
  void featuresMayBeOnSeveralAxes() throws IOException {
    Path r = save("r.npy", new float[] {1, 2, 3, 4, 3, 4, 5, 6}, 2, 2, 2);
    Path x = save("x.npy", new float[] {2, 4, 4, 7}, 1, 2, 2);
    Path gamma = save("g.npy", new float[] {1, 10}, 2);
    run(
            "normalize",
            "--reference",
            r,
            "--input",
            x,
            "--feature-axis",
            "1",
            "--last-feature-axis",
            "2",
            "--gamma",
            gamma)
        .succeeded();
    assertClose(new float[] {0, 1, 0, 20}, read("y.npy"));
  }

  @Test
  void eachExampleMayHaveItsParameters() throws IOException {
    Path r = save("r.npy", new float[] {1, 3}, 2, 1);
    Path x = save("x.npy", new float[] {3, 3, 0}, 3, 1);
    Path gamma = save("g.npy", new float[] {1, 2, 3}, 3, 1);
    Path beta = save("b.npy", new float[] {0, 10, 20}, 3, 1);
    run("normalize", "--reference", r, "--input", x, "--gamma", gamma, "--beta", beta)
        .succeeded();
    assertClose(new float[] {1, 12, 14}, read("y.npy"));

    Path dy = save("dy.npy", new float[] {1, 2, 3}, 3, 1);
    run("gradient", "--reference", r, "--input", x, "--upstream", dy, "--gamma", gamma)
        .succeeded();
    assertClose(new float[] {1, 4, 9}, read("dx.npy"));
    assertClose(new float[] {1, 2, -6}, read("dgamma.npy"));
    assertEquals(1, Npy.read(directory.resolve("dbeta.npy")).shape().length);
    assertClose(new float[] {6}, read("dbeta.npy"));
  }

  @Test
  void whatAStateHasNoPlaceForIsNotSaved() throws IOException {
    Path r = save("r.npy", new float[] {1, 3}, 2, 1);
    Path gamma = save("g.npy", new float[] {1, 2}, 2, 1);
    Path state = directory.resolve("s.npz");
    CommandLine refused =
        run("normalize", "--reference", r, "--input", r, "--gamma", gamma, "--save-state", state);
    assertEquals(2, refused.exitCode());
    assertEquals(
        "vbn: --save-state: given with a gamma that is not one number for each feature; expected"
            + " one that is, or no --save-state" + System.lineSeparator(),
        refused.err());
    assertFalse(Files.exists(state));
    assertFalse(Files.exists(directory.resolve("y.npy")));
  }

  @Test
  void aParameterOfAnotherBatchIsRefusedInOneLine() throws IOException {
    Path r = save("r.npy", new float[] {1, 3}, 2, 1);
    Path gamma = save("g.npy", new float[] {1, 2, 3}, 3, 1);
    CommandLine refused = run("normalize", "--reference", r, "--input", r, "--gamma", gamma);
    assertEquals(2, refused.exitCode());
    assertEquals(
        "vbn: --input: x: gamma has shape [3, 1]; expected parameters of 2 examples, as the batch of"
            + " shape [2, 1] has" + System.lineSeparator(),
        refused.err());
  }

  @Test
  void liveStatisticsMayBeConstants() throws IOException {
    Path r = save("r.npy", new float[] {1, 3, 1, 3}, 4, 1);
    Path dy = save("dy.npy", new float[] {1, 2, 3, 5}, 4, 1);
    CommandLine.run(
            "gradient",
            "--backend",
            "reference",
            "--variant",
            "pooled",
            "--epsilon",
            "1e-9",
            "--reference",
            r,
            "--input",
            r,
            "--upstream",
            dy,
            "--output-dir",
            directory,
            "--reference-gradient",
            "all-detached")
        .succeeded();
    assertClose(new float[] {1, 2, 3, 5}, read("dx.npy"));
  }

  /** What is masked has no part in gradients of gradients either. */
  @Test
  void secondGradientsHeedTheMask() throws IOException {
    Path r = save("r.npy", new float[] {1, 3}, 2, 1, 1);
    Path x = save("x.npy", new float[] {3, 7, 9, 1}, 2, 1, 2);
    Path dy = save("dy.npy", new float[] {1, 2, 3, 5}, 2, 1, 2);
    ByteBuffer data = ByteBuffer.allocate(16).order(ByteOrder.LITTLE_ENDIAN);
    data.asLongBuffer().put(new long[] {1, 2});
    String header = "{'descr': '<i8', 'fortran_order': False, 'shape': (2,), }";
    ByteBuffer lengths = ByteBuffer.allocate(10 + header.length() + 16);
    lengths.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (byte) header.length(), 0});
    lengths.put(header.getBytes(StandardCharsets.US_ASCII)).put(data.array());
    Path l = Files.write(directory.resolve("l.npy"), lengths.array());
    run(
            "gradient",
            "--reference",
            r,
            "--input",
            x,
            "--upstream",
            dy,
            "--lengths",
            l,
            "--dx-upstream",
            dy)
        .succeeded();
    assertClose(new float[] {1, 0, 3, 5}, read("dy_gradient.npy"));
    assertClose(new float[] {1 + 9 + 25}, read("gamma_gradient.npy"));
  }
}
