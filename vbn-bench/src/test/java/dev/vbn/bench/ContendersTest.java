package dev.vbn.bench;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.HostTensor;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.npy.Npz;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What is timed is the right thing: every contender gives the golden values of the kit. */
class ContendersTest {
  private static final List<String> BACKENDS = List.of("reference", "djl");

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
    Set<String> checked = new TreeSet<>();
    for (Contender contender : Contenders.of(BACKENDS, 1)) {
      if (contender.kind() == Contender.Kind.COPY) {
        continue;
      }
      assertTrue(contender.probe().available(), contender.probe().description());
      // Libtorch's batch norm knows no reference batch: it is the variant without one.
      String variant = contender.name().equals(LibtorchBatchNorm.NAME) ? "batch" : "live-batch";
      Npz golden = golden(variant + "-" + shape);
      for (Pass pass : Pass.values()) {
        Optional<Prepared> prepared = contender.prepare(workload(golden), pass);
        if (prepared.isPresent()) {
          checked.add(contender.name() + ", " + pass.label());
          try (Prepared ready = prepared.get()) {
            ready.run();
            check(contender.name(), golden, pass, ready.results());
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
            "reference, backward",
            "reference, forward",
            "reference, forward and backward",
            "reference, output given, forward"),
        checked);
  }

  private static void check(String contender, Npz golden, Pass pass, List<HostTensor> results)
      throws IOException {
    List<String> names = pass.results();
    assertEquals(names.size(), results.size(), contender);
    for (int i = 0; i < names.size(); i++) {
      double[] expected = golden.tensor(names.get(i)).toDoubles();
      double largest = Arrays.stream(expected).map(Math::abs).max().orElseThrow();
      assertArrayEquals(
          expected,
          results.get(i).toDoubles(),
          TOLERANCE * largest,
          contender + ", " + pass.label() + ": " + names.get(i));
    }
  }

  private Npz golden(String name) throws IOException {
    Path file = directory.resolve(name + ".npz");
    try (InputStream in =
        VbnConformance.class.getResourceAsStream("golden/" + name + ".npz")) {
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
        new Comparison(Comparison.Series.SHAPES, large, dev.vbn.Variant.LIVE_BATCH, Pass.FORWARD));
    for (int threads : List.of(1, 3)) {
      try (Prepared copy =
          new CopyContender(threads).prepare(workload, Pass.FORWARD).orElseThrow()) {
        assertArrayEquals(workload.x().floats(), copy.results().get(0).floats());
      }
    }
  }
}
