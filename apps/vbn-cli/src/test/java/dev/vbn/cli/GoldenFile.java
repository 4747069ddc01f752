package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.Geometry;
import dev.vbn.state.Npy;
import dev.vbn.state.Npz;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/** One of the kit's golden files, written out as the command line reads it. */
record GoldenFile(String name, Npz arrays, Path directory) {
  private static final List<String> SHAPES =
      List.of("long", "nc", "nchw", "ncl", "nhwc", "offset", "single");
  private static final List<String> VARIANTS =
      List.of("batch", "live-batch", "per-example", "pooled", "reference-only");

  /** The names of all 35. */
  static Stream<String> names() {
    return VARIANTS.stream().flatMap(v -> SHAPES.stream().map(shape -> v + "-" + shape));
  }

  /** The names of the 15 with second gradients. */
  static Stream<String> secondNames() {
    return VARIANTS.stream().flatMap(v -> Stream.of("nc", "ncl", "nhwc").map(s -> v + "-" + s));
  }

  /** Reads the file and writes its inputs to a directory. */
  static GoldenFile unpack(String name, Path directory) {
    return unpack("golden", List.of("x", "reference", "gamma", "beta", "dy"), name, directory);
  }

  /** The same for a file of second gradients. */
  static GoldenFile unpackSecond(String name, Path directory) {
    List<String> inputs = List.of("x", "reference", "gamma", "beta", "dy", "v", "vgamma", "vbeta");
    return unpack("double-backward", inputs, name, directory);
  }

  private static GoldenFile unpack(
      String folder, List<String> inputs, String name, Path directory) {
    String resource = "/dev/vbn/conformance/" + folder + "/" + name + ".npz";
    try (InputStream in = GoldenFile.class.getResourceAsStream(resource)) {
      Path file = directory.resolve("golden.npz");
      Files.copy(in, file);
      Npz arrays = Npz.read(file);
      for (String input : inputs) {
        Npy.write(directory.resolve(input + ".npy"), arrays.tensor(input));
      }
      return new GoldenFile(name, arrays, directory);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The command with the options that this file needs, and more. */
  CommandLine run(String command, Object... more) throws IOException {
    Stream<Object> arguments = Stream.of(
        command,
        "--reference",
        directory.resolve("reference.npy"),
        "--input",
        directory.resolve("x.npy"),
        "--gamma",
        directory.resolve("gamma.npy"),
        "--beta",
        directory.resolve("beta.npy"),
        "--variant",
        meta("variant"),
        "--feature-axis",
        meta("feature_axis"),
        "--epsilon",
        meta("epsilon"));
    return CommandLine.run(Stream.concat(arguments, Stream.of(more)).toArray());
  }

  String meta(String key) throws IOException {
    Matcher value =
        Pattern.compile("\"" + key + "\": \"?([^\",}]+)").matcher(arrays.string("meta"));
    assertTrue(value.find(), key);
    return value.group(1);
  }

  /**
   * Checks an array against the golden one: within 16 roundings to float32 times {@code 1 + |m|/s},
   * relative to the largest expected element.
   */
  void check(String key, Path actualFile, double offset) throws IOException {
    HostTensor expected = arrays.tensor(key);
    HostTensor actual = Npy.read(actualFile);
    assertArrayEquals(expected.shape(), actual.shape(), name + " " + key);
    double largest = 0;
    for (int i = 0; i < expected.size(); i++) {
      largest = Math.max(largest, Math.abs(expected.get(i)));
    }
    assertTrue(expected.size() > 0 && largest > 0, name + " " + key + " holds nothing to compare");
    double bound = 16 * 0x1p-24 * (1 + offset) * largest;
    for (int i = 0; i < expected.size(); i++) {
      double error = Math.abs(actual.get(i) - expected.get(i));
      // Not "assertFalse(error > bound)", which NaN would pass.
      assertTrue(
          error <= bound,
          name + " " + key + "[" + i + "] is " + actual.get(i) + "; expected " + expected.get(i)
              + " within " + bound);
    }
  }

  /** The largest {@code |m|/s} of a feature of the reference batch. */
  double offset() throws IOException {
    HostTensor reference = arrays.tensor("reference");
    Geometry view = Geometry.of(reference.shape(), Integer.parseInt(meta("feature_axis")));
    double epsilon = Double.parseDouble(meta("epsilon"));
    double worst = 0;
    for (int feature = 0; feature < view.features(); feature++) {
      double sum = 0;
      double squares = 0;
      for (int pass = 0; pass < 2; pass++) {
        double mean = sum / view.elementsPerFeature();
        for (int i = 0; i < reference.size(); i++) {
          if (i / view.after() % view.features() == feature) {
            double value = reference.get(i);
            sum += pass == 0 ? value : 0;
            squares += pass == 1 ? (value - mean) * (value - mean) : 0;
          }
        }
      }
      double mean = sum / view.elementsPerFeature();
      double deviation = Math.sqrt(squares / view.elementsPerFeature() + epsilon);
      worst = Math.max(worst, Math.abs(mean) / deviation);
    }
    assertFalse(Double.isNaN(worst));
    return worst;
  }
}
