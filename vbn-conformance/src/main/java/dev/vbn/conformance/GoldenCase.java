package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.state.NpyMask;
import dev.vbn.state.Npz;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.zip.ZipEntry;
import java.util.zip.ZipFile;

/**
 * A case with its results, computed elsewhere by automatic differentiation in 64 bits from inputs
 * in 32 bits. The inputs are in {@code x, reference, gamma, beta, dy} of the file.
 */
final class GoldenCase {
  private static final List<String> SHAPES =
      List.of("nc", "ncl", "nchw", "nhwc", "single", "long", "offset");
  private static final List<String> MASKED_SHAPES =
      List.of("ncl-lengths", "nlc-lengths", "nhwc-mask", "ncl-long-offset");
  private static final Pattern FEATURE_AXIS = Pattern.compile("\"feature_axis\": (-?\\d+)");
  private static final String MASK = "mask";
  private static final String LENGTHS = "lengths";
  private static final Pattern EPSILON = Pattern.compile("\"epsilon\": ([-+.e0-9]+)");

  private static final Map<Quantity, String> ARRAYS = Map.of(
      Quantity.MEAN, "ref_mean",
      Quantity.VARIANCE, "ref_variance",
      Quantity.OUTPUT, "y",
      Quantity.REFERENCE_OUTPUT, "ref_y",
      Quantity.LIVE_MEAN, "mean",
      Quantity.DX, "dx",
      Quantity.DGAMMA, "dgamma",
      Quantity.DBETA, "dbeta",
      Quantity.DREFERENCE, "dref");
  private static final Map<Variant, List<GoldenCase>> CASES = load("", SHAPES);
  private static final Map<Variant, List<GoldenCase>> MASKED_CASES = load("masked/", MASKED_SHAPES);

  private final String name;
  private final Npz arrays;
  private final Case input;

  private GoldenCase(String name, Npz arrays, Case input) {
    this.name = name;
    this.arrays = arrays;
    this.input = input;
  }

  /** The cases of a variant, one per shape. */
  static List<GoldenCase> of(Variant variant) {
    return requireNonNull(CASES.get(variant));
  }

  /** The cases of a variant in which not all elements count. */
  static List<GoldenCase> maskedOf(Variant variant) {
    return requireNonNull(MASKED_CASES.get(variant));
  }

  private static Map<Variant, List<GoldenCase>> load(String folder, List<String> shapes) {
    Map<Variant, List<GoldenCase>> cases = new EnumMap<>(Variant.class);
    for (Variant variant : Variant.values()) {
      cases.put(
          variant, shapes.stream().map(shape -> load(folder, variant, shape)).toList());
    }
    return cases;
  }

