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
import dev.vbn.bench.Comparison.Series;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.state.Npz;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What is timed is the right thing: every contender gives the golden values of the kit, but those
 * that know no reference batch, which give the oracle's. PyTorch in Python is there or not.
 */
class ContendersTest {
  private static final List<String> BACKENDS = List.of("reference", "djl", "nd4j");

  /** Those of 32 bits lose some digits in a mean of squares. */
  private static final double TOLERANCE = 2e-5;

  @TempDir
  Path directory;

  static Stream<String> shapes() {
    // Without the one far from zero, whose variance the op-by-op form loses in 32 bits.
    return Stream.of("nc", "ncl", "nchw", "nhwc", "single", "long");
  }

  @ParameterizedTest
  @MethodSource("shapes")
  void everyContenderComputesTheGoldenValues(String shape) throws IOException {
    Npz golden = golden("live-batch-" + shape);
    Workload workload = workload(golden);
    Set<String> checked = new TreeSet<>();
    for (Contender contender : Contenders.of(BACKENDS, 1)) {
      if (contender.kind() == Contender.Kind.COPY
          || (!contender.probe().available() && isOptional(contender))) {
        continue;
      }
      assertTrue(contender.probe().available(), contender.probe().description());
      for (Pass pass : Pass.values()) {
        Optional<Prepared> prepared = contender.prepare(workload, pass);
        if (prepared.isPresent()) {
          if (!isOptional(contender)) {
            checked.add(contender.name() + ", " + pass.label());
          }
          try (Prepared ready = prepared.get()) {
            ready.run();
            if (contender.task() == Contender.Task.BATCH_NORM) {
              new Oracle(workload, contender.task(), pass).check(pass, ready.results());
            } else {
              check(contender.name(), expected(golden), pass, ready.results());
            }
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

  private static boolean isOptional(Contender contender) {
    return contender instanceof PytorchContender || contender instanceof CContender;
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
    String axis = golden.string("meta").replaceFirst(".*\"feature_axis\": ([0-9]+).*", "$1");
    return new Workload(
        VbnConfig.of(gamma.size())
            .withEpsilon(Double.parseDouble(epsilon))
            .withFeatureAxis(Integer.parseInt(axis)),
        golden.tensor("x"),
        golden.tensor("reference"),
        gamma,
        golden.tensor("beta"),
        golden.tensor("dy"),
        null,
        null);
  }

  /** Those of the runs of C are short and long, joined rows, and a rest. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "70,5,3",
        "33,4,257",
        "40,2,5000",
        "3,1500",
        "5,300,7",
        "6,5,4,3@3",
        "4,3,2,70@2",
        "9,5,40:float64"
      })
  void everyContenderComputesEveryKindOfShape(String text) {
    Set<String> checked = new TreeSet<>();
    Shape shape = Shape.parse(text);
    List<Comparison> comparisons = new ArrayList<>();
    for (Pass pass : Pass.values()) {
      comparisons.add(Comparison.of(Series.SHAPES, shape, pass));
    }
    comparisons.add(
        new Comparison(Series.VARIANTS, shape, Variant.PER_EXAMPLE, Masking.NONE, Pass.STEP));
    if (shape.lengths().size() > 2) {
      for (Masking masking : List.of(Masking.LENGTHS, Masking.POSITIONS)) {
        comparisons.add(
            new Comparison(Series.MASKS, shape, Variant.LIVE_BATCH, masking, Pass.STEP));
      }
    }
    for (Comparison comparison : comparisons) {
      Workload workload = Workload.of(comparison);
      for (Contender contender : Contenders.of(BACKENDS, 1)) {
        if (contender.kind() != Contender.Kind.COPY && contender.probe().available()) {
          contender.prepare(workload, comparison.pass()).ifPresent(prepared -> {
            try (prepared) {
              new Oracle(workload, contender.task(), comparison.pass())
                  .check(comparison.pass(), prepared.results());
              checked.add(contender.name());
            } catch (IllegalStateException e) {
              throw new IllegalStateException(contender.name() + " at " + comparison.label(), e);
            }
          });
        }
      }
    }
    assertTrue(checked.containsAll(Set.of("reference", "djl", "nd4j")), checked.toString());
  }

  @Test
  void theCopyIsWhole() {
    Shape large = Shape.of(4, 256, 1024);
    Workload workload = Workload.of(Comparison.of(Series.SHAPES, large, Pass.FORWARD));
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
    Workload workload = Workload.of(Comparison.of(Series.SHAPES, Shape.of(2, 3, 4), Pass.FORWARD));
    Prepared given = CopyContender.of(1).prepare(workload, Pass.FORWARD).orElseThrow();
    assertSame(given.run(), given.run());
    Prepared fresh =
        CopyContender.intoNewArray().prepare(workload, Pass.FORWARD).orElseThrow();
    assertNotSame(fresh.run(), fresh.run());
  }
}
