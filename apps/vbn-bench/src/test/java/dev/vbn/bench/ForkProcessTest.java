package dev.vbn.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

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

  /** A whole measurement in JVMs of its own, with a backend that ends them and one that is wrong. */
  @Test
  void whatFailsIsNamedAndTheOthersAreMeasured() throws IOException {
    Comparison comparison = Comparison.of(Series.SHAPES, Shape.of(2, 3), Pass.FORWARD);
    try (Progress progress = new Progress(new PrintWriter(new StringWriter()))) {
      ForkProcess forks =
          new ForkProcess(List.of(HaltingProvider.NAME, WrongProvider.NAME, "reference"), progress);
      forks.run(1, List.of(comparison), 1);

      Set<String> measured = forks.measurements().stream()
          .map(Measurement::contender)
          .filter(
              name -> !name.startsWith("C, ") && !name.startsWith("PyTorch, ")) // where they are
          .collect(Collectors.toSet());
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
        assertTrue(measurement.nanoseconds().length >= 5, measurement.contender());
      }
      List<String> failures = forks.notMeasured();
      assertEquals(4, failures.size(), failures.toString());
      String at = " at 2,3 live-batch forward, 1 thread: ";
      assertEquals("halting" + at + "its JVM ended with exit code 66", failures.get(0));
      assertEquals(
          "halting, output given" + at + "its JVM ended with exit code 66", failures.get(1));
      assertTrue(failures.get(2).startsWith("wrong" + at), failures.get(2));
      assertTrue(failures.get(2).contains("is wrong: y[0] is "), failures.get(2));
      assertTrue(failures.get(3).startsWith("wrong, output given" + at), failures.get(3));
      assertTrue(forks.contenders().stream()
          .filter(entry -> entry.name().startsWith("C, "))
          .allMatch(entry -> entry.available() == CLibrary.availability().available()));
    }
  }
}
