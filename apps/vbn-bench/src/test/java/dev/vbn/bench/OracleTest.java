package dev.vbn.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
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
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** The oracle gives the golden values of the kit, to ten digits, and refuses anything else. */
class OracleTest {
  private static final Contender.Task TASK = Contender.Task.VIRTUAL_BATCH_NORM;

  @TempDir
  Path directory;

  @ParameterizedTest
  @EnumSource
  void goldenValuesAreRight(Variant variant) throws IOException {
    for (String shape : List.of("nc", "ncl", "nchw", "nhwc", "single", "long", "offset")) {
      Npz golden = golden(variant.label() + "-" + shape);
      Workload workload = workload(golden, variant);
      for (Pass pass : Pass.values()) {
        List<HostTensor> results = new ArrayList<>();
        for (String name : pass.results()) {
          results.add(golden.tensor(name));
        }
        new Oracle(workload, TASK, pass).check(pass, results);
      }
    }
  }

  @Test
  void whatIsALittleOffIsWrong() throws IOException {
    Npz golden = golden("live-batch-ncl");
    Workload workload = workload(golden, Variant.LIVE_BATCH);
    Oracle oracle = new Oracle(workload, TASK, Pass.STEP);
    for (int i = 0; i < Pass.STEP.results().size(); i++) {
      for (double wrong : new double[] {1e-3, Double.NaN, Double.POSITIVE_INFINITY}) {
        List<HostTensor> results = new ArrayList<>();
        for (String name : Pass.STEP.results()) {
          results.add(
              HostTensor.of(golden.tensor(name).toDoubles(), golden.tensor(name).shape()));
        }
        double right = results.get(i).get(1);
        results.get(i).doubles()[1] += wrong;
        String message = assertThrows(
                IllegalStateException.class, () -> oracle.check(Pass.STEP, results))
            .getMessage();
        String name = Pass.STEP.results().get(i);
        assertTrue(
            message.startsWith("is wrong: " + name + "[1] is " + (right + wrong) + "; expected "),
            message);
      }
    }
    List<HostTensor> none = List.of();
    assertEquals(
        "gives 0 results; expected y",
        assertThrows(IllegalStateException.class, () -> oracle.check(Pass.FORWARD, none))
            .getMessage());
  }

  /** What does not count is 0, and is in no sum. */
  @Test
  void aMaskLeavesOut() {
    Workload workload = Workload.of(new Comparison(
        Comparison.Series.MASKS,
        Shape.of(3, 1, 4),
        Variant.LIVE_BATCH,
        Masking.LENGTHS,
        Pass.FORWARD)); // lengths 4, 3 and 2
    boolean[] counts = workload.counts();
    assertNotNull(counts);
    double sum = 0;
    double squares = 0;
    for (int i : new int[] {0, 1, 2, 3, 4, 5, 6, 8, 9}) {
      assertTrue(counts[i], "position " + i);
      sum += workload.x().get(i);
      squares += workload.x().get(i) * workload.x().get(i);
    }
    double mean = sum / 9;
    double variance = squares / 9 - mean * mean;
    HostTensor reference = workload.reference();
    double referenceMean = 0;
    double referenceSquare = 0;
    for (int i = 0; i < 8; i++) {
      referenceMean += reference.get(i) / 8;
      referenceSquare += reference.get(i) * reference.get(i) / 8;
    }
    double mixed = mean / 4 + 3 * referenceMean / 4;
    double square = (variance + mean * mean) / 4 + 3 * referenceSquare / 4;
    double deviation = Math.sqrt(square - mixed * mixed + 1e-5);
    double[] y = new double[12];
    for (int i = 0; i < y.length; i++) {
      double normalized = (workload.x().get(i) - mixed) / deviation;
      y[i] = counts[i] ? workload.gamma().get(0) * normalized + workload.beta().get(0) : 0;
    }
    new Oracle(workload, TASK, Pass.FORWARD)
        .check(Pass.FORWARD, List.of(HostTensor.of(y, 3, 1, 4)));
  }

  private Npz golden(String name) throws IOException {
    Path file = directory.resolve(name + ".npz");
    try (InputStream in = VbnConformance.class.getResourceAsStream("golden/" + name + ".npz")) {
      assertNotNull(in, name);
      Files.write(file, in.readAllBytes());
    }
    return Npz.read(file);
  }

  private static Workload workload(Npz golden, Variant variant) throws IOException {
    String meta = golden.string("meta");
    HostTensor gamma = golden.tensor("gamma");
    return new Workload(
        VbnConfig.of(gamma.size())
            .withEpsilon(Double.parseDouble(value(meta, "epsilon")))
            .withFeatureAxis(Integer.parseInt(value(meta, "feature_axis")))
            .withVariant(variant),
        golden.tensor("x"),
        golden.tensor("reference"),
        gamma,
        golden.tensor("beta"),
        golden.tensor("dy"),
        null,
        null);
  }

  private static String value(String meta, String key) {
    return meta.replaceFirst(".*\"" + key + "\": ([-.e0-9]+).*", "$1");
  }
}
