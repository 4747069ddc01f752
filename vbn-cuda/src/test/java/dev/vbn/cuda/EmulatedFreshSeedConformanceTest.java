package dev.vbn.cuda;

import java.util.Random;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

/**
 * In another order each time. What the test prints repeats it, but for the few rules that call from
 * several threads, whose launches come as they do.
 */
@EnabledForJreRange(min = JRE.JAVA_22)
class EmulatedFreshSeedConformanceTest extends EmulatedConformance {
  private static final String SEED_PROPERTY = "vbn.test.emulator.seed";
  private static final long SEED = Long.getLong(SEED_PROPERTY, new Random().nextInt(1_000_000));

  EmulatedFreshSeedConformanceTest() {
    super(SEED, true);
  }

  @BeforeAll
  final void tellTheSeed() {
    System.out.println("Threads of the emulated device run in the order of seed " + SEED
        + "; repeat it with -D" + SEED_PROPERTY + "=" + SEED + " -Dtest="
        + getClass().getSimpleName());
  }
}
