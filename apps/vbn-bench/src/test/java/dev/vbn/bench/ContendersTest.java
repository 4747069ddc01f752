package dev.vbn.bench;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.state.Npz;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * What is timed is the right thing: every contender gives the golden values of the kit. Libtorch's
 * batch norm knows no reference batch and gives those of the textbook's formulas instead.
 */
class ContendersTest {
  private static final List<String> BACKENDS = List.of("reference", "djl", "nd4j");

  /** Those of 32 bits lose some digits in a mean of squares. */
  private static final double TOLERANCE = 2e-5;

  @TempDir
  Path directory;

  static Stream<String> shapes() {
    // Without the one far from zero, whose variance the op-by-op form loses in 32 bits.
    return Stream.of("nc", "ncl", "nchw", "single", "long");
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void everyContenderComputesTheGoldenValues(String shape) throws IOException {
    Npz golden = golden("live-batch-" + shape);
    Workload workload = workload(golden);
    Set<String> checked = new TreeSet<>();
    for (Contender contender : Contenders.of(BACKENDS, 1)) {
      if (contender.kind() == Contender.Kind.COPY) {
        continue;
      }
      assertTrue(contender.probe().available(), contender.probe().description());
      Map<String, double[]> expected =
          contender.name().equals(LibtorchBatchNorm.NAME) ? batchNorm(workload) : expected(golden);
      for (Pass pass : Pass.values()) {
        Optional<Prepared> prepared = contender.prepare(workload, pass);
        if (prepared.isPresent()) {
          checked.add(contender.name() + ", " + pass.label());
          try (Prepared ready = prepared.get()) {
            ready.run();
            check(contender.name(), expected, pass, ready.results());
          }
        }
      }
    }
    assertEquals(
        Set.of(
            "djl, backward",
            "djl, forward",
            "djl, forward and backward",
            "djl, in the graph, forward and backward",
            "libtorch, batch norm, forward",
            "libtorch, batch norm, forward and backward",
            "libtorch, op by op, forward",
            "libtorch, op by op, forward and backward",
            "nd4j, backward",
            "nd4j, forward",
            "nd4j, forward and backward",
            "nd4j, op by op, backward",
            "nd4j, op by op, forward",
            "nd4j, op by op, forward and backward",
            "nd4j, output given, backward",
            "nd4j, output given, forward",
            "nd4j, output given, forward and backward",
            "reference, backward",
            "reference, forward",
            "reference, forward and backward",
            "reference, output given, backward",
            "reference, output given, forward",
            "reference, output given, forward and backward"),
        checked);
  }

  private static void check(
      String contender, Map<String, double[]> golden, Pass pass, List<HostTensor> results) {
    List<String> names = pass.results();
    assertEquals(names.size(), results.size(), contender);
    for (int i = 0; i < names.size(); i++) {
      double[] expected = requireNonNull(golden.get(names.get(i)));
      double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
      assertArrayEquals(
          expected,
          results.get(i).toDoubles(),
          TOLERANCE * largest,
          contender + ", " + pass.label() + ": " + names.get(i));
    }
  }

  private static Map<String, double[]> expected(Npz golden) throws IOException {
    Map<String, double[]> expected = new HashMap<>();
    for (String name : Pass.STEP.results()) {
      expected.put(name, golden.tensor(name).toDoubles());
    }
    return expected;
  }

  /** Batch normalization and its gradients, feature by feature, as in Ioffe and Szegedy (2015). */
  private static Map<String, double[]> batchNorm(Workload workload) {
    double[] x = workload.x().toDoubles();
    double[] gamma = workload.gamma().toDoubles();
    double[] beta = workload.beta().toDoubles();
    double[] dy = workload.upstream().toDoubles();
    int features = gamma.length;
    int positions = x.length / (int) workload.x().shape()[0] / features;
    double[] y = new double[x.length];
    double[] dx = new double[x.length];
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    for (int feature = 0; feature < features; feature++) {
      int c = feature;
      int[] own = IntStream.range(0, x.length)
          .filter(i -> i / positions % features == c)
          .toArray();
      double mean = Arrays.stream(own).mapToDouble(i -> x[i]).average().orElseThrow();
      double variance = Arrays.stream(own)
          .mapToDouble(i -> (x[i] - mean) * (x[i] - mean))
          .average()
          .orElseThrow();
      double scale = 1 / Math.sqrt(variance + workload.config().epsilon());
      for (int i : own) {
        double normalized = (x[i] - mean) * scale;
        y[i] = gamma[c] * normalized + beta[c];
        dgamma[c] += dy[i] * normalized;
        dbeta[c] += dy[i];
      }
      for (int i : own) {
        double normalized = (x[i] - mean) * scale;
        dx[i] = gamma[c] * scale * (dy[i] - (dbeta[c] + normalized * dgamma[c]) / own.length);
      }
    }
    return Map.of("y", y, "dx", dx, "dgamma", dgamma, "dbeta", dbeta);
  }

  private Npz golden(String name) throws IOException {
    Path file = directory.resolve(name + ".npz");
    try (InputStream in = VbnConformance.class.getResourceAsStream("golden/" + name + ".npz")) {
      assertNotNull(in, name);
      Files.write(file, in.readAllBytes());
    }
    return Npz.read(file);
  }

  private static Workload workload(Npz golden) throws IOException {
    String epsilon = golden.string("meta").replaceFirst(".*\"epsilon\": ([-.e0-9]+).*", "$1");
    HostTensor gamma = golden.tensor("gamma");
    return new Workload(
        VbnConfig.of(gamma.size()).withEpsilon(Double.parseDouble(epsilon)),
        golden.tensor("x"),
        golden.tensor("reference"),
        gamma,
        golden.tensor("beta"),
        golden.tensor("dy"));
  }

  @Test
  void theCopyIsWhole() {
    Shape large = Shape.of(4, 256, 1024);
    Workload workload = Workload.of(
        new Comparison(Comparison.Series.SHAPES, large, Variant.LIVE_BATCH, Pass.FORWARD));
    for (int threads : List.of(1, 3)) {
      for (Contender contender : List.of(CopyContender.of(threads), CopyContender.intoNewArray())) {
        try (Prepared copy = contender.prepare(workload, Pass.FORWARD).orElseThrow()) {
          assertArrayEquals(workload.x().floats(), copy.results().get(0).floats());
        }
      }
    }
  }

  @Test
  void aCopyIntoANewArrayIsNewInEveryCall() {
    Workload workload = Workload.of(new Comparison(
        Comparison.Series.SHAPES, Shape.of(2, 3, 4), Variant.LIVE_BATCH, Pass.FORWARD));
    Prepared given = CopyContender.of(1).prepare(workload, Pass.FORWARD).orElseThrow();
    assertSame(given.run(), given.run());
    Prepared fresh =
        CopyContender.intoNewArray().prepare(workload, Pass.FORWARD).orElseThrow();
    assertNotSame(fresh.run(), fresh.run());
  }
}
