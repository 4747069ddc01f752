package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.util.Arrays;
import java.util.function.Supplier;
import org.junit.jupiter.api.Test;

/** The seed that a run states draws the same cases again. */
class SamplesTest {
  @Test
  void theSeedOfARunReplaysIt() {
    double[] drawn = drawn("7");
    assertArrayEquals(drawn, drawn("7"));
    assertFalse(Arrays.equals(drawn, drawn("8")), "another seed draws the same");
  }

  private static double[] drawn(String seed) {
    return withSeed(seed, () -> new Samples(5).normal(0, 1, 8).toDoubles());
  }

  @Test
  void aSeedThatIsNoNumberIsRefused() {
    IllegalArgumentException e =
        assertThrows(IllegalArgumentException.class, () -> withSeed("now", Samples::seed));
    assertEquals("vbn.conformance.seed is 'now'; expected a whole number", e.getMessage());
  }

  private static <R> R withSeed(String seed, Supplier<R> call) {
    String before = System.getProperty(Samples.SEED_PROPERTY);
    System.setProperty(Samples.SEED_PROPERTY, seed);
    try {
      return call.get();
    } finally {
      if (before == null) {
        System.clearProperty(Samples.SEED_PROPERTY);
      } else {
        System.setProperty(Samples.SEED_PROPERTY, before);
      }
    }
  }
}
