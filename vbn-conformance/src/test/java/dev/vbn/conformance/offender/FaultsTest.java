package dev.vbn.conformance.offender;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;

/**
 * Backends with one fault under one condition fail the kit.
 *
 * <p>The whole product is a thousand runs of the kit: {@code -Dvbn.offenders=1000} takes all of it, a
 * smaller number a sample, which {@code -Dvbn.offenders.seed} draws. A pair whose fault never comes
 * to bear, as gamma squared where there is none, is no offender.
 */
class FaultsTest {
  private static final int SAMPLE = Integer.getInteger("vbn.offenders", 12);
  private static final long SEED = Long.getLong("vbn.offenders.seed", 1);

  /** The pair that {@link Kit} is about: JUnit makes that by itself. */
  private static volatile Pair current = new Pair(Fault.GAMMA_SQUARED, Condition.ALWAYS);

  private static volatile FaultyBackend.Trace trace = new FaultyBackend.Trace();

  private record Pair(Fault fault, Condition condition) {}

  /** The first call of a kernel that is compared has the default epsilon. */
  private static final Set<Pair> SURVIVORS =
      Set.of(new Pair(Fault.EPSILON_THE_DEFAULT, Condition.FIRST_CALL));

  /** The kit on the current pair. */
  static final class Kit extends VbnConformance {
    @Override
    protected VbnProvider<?> provider() {
      Pair pair = current;
      FaultyBackend.Trace seen = trace;
      return new PlainProvider(() -> new FaultyBackend(pair.fault(), pair.condition(), seen));
    }

    @Override
    protected Set<Capability> capabilities() {
      return PlainBackend.CAPABILITIES;
    }

    @Override
    protected List<?> views(VbnBackend<?> backend, HostTensor host) {
      return List.of(Strided.view(host));
    }

    @Override
    protected List<?> overlapping(VbnBackend<?> backend, HostTensor host) {
      return Strided.overlapping(host);
    }
  }

  private static KitRun run(Pair pair) {
    current = pair;
    trace = new FaultyBackend.Trace();
    return KitRun.of(Kit.class, Map.of());
  }

  @Test
  void aFaultUnderAConditionIsCaught(TestReporter reporter) {
    List<Pair> pairs = new ArrayList<>();
    for (Fault fault : Fault.values()) {
      for (Condition condition : Condition.values()) {
        pairs.add(new Pair(fault, condition));
      }
    }
    Collections.shuffle(pairs, new Random(SEED));
    List<Pair> sample = pairs.subList(0, Math.min(SAMPLE, pairs.size()));
    List<String> survivors = new ArrayList<>();
    int offenders = 0;
    for (Pair pair : sample) {
      KitRun run = run(pair);
      if (trace.altered.get()) {
        offenders++;
        if (run.green() && !SURVIVORS.contains(pair)) {
          survivors.add(pair.toString());
        }
      } else {
        assertTrue(run.green(), () -> pair + " changes nothing, and fails " + run.failures);
      }
    }
    reporter.publishEntry(
        "offenders",
        offenders + " of " + sample.size() + " pairs, seed " + SEED + ", survivors " + survivors);
    assertEquals(List.of(), survivors);
    assertTrue(offenders > 0, "no pair of the sample changes anything");
  }

  /** A condition that the kit never meets is a column without a case. */
  @Test
  void everyConditionIsMet() {
    run(new Pair(Fault.GAMMA_SQUARED, Condition.ALWAYS));

    assertEquals(Set.of(Condition.values()), trace.met);
  }
}
