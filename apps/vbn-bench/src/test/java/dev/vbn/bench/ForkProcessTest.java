package dev.vbn.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import dev.vbn.bench.Comparison.Series;
import dev.vbn.cli.Progress;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

class ForkProcessTest {

  /** A whole measurement in JVMs of its own, with a backend that ends them. */
  @Test
  void aBackendThatEndsTheJvmIsNamedAndTheOthersAreMeasured() throws IOException {
    Comparison comparison =
        new Comparison(Series.SHAPES, Shape.of(2, 3), Variant.LIVE_BATCH, Pass.FORWARD);
    try (Progress progress = new Progress(new PrintWriter(new StringWriter()))) {
      ForkProcess forks = new ForkProcess(List.of(HaltingProvider.NAME, "reference"), progress);
      forks.run(1, List.of(comparison), 1);

      Set<String> measured =
          forks.measurements().stream().map(Measurement::contender).collect(Collectors.toSet());
      assertEquals(
          Set.of(
              "copy",
              "copy, new array",
              "reference",
              "reference, output given",
              "libtorch, batch norm",
              "libtorch, op by op",
              "nd4j, op by op"),
          measured);
      for (Measurement measurement : forks.measurements()) {
        assertEquals(comparison, measurement.comparison());
        assertTrue(measurement.nanoseconds().length >= 3, measurement.contender());
      }
      assertEquals(
          List.of(
              "halting at 2,3 live-batch forward, 1 thread: its JVM ended with exit code 66",
              "halting, output given at 2,3 live-batch forward, 1 thread: its JVM ended with exit"
                  + " code 66"),
          forks.notMeasured());
    }
  }
}
