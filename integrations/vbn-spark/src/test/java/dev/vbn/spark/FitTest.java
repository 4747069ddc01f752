package dev.vbn.spark;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Variant;
import dev.vbn.state.LayerState;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.apache.spark.sql.SparkSession;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command line. */
class FitTest {
  private static final double[][] EXAMPLES = LocalSpark.examples(40, 3);

  @TempDir
  Path directory;

  private record Run(int code, String out, String err) {}

  private static Run run(String... arguments) throws IOException {
    ByteArrayOutputStream out = new ByteArrayOutputStream();
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    int code = Fit.run(
        arguments,
        LocalSpark::session,
        new PrintStream(out, true, StandardCharsets.UTF_8),
        new PrintStream(err, true, StandardCharsets.UTF_8));
    return new Run(
        code, out.toString(StandardCharsets.UTF_8), err.toString(StandardCharsets.UTF_8));
  }

  private String at(String name) {
    return directory.resolve(name).toString();
  }

  @Test
  void savesTheStateOfALayer() throws IOException {
    LocalSpark.vectors(EXAMPLES).filter("id < 25").write().parquet(at("a.parquet"));
    LocalSpark.vectors(EXAMPLES).filter("id >= 25").write().parquet(at("b.parquet"));
    Run run = run(
        "--input",
        at("a.parquet"),
        "--input",
        at("b.parquet"),
        "--column",
        "features",
        "--output",
        at("stats.safetensors"),
        "--variant",
        "live-batch",
        "--epsilon",
        "0.5");
    assertEquals("", run.err());
    assertEquals(0, run.code());
    assertEquals(
        at("stats.safetensors") + ": 3 features, 40 examples, 40 elements of each feature"
            + System.lineSeparator(),
        run.out());
    LayerState state = LayerState.load(directory.resolve("stats.safetensors"));
    assertArrayEquals(Formula.mean(List.of(EXAMPLES)), state.reference().mean());
    assertArrayEquals(Formula.variance(List.of(EXAMPLES)), state.reference().variance());
    assertEquals(Variant.LIVE_BATCH, state.config().variant());
    assertEquals(0.5, state.config().epsilon());
    assertEquals(1, state.config().featureAxis());
    try (Stream<Path> files = Files.list(directory)) {
      assertEquals(3, files.count(), "two inputs and the output, and no file of Hadoop's");
    }
  }

  @Test
  void sequencesHaveTheirFeaturesLast() throws IOException {
    SparkSession spark = LocalSpark.session();
    spark
        .sql("SELECT array(array(1D, 10D), array(3D, 30D)) AS x, 1 AS n")
        .write()
        .json(at("x.json"));
    Run run = run(
        "--input",
        at("*.json"),
        "--format",
        "json",
        "--column",
        "x",
        "--lengths",
        "n",
        "--output",
        directory.resolve("s.safetensors").toUri().toString(),
        "--summation",
        "fast");
    assertEquals("", run.err());
    LayerState state = LayerState.load(directory.resolve("s.safetensors"));
    assertEquals(-1, state.config().featureAxis());
    assertArrayEquals(new double[] {1, 10}, state.reference().mean());
  }

  private void refused(String message, String... arguments) throws IOException {
    Run run = run(arguments);
    assertEquals(message + System.lineSeparator(), run.err());
    assertEquals(2, run.code());
    assertEquals("", run.out());
    assertFalse(Files.exists(directory.resolve("s.safetensors")));
  }

  @Test
  void badArgumentsAreRefusedBeforeSparkStarts() throws IOException {
    ByteArrayOutputStream err = new ByteArrayOutputStream();
    int code = Fit.run(
        new String[] {"--input", "x", "--column", "x", "--output", "s.npy"},
        () -> fail("Spark was started"),
        System.out,
        new PrintStream(err, true, StandardCharsets.UTF_8));
    assertEquals(2, code);
    assertEquals(
        "Fit: --output is 's.npy'; expected a name that ends in .safetensors",
        err.toString(StandardCharsets.UTF_8).strip());
    String output = at("s.safetensors");
    refused("Fit: no --column was given; --help says what is expected");
    refused(
        "Fit: no --input was given; --help says what is expected",
        "--column",
        "x",
        "--output",
        output);
    refused("Fit: --column is the last argument; expected its value", "--input", "x", "--column");
    refused("Fit: --column was given 2 times; expected once", "--column", "x", "--column", "y");
    refused(
        "Fit: option '--colum' is not known; expected one of --input, --format, --column,"
            + " --lengths, --output, --variant, --epsilon, --summation, --backend, or --help",
        "--colum",
        "x");
    refused(
        "Fit: --epsilon is 'small'; expected a number",
        "--input",
        "x",
        "--column",
        "x",
        "--output",
        output,
        "--epsilon",
        "small");
    refused(
        "Fit: variant is 'all'; expected one of live-batch, batch, per-example, pooled,"
            + " reference-only",
        "--input",
        "x",
        "--column",
        "x",
        "--output",
        output,
        "--variant",
        "all");
    assertTrue(run("--help").out().startsWith("Usage: spark-submit"));
  }

  @Test
  void badDataAreRefusedInOneLine() throws IOException {
    String output = at("s.safetensors");
    Run run = run("--input", at("nowhere"), "--column", "x", "--output", output);
    assertEquals(2, run.code());
    assertTrue(run.err().contains(at("nowhere")), run.err());
    assertEquals(1, run.err().lines().count());
    LocalSpark.session()
        .sql("SELECT array(1D, double('NaN')) AS x, array(1D, NULL) AS y")
        .write()
        .parquet(at("x.parquet"));
    refused(
        "Fit: there is no column 'z'; expected one of x, y",
        "--input",
        at("x.parquet"),
        "--column",
        "z",
        "--output",
        output);
    refused(
        "Fit: column 'x' has NaN or infinity in feature 1 (1 of 1 elements); expected finite"
            + " numbers in a reference batch",
        "--input",
        at("x.parquet"),
        "--column",
        "x",
        "--output",
        output);
    refused(
        "Fit: column 'y' has an example with null for feature 1; expected a number",
        "--input",
        at("x.parquet"),
        "--column",
        "y",
        "--output",
        output);
  }
}
