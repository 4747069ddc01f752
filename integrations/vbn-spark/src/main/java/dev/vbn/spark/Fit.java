package dev.vbn.spark;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.state.LayerState;
import dev.vbn.state.Safetensors;
import java.io.IOException;
import java.io.OutputStream;
import java.io.PrintStream;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Supplier;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.LocalFileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.spark.sql.AnalysisException;
import org.apache.spark.sql.Dataset;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.SparkSession;
import org.jspecify.annotations.Nullable;

/**
 * Command line: takes reference statistics from files, and saves them as the state of a layer. For
 * {@code spark-submit --class dev.vbn.spark.Fit}; {@code --help} lists the options.
 */
public final class Fit {
  private static final int BAD_INPUT = 2;

  private static final String USAGE = """
      Usage: spark-submit --class dev.vbn.spark.Fit --jars JARS VBN-SPARK-JAR OPTIONS
        --input FILES      files or folders, here or where Hadoop reaches; may be repeated
        --format NAME      as Spark names it; default parquet
        --column NAME      of vectors, arrays of float or double, or sequences: arrays of arrays
        --lengths NAME     column of int or bigint: how many positions of a sequence count
        --output FILE      ends in .safetensors
        --variant NAME     of the layer: live-batch, batch, per-example, pooled or reference-only
                           (default)
        --epsilon NUMBER   of the layer; default 1e-5
        --summation NAME   exact (default) or fast
        --backend NAME     for --summation fast; default reference
      """;

  private static final List<String> OPTIONS = List.of(
      "--input",
      "--format",
      "--column",
      "--lengths",
      "--output",
      "--variant",
      "--epsilon",
      "--summation",
      "--backend");

  private final Map<String, List<String>> options;

  private Fit(Map<String, List<String>> options) {
    this.options = options;
  }

  /**
   * Exits with 2, and one line on standard error, if the arguments or the data are not as expected.
   *
   * @throws IOException if the output cannot be written
   */
  public static void main(String[] arguments) throws IOException {
    int code = run(arguments, () -> SparkSession.builder().getOrCreate(), System.out, System.err);
    if (code != 0) {
      System.exit(code);
    }
  }

  static int run(String[] arguments, Supplier<SparkSession> spark, PrintStream out, PrintStream err)
      throws IOException {
    if (arguments.length == 1 && arguments[0].equals("--help")) {
      out.print(USAGE);
      return 0;
    }
    try {
      Fit fit = new Fit(parse(arguments));
      VirtualBatchNormalizer normalizer = fit.normalizer();
      String output = fit.output();
      Variant variant = Variant.of(fit.get("--variant", Variant.REFERENCE_ONLY.label()));
      LayerState state = normalizer.fit(fit.data(spark.get())).state();
      write(
          state.withConfig(state.config().withVariant(variant)),
          new Path(output),
          spark.get().sparkContext().hadoopConfiguration());
      ReferenceMoments moments = requireNonNull(state.reference());
      out.println(output + ": " + moments.features() + " features, " + moments.examples()
          + " examples, " + moments.elements() + " elements of each feature");
      return 0;
    } catch (IllegalArgumentException e) {
      return refused(e, err);
    } catch (IOException e) {
      throw e;
    } catch (Exception e) { // of Scala, which declares none: AnalysisException is a checked one
      Throwable cause = e;
      while (cause.getCause() != null) {
        cause = cause.getCause();
      }
      if (e instanceof AnalysisException || cause instanceof IllegalArgumentException) {
        return refused(cause, err);
      }
      throw e;
    }
  }

  private static int refused(Throwable refusal, PrintStream err) {
    err.println(
        "Fit: " + String.valueOf(refusal.getMessage()).lines().findFirst().orElse(""));
    return BAD_INPUT;
  }

  private static Map<String, List<String>> parse(String[] arguments) {
    Map<String, List<String>> options = new HashMap<>();
    for (int i = 0; i < arguments.length; i += 2) {
      String option = arguments[i];
      if (!OPTIONS.contains(option)) {
        throw new IllegalArgumentException("option '" + option + "' is not known; expected one of "
            + String.join(", ", OPTIONS) + ", or --help");
      }
      if (i + 1 == arguments.length) {
        throw new IllegalArgumentException(option + " is the last argument; expected its value");
      }
      options.computeIfAbsent(option, name -> new ArrayList<>()).add(arguments[i + 1]);
    }
    options.forEach((option, values) -> {
      if (values.size() > 1 && !option.equals("--input")) {
        throw new IllegalArgumentException(
            option + " was given " + values.size() + " times; expected once");
      }
    });
    return options;
  }

  private @Nullable String get(String option) {
    List<String> values = options.get(option);
    return values == null ? null : values.get(0);
  }

  private String get(String option, String absent) {
    String value = get(option);
    return value == null ? absent : value;
  }

  private String required(String option) {
    String value = get(option);
    if (value == null) {
      throw new IllegalArgumentException(
          "no " + option + " was given; --help says what is expected");
    }
    return value;
  }

  private VirtualBatchNormalizer normalizer() {
    VirtualBatchNormalizer normalizer = new VirtualBatchNormalizer()
        .setInputCol(required("--column"))
        .setSummation(get("--summation", NormalizerParams.EXACT))
        .setBackend(get("--backend", "reference"));
    String lengths = get("--lengths");
    if (lengths != null) {
      normalizer.setMaskCol(lengths);
    }
    String epsilon = get("--epsilon");
    if (epsilon != null) {
      normalizer.setEpsilon(number(epsilon));
    }
    return normalizer;
  }

  private static double number(String epsilon) {
    try {
      return Double.parseDouble(epsilon);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException("--epsilon is '" + epsilon + "'; expected a number", e);
    }
  }

  private String output() {
    required("--input");
    String output = required("--output");
    if (!output.endsWith(".safetensors")) {
      throw new IllegalArgumentException(
          "--output is '" + output + "'; expected a name that ends in .safetensors");
    }
    return output;
  }

  private Dataset<Row> data(SparkSession spark) {
    return spark
        .read()
        .format(get("--format", "parquet"))
        .load(requireNonNull(options.get("--input")).toArray(String[]::new));
  }

  private static void write(LayerState state, Path file, Configuration hadoop) throws IOException {
    FileSystem files = file.getFileSystem(hadoop);
    if (files instanceof LocalFileSystem) { // without the sums that Hadoop would put next to it
      state.save(java.nio.file.Path.of(file.toUri().getPath()));
      return;
    }
    try (OutputStream out = files.create(file)) {
      Safetensors.write(out, state.content());
    }
  }
}
