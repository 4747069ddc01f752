package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.state.Npy;
import dev.vbn.state.Npz;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** {@code vbn normalize} and {@code vbn gradient} on the golden files, from file to file. */
class CommandLineGoldenTest {
  @TempDir
  Path directory;

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#names")
  void normalizes(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpack(name, directory);
    Path y = directory.resolve("y.npy");
    Path referenceY = directory.resolve("ry.npy");
    golden.run("normalize", "--output", y, "--reference-output", referenceY).succeeded();
    golden.check("y", y, golden.offset());
    golden.check("ref_y", referenceY, golden.offset());
    assertEquals(DType.FLOAT32, Npy.read(y).dtype());
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#names")
  void normalizesInFloat64(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpack(name, directory);
    Path y = directory.resolve("y.npy");
    golden.run("normalize", "--output", y, "--dtype", "float64").succeeded();
    golden.check("y", y, 0);
    assertEquals(DType.FLOAT64, Npy.read(y).dtype());
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#names")
  void differentiates(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpack(name, directory);
    Path gradients = directory.resolve("new/gradients");
    golden
        .run(
            "gradient",
            "--upstream",
            directory.resolve("dy.npy"),
            "--output-dir",
            gradients,
            "--reference-gradient",
            "attached")
        .succeeded();
    golden.check("dx", gradients.resolve("dx.npy"), golden.offset());
    golden.check("dgamma", gradients.resolve("dgamma.npy"), golden.offset());
    golden.check("dbeta", gradients.resolve("dbeta.npy"), golden.offset());
    golden.check("dref", gradients.resolve("dreference.npy"), golden.offset());
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#secondNames")
  void differentiatesTwice(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpackSecond(name, directory);
    Path gradients = directory.resolve("gradients");
    golden
        .run(
            "gradient",
            "--upstream",
            directory.resolve("dy.npy"),
            "--dx-upstream",
            directory.resolve("v.npy"),
            "--dgamma-upstream",
            directory.resolve("vgamma.npy"),
            "--dbeta-upstream",
            directory.resolve("vbeta.npy"),
            "--output-dir",
            gradients)
        .succeeded();
    golden.check("dx", gradients.resolve("dx.npy"), golden.offset());
    for (String array : List.of("x_gradient", "dy_gradient", "gamma_gradient")) {
      golden.check(array + "_all", gradients.resolve(array + ".npy"), golden.offset());
    }
  }

  @ParameterizedTest
  @MethodSource("dev.vbn.cli.GoldenFile#secondNames")
  void differentiatesTwiceByDxAlone(String name) throws IOException {
    GoldenFile golden = GoldenFile.unpackSecond(name, directory);
    Path gradients = directory.resolve("gradients");
    golden
        .run(
            "gradient",
            "--upstream",
            directory.resolve("dy.npy"),
            "--dx-upstream",
            directory.resolve("v.npy"),
            "--output-dir",
            gradients)
        .succeeded();
    assertEquals(
        Set.of(
            "dx.npy",
            "dgamma.npy",
            "dbeta.npy",
            "x_gradient.npy",
            "dy_gradient.npy",
            "gamma_gradient.npy"),
        CommandLine.contents(gradients).keySet());
    golden.check("dy_gradient", gradients.resolve("dy_gradient.npy"), golden.offset());
    golden.check("gamma_gradient", gradients.resolve("gamma_gradient.npy"), golden.offset());
    Path ofX = gradients.resolve("x_gradient.npy");
    if (name.startsWith("reference-only")) { // dx does not depend on x
      for (double each : Npy.read(ofX).toDoubles()) {
        assertEquals(0, each);
      }
    } else {
      golden.check("x_gradient", ofX, golden.offset());
    }
  }

  @Test
  void writesNoReferenceGradientWhenDetached() throws IOException {
    GoldenFile golden = GoldenFile.unpack("pooled-ncl", directory);
    Path gradients = Files.createDirectory(directory.resolve("gradients"));
    golden
        .run("gradient", "--upstream", directory.resolve("dy.npy"), "--output-dir", gradients)
        .succeeded();
    assertEquals(
        Set.of("dx.npy", "dgamma.npy", "dbeta.npy"),
        CommandLine.contents(gradients).keySet());
    golden.check("dx", gradients.resolve("dx.npy"), golden.offset());
  }

  @Test
  void writesStatistics() throws IOException {
    GoldenFile golden = GoldenFile.unpack("live-batch-ncl", directory);
    Path file = directory.resolve("s.npz");
    // Only where all is computed in 64 bits are they as exact as the tolerances below.
    golden
        .run(
            "normalize",
            "--backend",
            "reference",
            "--output",
            directory.resolve("y.npy"),
            "--statistics",
            file)
        .succeeded();
    Npz statistics = Npz.read(file);
    assertEquals(
        Set.of("mean", "variance", "mean_square", "reference_mean", "reference_variance"),
        statistics.tensors().keySet());
    for (HostTensor tensor : statistics.tensors().values()) {
      assertEquals(DType.FLOAT64, tensor.dtype());
      assertArrayEquals(new long[] {3}, tensor.shape());
    }
    double[] mean = statistics.tensor("mean").doubles();
    double[] meanSquare = statistics.tensor("mean_square").doubles();
    double[] variance = statistics.tensor("variance").doubles();
    assertArrayEquals(golden.arrays().tensor("mean").doubles(), mean, 1e-12);
    assertArrayEquals(golden.arrays().tensor("mean_square").doubles(), meanSquare, 1e-12);
    // The reference's own, from the definition: features are the second of three axes.
    HostTensor reference = golden.arrays().tensor("reference");
    for (int feature = 0; feature < 3; feature++) {
      assertEquals(meanSquare[feature] - mean[feature] * mean[feature], variance[feature], 1e-12);
      double sum = 0;
      double squares = 0;
      for (int i = 0; i < reference.size(); i++) {
        if (i / 5 % 3 == feature) {
          sum += reference.get(i) / 30;
          squares += reference.get(i) * reference.get(i) / 30;
        }
      }
      assertEquals(sum, statistics.tensor("reference_mean").doubles()[feature], 1e-12);
      assertEquals(
          squares - sum * sum, statistics.tensor("reference_variance").doubles()[feature], 1e-12);
    }
  }

  @Test
  void writesStatisticsOfEachExample() throws IOException {
    GoldenFile golden = GoldenFile.unpack("per-example-nchw", directory);
    Path file = directory.resolve("s.npz");
    golden
        .run("normalize", "--output", directory.resolve("y.npy"), "--statistics", file)
        .succeeded();
    Npz statistics = Npz.read(file);
    assertArrayEquals(new long[] {3, 5}, statistics.tensor("mean").shape());
    assertArrayEquals(new long[] {3, 5}, statistics.tensor("variance").shape());
    assertArrayEquals(new long[] {3, 5}, statistics.tensor("mean_square").shape());
    assertArrayEquals(new long[] {5}, statistics.tensor("reference_mean").shape());
  }

  /** Whole batches are normalised all the same: which features are of use is the user's to say. */
  @Test
  void warnsOfAReferenceThatIsNotFinite() throws IOException {
    Path r = directory.resolve("nan.npy");
    float[] values = {1, Float.NaN, 3, Float.POSITIVE_INFINITY, 5, 6, 7, 8};
    Npy.write(r, HostTensor.of(values, 2, 4));
    Path x = directory.resolve("live.npy");
    Npy.write(x, HostTensor.of(new float[] {1, 2, 3, 4}, 1, 4));
    Path y = directory.resolve("y.npy");
    String warning = "vbn: warning: --reference " + r
        + ": mean or variance is NaN or infinite in 2 of 4 features; expected finite numbers"
        + System.lineSeparator();
    CommandLine run = CommandLine.run("normalize", "--reference", r, "--input", x, "--output", y);
    assertEquals(0, run.exitCode());
    assertEquals(warning, run.err());
    assertTrue(Float.isFinite(Npy.read(y).floats()[0]));
    CommandLine gradient = CommandLine.run(
        "gradient", "--reference", r, "--input", x, "--upstream", x, "--output-dir", directory);
    assertEquals(0, gradient.exitCode());
    assertEquals(warning, gradient.err());
  }

  @Test
  void swappedBatchesAreNormalisedByTheOther() throws IOException {
    GoldenFile golden = GoldenFile.unpack("live-batch-ncl", directory);
    Path y = directory.resolve("y.npy");
    CommandLine.run(
            "normalize",
            "--variant",
            "reference-only",
            "--input",
            directory.resolve("reference.npy"),
            "--reference",
            directory.resolve("x.npy"),
            "--output",
            y)
        .succeeded();
    HostTensor actual = Npy.read(y);
    HostTensor input = golden.arrays().tensor("reference");
    HostTensor reference = golden.arrays().tensor("x");
    assertArrayEquals(input.shape(), actual.shape());
    for (int feature = 0; feature < 3; feature++) {
      double mean = 0;
      double square = 0;
      for (int i = 0; i < reference.size(); i++) {
        if (i / 7 % 3 == feature) {
          mean += reference.get(i) / 28;
          square += reference.get(i) * reference.get(i) / 28;
        }
      }
      double deviation = Math.sqrt(square - mean * mean + 1e-5);
      for (int i = 0; i < input.size(); i++) {
        if (i / 5 % 3 == feature) {
          assertEquals((input.get(i) - mean) / deviation, actual.get(i), 1e-5);
        }
      }
    }
  }

  @Test
  void readsFortranOrderAndBigEndian() throws IOException {
    GoldenFile golden = GoldenFile.unpack("live-batch-nc", directory);
    HostTensor x = golden.arrays().tensor("x");
    int rows = (int) x.shape()[0];
    int columns = (int) x.shape()[1];
    String header =
        "{'descr': '>f8', 'fortran_order': True, 'shape': (" + rows + ", " + columns + "), }";
    String padded = header + " ".repeat(117 - header.length()) + "\n";
    ByteBuffer file = ByteBuffer.allocate(128 + 8 * x.size());
    file.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
    file.order(ByteOrder.LITTLE_ENDIAN).putShort((short) padded.length());
    file.order(ByteOrder.BIG_ENDIAN).put(padded.getBytes(StandardCharsets.US_ASCII));
    for (int column = 0; column < columns; column++) {
      for (int row = 0; row < rows; row++) {
        file.putDouble(x.get(row * columns + column));
      }
    }
    Files.write(directory.resolve("x.npy"), file.array());
    Path y = directory.resolve("y.npy");
    golden.run("normalize", "--output", y).succeeded();
    golden.check("y", y, 0);
    assertEquals(DType.FLOAT64, Npy.read(y).dtype(), "float64 input asks for float64 output");
  }

  @Test
  void countsANegativeFeatureAxisFromTheEnd() throws IOException {
    GoldenFile golden = GoldenFile.unpack("pooled-nhwc", directory);
    Path y = directory.resolve("y.npy");
    CommandLine.run(
            "normalize",
            "--reference",
            directory.resolve("reference.npy"),
            "--input",
            directory.resolve("x.npy"),
            "--gamma",
            directory.resolve("gamma.npy"),
            "--beta",
            directory.resolve("beta.npy"),
            "--variant",
            "pooled",
            "--feature-axis",
            "-1",
            "--backend",
            "reference",
            "--output",
            y)
        .succeeded();
    golden.check("y", y, golden.offset());
  }

  @Test
  void defaultsAreLiveBatchWithOnesAndZeros() throws IOException {
    GoldenFile golden = GoldenFile.unpack("live-batch-nc", directory);
    Path plain = directory.resolve("plain.npy");
    CommandLine.run(
            "normalize",
            "--reference",
            directory.resolve("reference.npy"),
            "--input",
            directory.resolve("x.npy"),
            "--output",
            plain)
        .succeeded();
    HostTensor normalized = Npy.read(plain);
    HostTensor expected = golden.arrays().tensor("y");
    HostTensor gamma = golden.arrays().tensor("gamma");
    HostTensor beta = golden.arrays().tensor("beta");
    for (int i = 0; i < expected.size(); i++) {
      int feature = i % gamma.size();
      double y = gamma.get(feature) * normalized.get(i) + beta.get(feature);
      assertEquals(expected.get(i), y, 1e-5);
    }
  }

  @Test
  void replacesAnOutputAndLeavesNothingElse() throws IOException {
    GoldenFile golden = GoldenFile.unpack("batch-nc", directory);
    Path outputs = Files.createDirectory(directory.resolve("outputs"));
    Path y = Files.writeString(outputs.resolve("y.npy"), "old");
    golden.run("normalize", "--output", y).succeeded();
    golden.check("y", y, golden.offset());
    assertEquals(Set.of("y.npy"), CommandLine.contents(outputs).keySet());
    assertFalse(Files.isSymbolicLink(y));
    assertTrue(Files.size(y) > 100);
  }
}
