package dev.vbn.bench;

import dev.vbn.bench.Event.Sampled;
import dev.vbn.cli.ErrorLine;
import dev.vbn.spi.Availability;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.lang.management.CompilationMXBean;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicBoolean;
import org.openjdk.jmh.runner.RunnerException;

/**
 * The JVM in which all contenders are measured side by side with one number of threads. Takes a
 * {@link Plan} from standard input and writes {@link Event}s to standard output.
 */
public final class Fork {
  private static final int LEAST_ROUNDS = 5;
  private static final int MOST_ROUNDS = 15;

  // Milliseconds. Short samples in many rounds: a disturbance spoils one ratio, not all.
  private static final long LEAST_SAMPLE = 10;
  private static final long LARGEST_SAMPLE = 30;

  // Windows of warming up. Half a second was not enough: where the compiler had other contenders'
  // code to compile first, times came out up to nine times too large.
  private static final long WINDOW = 50;
  private static final int LEAST_WINDOWS = 3;
  private static final long LARGEST_WARM_UP = 4000;

  /** Milliseconds of compiling in a window: JMH's own code, of which some is always new. */
  private static final long IDLE = 6;

  /** By how much two windows may differ. */
  private static final double AGREEMENT = 0.1;

  private static final CompilationMXBean COMPILER = ManagementFactory.getCompilationMXBean();

  private final Plan plan;
  private final ObjectOutputStream events;
  private final long deadline;
  private final List<Contender> contenders = new ArrayList<>();

  private Fork(Plan plan, ObjectOutputStream events) {
    this.plan = plan;
    this.events = events;
    deadline = System.nanoTime() + plan.milliseconds() * 1_000_000;
  }

  /** Runs a plan and exits. */
  public static void main(String[] args) throws IOException, ClassNotFoundException {
    System.setProperty("jmh.ignoreLock", "true"); // it guards against a second one on the machine
    ObjectOutputStream events = new ObjectOutputStream(System.out);
    events.flush();
    System.setOut(System.err); // whatever a library may have to say
    ObjectInputStream input = new ObjectInputStream(System.in);
    new Fork((Plan) input.readObject(), events).run();
    System.exit(0); // threads of a library may go on
  }

  private void tell(Event event) throws IOException {
    events.writeObject(event);
    events.flush();
  }

  private void run() throws IOException {
    for (Contender contender : Contenders.of(plan.backends(), plan.threads())) {
      if (!plan.excluded().contains(contender.name())) {
        tell(new Event.Turn(plan.first(), contender.name()));
        Availability availability = contender.probe();
        tell(new Event.Present(
            contender.name(),
            contender.kind(),
            availability.available(),
            ErrorLine.of(availability.description())));
        if (availability.available()) {
          contenders.add(contender);
        }
      }
    }
    for (int i = plan.first(); i < plan.comparisons().size(); i++) {
      compare(i);
    }
    tell(new Event.End());
  }

  private void compare(int number) throws IOException {
    Comparison comparison = plan.comparisons().get(number);
    List<Entrant> entrants = new ArrayList<>();
    try {
      Workload workload = Workload.of(comparison);
      Map<Contender.Task, Oracle> oracles = new EnumMap<>(Contender.Task.class);
      for (Contender contender : List.copyOf(contenders)) {
        if (!contender.takesPart(comparison)) {
          continue;
        }
        tell(new Event.Turn(number, contender.name()));
        guarded(number, contender, entrants, () -> {
          Optional<Prepared> prepared = contender.prepare(workload, comparison.pass());
          if (prepared.isPresent()) {
            entrants.add(new Entrant(contender, prepared.get()));
            if (contender.task() != Contender.Task.COPY) {
              oracles
                  .computeIfAbsent(
                      contender.task(), task -> new Oracle(workload, task, comparison.pass()))
                  .check(comparison.pass(), prepared.get().results());
            }
          }
        });
      }
      race(number, entrants);
    } finally {
      entrants.forEach(entrant -> entrant.prepared.close());
    }
    tell(new Event.Done(
        number,
        entrants.stream()
            .map(entrant ->
                new Sampled(entrant.contender.name(), entrant.times(), entrant.steady.get()))
            .toList()));
  }