  private static GoldenCase load(String folder, Variant variant, String shape) {
    String name = folder + variant.label() + "-" + shape;
    String resource = "golden/" + name + ".npz";
    try {
      Npz arrays = readResource(
          resource,
          file -> Npz.read(file, array -> !array.endsWith(MASK) && !array.endsWith(LENGTHS)));
      HostTensor gamma = arrays.tensor("gamma");
      VbnConfig config = config(arrays, gamma.size())
          .withVariant(variant)
          .withReferenceGradient(ReferenceGradient.ATTACHED);
      Case input = new Case(
          config,
          arrays.tensor("x"),
          arrays.tensor("reference"),
          gamma,
          arrays.tensor("beta"),
          arrays.tensor("dy"),
          arrays.tensor("reference"));
      return new GoldenCase(name, arrays, folder.isEmpty() ? input : masked(input, resource));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** With the masks of the file, as lengths where it has those; it has the junk already. */
  private static Case masked(Case c, String resource) throws IOException {
    return c.masked(
        readResource(resource, file -> padding(file, "")),
        readResource(resource, file -> padding(file, "reference_")));
  }

  private static Padding padding(Path file, String prefix) throws IOException {
    try (ZipFile zip = new ZipFile(file.toFile());
        InputStream mask = zip.getInputStream(zip.getEntry(prefix + MASK + ".npy"))) {
      Mask positions = NpyMask.read(mask);
      long[] shape = positions.shape();
      boolean[] counts = new boolean[(int) Arrays.stream(shape).reduce(1, Math::multiplyExact)];
      for (int i = 0; i < counts.length; i++) {
        counts[i] = positions.counts(i);
      }
      ZipEntry lengths = zip.getEntry(prefix + LENGTHS + ".npy");
      if (lengths == null) {
        return Padding.of(counts, shape);
      }
      try (InputStream in = zip.getInputStream(lengths)) {
        return new Padding(counts, (int) shape[0], NpyMask.readLengths(in));
      }
    }
  }

  /** Feature axis and epsilon of a file. */
  static VbnConfig config(Npz arrays, int features) throws IOException {
    String meta = arrays.string("meta");
    return VbnConfig.of(features)
        .withFeatureAxis(Integer.parseInt(find(FEATURE_AXIS, meta)))
        .withEpsilon(Double.parseDouble(find(EPSILON, meta)));
  }

  private static String find(Pattern pattern, String meta) {
    Matcher matcher = pattern.matcher(meta);
    if (!matcher.find()) {
      throw new IllegalStateException("golden meta is " + meta + "; expected " + pattern);
    }
    return matcher.group(1);
  }

  /** What reads a file. */
  interface Reading<R> {
    R of(Path file) throws IOException;
  }

  /** Such files are read from the disk, and a resource may be inside a jar. */
  static <R> R readResource(String resource, Reading<R> reading) throws IOException {
    Path file = Files.createTempFile("vbn", resource.substring(resource.lastIndexOf('/') + 1));
    try (InputStream in = GoldenCase.class.getResourceAsStream(resource)) {
      if (in == null) {
        throw new IOException("no resource " + resource + "; expected it in the kit's jar");
      }
      Files.copy(in, file, StandardCopyOption.REPLACE_EXISTING);
      return reading.of(file);
    } finally {
      Files.delete(file);
    }
  }

  String name() {
    return name;
  }

  Case input() {
    return input;
  }

  /** The arrays of the file, of which the oracle knows the magnitudes. */
  Map<Quantity, Values> expected(DType dtype, boolean wideStatistics) throws IOException {
    Expected scales = Oracle.expect(input, dtype, wideStatistics);
    Map<Quantity, Values> expected = new EnumMap<>(Quantity.class);
    for (Map.Entry<Quantity, String> each : ARRAYS.entrySet()) {
      if (arrays.tensors().containsKey(each.getValue())) {
        Values values = scales.of(each.getKey()).of(arrays.tensor(each.getValue()));
        expected.put(
            each.getKey(), dtype == DType.FLOAT64 ? values.scaled(1 + condition(scales)) : values);
      }
    }
    return expected;
  }

  /** Compares what the backend computes of the input with the arrays of the file. */
  void check(Subject<?> subject, DType dtype) throws IOException {
    Computed computed = subject.run(input, dtype);
    expected(dtype, subject.has(Capability.FLOAT64_STATISTICS))
        .forEach((quantity, values) -> subject.tolerance.assertClose(
            quantity.label() + " of " + name + " in " + dtype,
            values,
            computed.of(quantity),
            quantity.roundedTo(dtype),
            quantity.hint()));
  }

  /**
   * How far the means are from 0 in deviations. In 64 bits the files' own error shows: in part they
   * were made from E[x^2] - m^2, which loses the square of that.
   */
  private double condition(Expected scales) {
    double[] mean = scales.of(Quantity.MEAN).expected();
    double[] variance = scales.of(Quantity.VARIANCE).expected();
    double condition = 0;
    for (int i = 0; i < mean.length; i++) {
      double s = Math.sqrt(variance[i] + input.config().epsilon());
      condition = Math.max(condition, Math.abs(mean[i]) / s);
    }
    return condition;
  }
}
