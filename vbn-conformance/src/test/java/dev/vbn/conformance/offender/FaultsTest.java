package dev.vbn.conformance.offender;

import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.conformance.offender.Trial.Outcome;
import dev.vbn.conformance.offender.Trial.Verdict;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.function.Function;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestReporter;

/**
 * Backends with one fault under one condition fail the kit.
 *
 * <p>{@code -Dvbn.offenders=all} takes the whole product, names of faults take theirs; both add to
 * {@code target/faults.txt} fault by fault, leave out what it has, and write {@code target/faults.md}.
 * A number takes a sample, which {@code -Dvbn.offenders.seed} draws. A pair whose fault never comes
 * to bear, as gamma squared where there is none, is no offender.
 */
class FaultsTest {
  private static final String SAMPLE = System.getProperty("vbn.offenders", "12");
  private static final long SEED = Long.getLong("vbn.offenders.seed", 1);

  /** Pairs that the kit does not see. */
  private static boolean isKnown(Verdict survivor) {
    return switch (survivor.fault()) {
      // Without a trace: dy*xh is NaN as well, and with it all gradients of the group.
      case NAN_SKIPPED ->
        survivor.condition() == Condition.IN_BACKWARD
            || survivor.condition() == Condition.IN_DOUBLE_BACKWARD
            || survivor.condition() == Condition.IN_BACKWARD_OF_REFERENCE_PASS;
      // Where a group has infinity, neither its statistics nor its gradients are finite anyway.
      case INFINITY_CLIPPED -> survivor.condition() == Condition.IN_REFERENCE_GRADIENT;
      // Beyond 64 bits the kit asks for a variance that is infinite, and for nothing that follows.
      case OVERFLOW_CLIPPED ->
        switch (survivor.condition()) {
          case IN_REFERENCE_PASS,
              IN_FORWARD,
              IN_BACKWARD,
              IN_DOUBLE_BACKWARD,
              GAMMA_ABSENT,
              BETA_ABSENT -> true;
          default -> false;
        };
      // Nobody is given the gradients of statistics that are detached, or of the reference pass.
      case DMR_LEFT_OUT, DMR_WITHOUT_DISTANCE_OF_MEANS, DVR_DOUBLED, DVR_WITHOUT_WEIGHT ->
        survivor.condition() == Condition.DETACHED
            || survivor.condition() == Condition.IN_BACKWARD_OF_REFERENCE_PASS;
      // 32 bits seldom show the order of a sum of 64.
      case SUMS_IN_ANOTHER_ORDER_EACH_TIME -> survivor.condition() == Condition.FLOAT32;
      default -> false;
    };
  }

  @Test
  void aFaultUnderAConditionIsCaught(TestReporter reporter)
      throws InterruptedException, IOException {
    List<Verdict> verdicts = SAMPLE.matches("\\d+") ? sample() : product();

    Set<String> survivors = verdicts.stream()
        .filter(each -> each.outcome() == Outcome.SURVIVES)
        .filter(each -> !isKnown(each))
        .map(Verdict::toLine)
        .collect(toSet());
    long offenders = verdicts.stream().filter(Verdict::isOffender).count();
    reporter.publishEntry(
        "offenders", offenders + " of " + verdicts.size() + " pairs, seed " + SEED);
    assertEquals(Set.of(), survivors);
    assertTrue(offenders > 0, "no pair of the sample changes anything");
  }

  private static List<Verdict> sample() throws InterruptedException {
    List<Offender> pairs = new ArrayList<>();
    for (Fault fault : Fault.values()) {
      for (Condition condition : Condition.values()) {
        pairs.add(new Offender(fault, condition));
      }
    }
    Collections.shuffle(pairs, new Random(SEED));
    return inParallel(
        pairs.subList(0, Math.min(Integer.parseInt(SAMPLE), pairs.size())), Trial::ofWholeKit);
  }

  private static List<Verdict> product() throws InterruptedException, IOException {
    List<Fault> faults = SAMPLE.equals("all")
        ? List.of(Fault.values())
        : Stream.of(SAMPLE.split(",")).map(Fault::valueOf).toList();
    Matrix matrix = new Matrix(Path.of("target", "faults.txt"));
    inParallel(faults, fault -> matrix.has(fault) ? null : matrix.add(fault, Trial.of(fault)));
    matrix.write(Path.of("target", "faults.md"));
    return matrix.verdicts();
  }

  private static <T, R> List<R> inParallel(List<T> inputs, Function<T, R> task)
      throws InterruptedException {
    ExecutorService threads =
        Executors.newFixedThreadPool(Runtime.getRuntime().availableProcessors());
    try {
      List<R> results = new ArrayList<>();
      List<Future<R>> futures = new ArrayList<>();
      for (T input : inputs) {
        futures.add(threads.submit(() -> task.apply(input)));
      }
      for (Future<R> each : futures) {
        results.add(each.get());
      }
      return results;
    } catch (ExecutionException e) {
      throw new AssertionError(e);
    } finally {
      threads.shutdownNow();
    }
  }

  /** A condition that the kit never meets is a column without a case. */
  @Test
  void everyConditionIsMet() {
    Set<Condition> met = new TreeSet<>(Offender.rehearse(Fault.THROWS).trace().met);
    met.addAll(Set.of(Condition.FLOAT16, Condition.BFLOAT16)); // where the kit is given them

    assertEquals(EnumSet.allOf(Condition.class), met);
  }
}