  /**
   * Takes the samples: in every round each contender once, so that all meet the same conditions.
   */
  private void race(int number, List<Entrant> entrants) throws IOException {
    long start = System.nanoTime();
    int left = plan.comparisons().size() - number;
    long budget = Math.max(0, deadline - start) / left;
    long share = budget / 1_000_000 / Math.max(1, entrants.size()) / (LEAST_ROUNDS + 3);
    long sample = Math.max(LEAST_SAMPLE, Math.min(LARGEST_SAMPLE, share - LEAST_SAMPLE));
    long warmUp = Math.min(LARGEST_WARM_UP, Math.max(LEAST_WINDOWS * WINDOW, 3 * share));
    for (Entrant entrant : List.copyOf(entrants)) {
      tell(new Event.Turn(number, entrant.contender.name()));
      guarded(
          number,
          entrant.contender,
          entrants,
          () -> entrant.steady.set(isSteady(entrant.prepared, warmUp)));
    }
    long warm = System.nanoTime();
    for (int round = 0; round < MOST_ROUNDS; round++) {
      long now = System.nanoTime();
      long nextRound = round == 0 ? 0 : (now - warm) / round;
      if (round >= LEAST_ROUNDS && now - start + nextRound > budget) {
        break;
      }
      for (Entrant entrant : List.copyOf(entrants)) {
        tell(new Event.Turn(number, entrant.contender.name()));
        guarded(
            number,
            entrant.contender,
            entrants,
            () -> entrant.samples.add(entrant.prepared.nanoseconds(sample)));
      }
    }
  }

  /**
   * Lets a contender run until it is warm: until next to nothing has been compiled for three windows, and
   * the last two agree.
   *
   * @return false if the time was over first
   */
  private static boolean isSteady(Prepared contender, long milliseconds) throws RunnerException {
    long end = System.nanoTime() + milliseconds * 1_000_000;
    long compiled = COMPILER.getTotalCompilationTime();
    double before = Double.POSITIVE_INFINITY;
    int idle = 0;
    do {
      double now = contender.nanoseconds(WINDOW);
      long compiledNow = COMPILER.getTotalCompilationTime();
      idle = compiledNow - compiled <= IDLE ? idle + 1 : 0;
      if (idle >= LEAST_WINDOWS && Math.abs(now - before) <= AGREEMENT * now) {
        return true;
      }
      compiled = compiledNow;
      before = now;
    } while (System.nanoTime() < end);
    return false;
  }

  /** A step of a contender; if it fails, that contender alone drops out. */
  private interface Step {
    void run() throws RunnerException;
  }

  private void guarded(int number, Contender contender, List<Entrant> entrants, Step step)
      throws IOException {
    try {
      step.run();
    } catch (RunnerException e) {
      drop(number, contender, entrants, thrownInside(e));
    } catch (RuntimeException | LinkageError | OutOfMemoryError e) {
      drop(number, contender, entrants, e);
    }
  }

  private void drop(int number, Contender contender, List<Entrant> entrants, Throwable failure)
      throws IOException {
    contenders.remove(contender);
    for (Entrant entrant : List.copyOf(entrants)) {
      if (entrant.contender.equals(contender)) {
        entrants.remove(entrant);
        entrant.prepared.close();
      }
    }
    tell(new Event.Failed(number, contender.name(), ErrorLine.describe(failure)));
  }

  /** JMH wraps what a call threw, and attaches it as suppressed. */
  private static Throwable thrownInside(RunnerException failure) {
    Throwable inside = failure;
    while (inside.getCause() != null) {
      inside = inside.getCause();
    }
    Throwable[] thrown = inside.getSuppressed();
    return thrown.length == 0 ? inside : thrown[0];
  }

  private record Entrant(
      Contender contender, Prepared prepared, List<Double> samples, AtomicBoolean steady) {
    Entrant(Contender contender, Prepared prepared) {
      this(contender, prepared, new ArrayList<>(), new AtomicBoolean());
    }

    double[] times() {
      double[] times = new double[samples.size()];
      Arrays.setAll(times, samples::get);
      return times;
    }
  }
}
