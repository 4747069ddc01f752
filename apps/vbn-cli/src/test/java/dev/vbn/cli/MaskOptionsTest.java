package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.state.Npy;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code --mask}, {@code --lengths} and those of the reference batch. */
class MaskOptionsTest {
  @TempDir
  Path directory;

  /** How far the means of a file are from 0 in deviations. */
  private static double offset(String name) {
    return name.endsWith("offset") ? 1e4 : 8;
  }

  private Object[] masks(boolean lengths, Object... more) {
    String kind = lengths ? "lengths" : "mask";
    Object[] options = new Object[more.length + 6];
    System.arraycopy(more, 0, options, 0, more.length);
    options[more.length] = "--" + kind;
    options[more.length + 1] = directory.resolve(kind + ".npy");
    options[more.length + 2] = "--reference-" + kind;
    options[more.length + 3] = directory.resolve("reference_" + kind + ".npy");
    options[more.length + 4] = "--backend";
    options[more.length + 5] = "reference";
    return options;
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#maskedNames")
  void normalizesWhatCounts(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpack(name, directory);
    Path y = directory.resolve("y.npy");
    Path referenceY = directory.resolve("ry.npy");
    golden
        .run("normalize", masks(false, "--output", y, "--reference-output", referenceY))
        .succeeded();
    golden.check("y", y, offset(name));
    golden.check("ref_y", referenceY, offset(name));
    if (Files.exists(directory.resolve("lengths.npy"))) {
      Path byLengths = directory.resolve("by-lengths.npy");
      golden.run("normalize", masks(true, "--output", byLengths)).succeeded();
      assertEquals(-1, Files.mismatch(y, byLengths));
    }
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#maskedNames")
  void differentiatesWhatCounts(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpack(name, directory);
    boolean lengths = Files.exists(directory.resolve("lengths.npy"));
    golden
        .run(
            "gradient",
            masks(
                lengths,
                "--upstream",
                directory.resolve("dy.npy"),
                "--output-dir",
                directory,
                "--reference-gradient",
                "attached"))
        .succeeded();
    golden.check("dx", directory.resolve("dx.npy"), offset(name));
    golden.check("dgamma", directory.resolve("dgamma.npy"), offset(name));
    golden.check("dbeta", directory.resolve("dbeta.npy"), offset(name));
    golden.check("dref", directory.resolve("dreference.npy"), offset(name));
  }

  private Path save(String name, String descr, String shape, byte[] data) throws IOException {
    String header = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
    ByteArrayOutputStream file = new ByteArrayOutputStream();
    file.write(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
    file.write(header.length());
    file.write(header.length() >> 8);
    file.write(header.getBytes(StandardCharsets.US_ASCII));
    file.write(data);
    return Files.write(directory.resolve(name), file.toByteArray());
  }

  private Path lengths(String name, long... lengths) throws IOException {
    ByteBuffer data = ByteBuffer.allocate(8 * lengths.length).order(ByteOrder.LITTLE_ENDIAN);
    data.asLongBuffer().put(lengths);
    return save(name, "<i8", "(" + lengths.length + ",)", data.array());
  }

  private Path batch(String name) throws IOException {
    Path file = directory.resolve(name);
    Npy.write(file, HostTensor.of(new float[] {1, 2, 9, 3, 9, 9}, 2, 1, 3));
    return file;
  }

  private CommandLine normalize(Object... more) throws IOException {
    Object[] options = {
      "normalize",
      "--backend",
      "reference",
      "--reference",
      batch("r.npy"),
      "--input",
      batch("x.npy"),
      "--output",
      directory.resolve("y.npy")
    };
    Object[] all = new Object[options.length + more.length];
    System.arraycopy(options, 0, all, 0, options.length);
    System.arraycopy(more, 0, all, options.length, more.length);
    return CommandLine.run(all);
  }

  @Test
  void whatIsLeftOutIsWrittenAs0() throws IOException {
    normalize("--lengths", lengths("l.npy", 2, 1)).succeeded();
    float[] y = Npy.read(directory.resolve("y.npy")).floats();
    assertEquals(0, y[2]);
    assertEquals(0, y[4]);
    assertEquals(0, y[5]);
    assertTrue(y[0] < y[1] && y[1] < y[3]);
  }

  @Test
  void aStateTellsHowMuchOfTheReferenceCounted() throws IOException {
    Path state = directory.resolve("layer.npz");
    normalize("--reference-lengths", lengths("l.npy", 3, 0), "--save-state", state)
        .succeeded();
    CommandLine again = CommandLine.run(
        "normalize",
        "--backend",
        "reference",
        "--state",
        state,
        "--variant",
        "pooled",
        "--input",
        batch("x.npy"),
        "--output",
        directory.resolve("y.npy"));
    again.succeeded();
    // 1, 2, 9 of the reference with 1, 2, 9, 3, 9, 9 of the live batch: mean 5, variance 118 / 9
    float[] y = Npy.read(directory.resolve("y.npy")).floats();
    assertArrayEquals(
        new float[] {-1.1047f, -0.8285f, 1.1047f}, new float[] {y[0], y[1], y[2]}, 1e-3f);
  }

  private void assertRefused(CommandLine run, String message) {
    assertEquals(2, run.exitCode(), run.err());
    assertEquals("vbn: " + message + System.lineSeparator(), run.err());
    assertFalse(Files.exists(directory.resolve("y.npy")));
  }

  @Test
  void aMaskThatDoesNotFitIsRefusedInOneLine() throws IOException {
    Path none = lengths("none.npy", 0, 0);
    assertRefused(
        normalize("--lengths", none),
        "--lengths " + none + ": Mask of 2 lengths leaves nothing of shape [2, 1, 3]; expected at"
            + " least one element that counts");
    Path far = lengths("far.npy", 3, 4);
    assertRefused(
        normalize("--reference-lengths", far),
        "--reference-lengths " + far + ": length of example 1 is 4; expected at most 3, that of"
            + " axis 2 of shape [2, 1, 3]");
    Path below = lengths("below.npy", 3, -1);
    assertRefused(
        normalize("--lengths", below),
        "--lengths " + below + ": length of example 1 is -1; expected 0 or more");
    Path other = save("m.npy", "|b1", "(2, 1, 3)", new byte[] {1, 1, 1, 1, 1, 1});
    assertRefused(
        normalize("--mask", other),
        "--mask " + other + ": mask has shape [2, 1, 3]; expected [2, 3], that of the batch,"
            + " [2, 1, 3], without the feature axis, 1");
    Path floats = batch("f.npy");
    assertRefused(
        normalize("--mask", floats),
        "--mask " + floats + ": dtype is '<f4'; expected bool or uint8");
    Path missing = directory.resolve("missing.npy");
    assertRefused(
        normalize("--mask", missing), "--mask " + missing + ": no such file; expected a .npy file");
  }

  @Test
  void twoMasksOfOneBatchAreRefused() throws IOException {
    Path l = lengths("l.npy", 3, 1);
    assertRefused(
        normalize("--lengths", l, "--mask", l),
        "--lengths " + l + ": --mask " + l + " is given too; expected one of them");
  }
}
