package dev.vbn.bench;

import dev.vbn.bench.Event.Sampled;
import dev.vbn.cli.ErrorLine;
import dev.vbn.spi.Availability;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.openjdk.jmh.runner.RunnerException;

/**
 * The JVM in which all contenders are measured side by side with one number of threads. Takes a
 * {@link Plan} from standard input and writes {@link Event}s to standard output.
 */
public final class Fork {
  private static final int LEAST_ROUNDS = 3;
  private static final int MOST_ROUNDS = 15;

  // Milliseconds. Short samples in many rounds: a disturbance spoils one ratio, not all.
  private static final long LEAST_SAMPLE = 10;
  private static final long LARGEST_SAMPLE = 30;
  private static final long LARGEST_WARM_UP = 500;

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
      for (Contender contender : List.copyOf(contenders)) {
        tell(new Event.Turn(number, contender.name()));
        guarded(number, contender, entrants, () -> {
          Optional<Prepared> prepared = contender.prepare(workload, comparison.pass());
          prepared.ifPresent(ready -> entrants.add(new Entrant(contender, ready)));
        });
      }
      race(number, entrants);
    } finally {
      entrants.forEach(entrant -> entrant.prepared.close());
    }
    tell(new Event.Done(
        number,
        entrants.stream()
            .map(entrant -> new Sampled(entrant.contender.name(), entrant.times()))
            .toList()));
  }

  /** Takes the samples: in every round each contender once, so that all meet the same weather. */
  private void race(int number, List<Entrant> entrants) throws IOException {
    long start = System.nanoTime();
    int left = plan.comparisons().size() - number;
    long budget = Math.max(0, deadline - start) / left;
    long share = budget / 1_000_000 / Math.max(1, entrants.size()) / (LEAST_ROUNDS + 3);
    long sample = Math.max(LEAST_SAMPLE, Math.min(LARGEST_SAMPLE, share - LEAST_SAMPLE));
    long warmUp = Math.max(3 * sample, Math.min(LARGEST_WARM_UP, share));
    for (Entrant entrant : List.copyOf(entrants)) {
      tell(new Event.Turn(number, entrant.contender.name()));
      // Time to be compiled in; one call where that is longer.
      guarded(
          number,
          entrant.contender,
          entrants,
          () -> CallBenchmark.nanoseconds(entrant.prepared, warmUp));
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
            () -> entrant.samples.add(CallBenchmark.nanoseconds(entrant.prepared, sample)));
      }
    }
  }

  /** A step of a contender that is to end its own part alone if it fails. */
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

  /** JMH wraps what a call threw, and hangs it up as suppressed. */
  private static Throwable thrownInside(RunnerException failure) {
    Throwable inside = failure;
    while (inside.getCause() != null) {
      inside = inside.getCause();
    }
    Throwable[] thrown = inside.getSuppressed();
    return thrown.length == 0 ? inside : thrown[0];
  }

  private record Entrant(Contender contender, Prepared prepared, List<Double> samples) {
    Entrant(Contender contender, Prepared prepared) {
      this(contender, prepared, new ArrayList<>());
    }

    double[] times() {
      double[] times = new double[samples.size()];
      Arrays.setAll(times, samples::get);
      return times;
    }
  }
}
