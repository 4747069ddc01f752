package dev.vbn.conformance.offender;

import static java.util.stream.Collectors.toSet;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.Rule;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.EnumSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
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
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.RegisterExtension;

/**
 * Backends with one fault under one condition fail the kit.
 *
 * <p>{@code -Dvbn.offenders=all} takes the whole product and writes {@code target/faults.md}, names
 * of faults take theirs; a number takes a sample, which {@code -Dvbn.offenders.seed} draws. A pair whose fault never comes to
 * bear, as gamma squared where there is none, is no offender.
 */
class FaultsTest {
  private static final String SAMPLE = System.getProperty("vbn.offenders", "24");
  private static final boolean SAMPLED = SAMPLE.matches("\\d+");
  private static final long SEED = Long.getLong("vbn.offenders.seed", 1);

  /** The run of this thread, which JUnit makes the kit in. */
  private static final InheritableThreadLocal<Attempt> CURRENT = new InheritableThreadLocal<>();

  private record Pair(Fault fault, Condition condition) {}

  private record Attempt(Pair pair, FaultyBackend.Trace trace) {
    /** Batches of 16 bits, which take half of the time, only where they are looked at. */
    Set<Capability> capabilities() {
      return switch (pair.condition) {
        case FLOAT16, BFLOAT16 -> EnumSet.allOf(Capability.class);
        default -> PlainBackend.CAPABILITIES;
      };
    }
  }

  /** What the kit said of a pair. */
  private record Verdict(Pair pair, boolean altered, KitRun run) {
    boolean survives() {
      return altered && run.green();
    }
  }

  /** Pairs that the kit does not see. */
  private static boolean isKnown(Pair survivor) {
    return switch (survivor.fault) {
      // Without a trace: dy*xh is NaN as well, and with it all gradients of the group.
      case NAN_SKIPPED ->
        survivor.condition == Condition.IN_BACKWARD
            || survivor.condition == Condition.IN_DOUBLE_BACKWARD
            || survivor.condition == Condition.IN_BACKWARD_OF_REFERENCE_PASS;
      default -> false;
    };
  }

  /** The kit on the current pair. */
  static final class Kit extends VbnConformance {
    private final Attempt attempt = CURRENT.get();

    @RegisterExtension
    final BeforeEachCallback afterAFailure = check -> attempt.trace.requireRunning();

    @Override
    protected VbnProvider<?> provider() {
      Pair pair = attempt.pair;
      return new PlainProvider(() ->
          new FaultyBackend(pair.fault, pair.condition, attempt.trace, attempt.capabilities()));
    }

    @Override
    protected Set<Capability> capabilities() {
      return attempt.capabilities();
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

  private static Verdict judge(Pair pair) {
    FaultyBackend.Trace trace = FaultyBackend.Trace.ofFault();
    CURRENT.set(new Attempt(pair, trace));
    KitRun run = KitRun.of(Kit.class, trace::stop);
    Verdict verdict = new Verdict(pair, trace.altered.get(), run);
    if (!SAMPLED) {
      System.out.println(
          pair + (verdict.survives() ? " SURVIVES" : verdict.altered ? " " + run.first : " -"));
    }
    return verdict;
  }

  /** Conditions under which a fault comes to bear, from a run of the kit in which it does nothing. */
  private static FaultyBackend.Trace rehearse(Fault fault) {
    FaultyBackend.Trace trace = FaultyBackend.Trace.ofRehearsal();
    CURRENT.set(new Attempt(new Pair(fault, Condition.ALWAYS), trace));
    KitRun run = KitRun.of(Kit.class, Map.of());
    assertTrue(run.green(), () -> "rehearsing " + fault + " fails " + run.failures);
    if (trace.bearing.contains(Condition.FLOAT32)) {
      trace.bearing.addAll(Set.of(Condition.FLOAT16, Condition.BFLOAT16));
    }
    return trace;
  }

  private static List<Fault> faults() {
    return SAMPLE.equals("all")
        ? List.of(Fault.values())
        : Stream.of(SAMPLE.split(",")).map(Fault::valueOf).toList();
  }

  private static List<Pair> bearing(Fault fault) {
    Set<Condition> conditions = new TreeSet<>(rehearse(fault).bearing);
    return conditions.stream().map(condition -> new Pair(fault, condition)).toList();
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

  private static List<Pair> pairs() throws InterruptedException {
    List<Pair> pairs = new ArrayList<>();
    if (!SAMPLED) {
      inParallel(faults(), FaultsTest::bearing).forEach(pairs::addAll);
      return pairs;
    }
    for (Fault fault : Fault.values()) {
      for (Condition condition : Condition.values()) {
        pairs.add(new Pair(fault, condition));
      }
    }
    Collections.shuffle(pairs, new Random(SEED));
    return pairs.subList(0, Math.min(Integer.parseInt(SAMPLE), pairs.size()));
  }

  @Test
  void aFaultUnderAConditionIsCaught(TestReporter reporter)
      throws InterruptedException, IOException {
    List<Verdict> verdicts = inParallel(pairs(), FaultsTest::judge);

    Set<Pair> survivors = verdicts.stream()
        .filter(Verdict::survives)
        .map(Verdict::pair)
        .filter(pair -> !isKnown(pair))
        .collect(toSet());
    long offenders = verdicts.stream().filter(Verdict::altered).count();
    reporter.publishEntry(
        "offenders", offenders + " of " + verdicts.size() + " pairs, seed " + SEED);
    if (!SAMPLED) {
      write(Path.of("target", "faults.md"), verdicts);
    }
    assertEquals(Set.of(), survivors);
    assertTrue(offenders > 0, "no pair of the sample changes anything");
  }

  private static void write(Path file, List<Verdict> verdicts) throws IOException {
    StringBuilder page = new StringBuilder();
    append(page, "Fault", verdicts, verdict -> verdict.pair.fault);
    append(page, "Condition", verdicts, verdict -> verdict.pair.condition);
    page.append("\n| Survivor | Condition |\n|---|---|\n");
    verdicts.stream()
        .filter(Verdict::survives)
        .forEach(
            each -> page.append("| " + each.pair.fault + " | " + each.pair.condition + " |\n"));
    Files.writeString(file, page);
  }

  private static void append(
      StringBuilder page, String what, List<Verdict> verdicts, Function<Verdict, Enum<?>> key) {
    page.append("\n| " + what + " | offenders | caught | first by rule |\n|---|---:|---:|---|\n");
    Map<Enum<?>, List<Verdict>> groups = new LinkedHashMap<>();
    verdicts.forEach(each ->
        groups.computeIfAbsent(key.apply(each), first -> new ArrayList<>()).add(each));
    groups.forEach((group, own) -> {
      List<Verdict> offenders = own.stream().filter(Verdict::altered).toList();
      Set<Integer> rules = new TreeSet<>();
      for (Verdict each : offenders) {
        Rule first = each.run.first;
        if (first != null) {
          rules.add(first.number());
        }
      }
      long caught = offenders.stream().filter(each -> !each.survives()).count();
      page.append("| " + group + " | " + offenders.size() + " | " + caught + " | "
          + rules.toString().replaceAll("[\\[\\]]", "") + " |\n");
    });
  }

  /** A condition that the kit never meets is a column without a case. */
  @Test
  void everyConditionIsMet() {
    Set<Condition> met = new TreeSet<>(rehearse(Fault.THROWS).met);
    met.addAll(Set.of(Condition.FLOAT16, Condition.BFLOAT16)); // where the kit is given them

    assertEquals(EnumSet.allOf(Condition.class), met);
  }
}
