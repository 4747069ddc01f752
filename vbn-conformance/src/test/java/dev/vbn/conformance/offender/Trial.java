package dev.vbn.conformance.offender;

import static java.util.Comparator.comparingDouble;

import dev.vbn.conformance.Rule;
import dev.vbn.conformance.offender.Offender.Run;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * One fault under every condition. A rehearsal tells in which checks it would show; these are run
 * one by one, the likely and short ones first, until one fails. The whole kit is run only where none
 * does, or where the order of calls matters.
 */
final class Trial {
  /** What the kit says of a pair. */
  enum Outcome {
    CAUGHT,
    SURVIVES,

    /** No offender: no number of any call differs by more than rounding. */
    ROUNDING,

    /** No offender: no number of any call differs at all. */
    SAME
  }

  /**
   * A pair with its outcome.
   *
   * @param rule the first that failed; null where none did, or where the kit failed beside them
   */
  record Verdict(
      Fault fault,
      Condition condition,
      Outcome outcome,
      @Nullable Rule rule) {
    boolean isOffender() {
      return outcome == Outcome.CAUGHT || outcome == Outcome.SURVIVES;
    }

    String toLine() {
      return fault + " " + condition + " " + outcome + " " + (rule == null ? "-" : rule.name());
    }

    static Verdict ofLine(String line) {
      String[] words = line.split(" ", 4);
      return new Verdict(
          Fault.valueOf(words[0]),
          Condition.valueOf(words[1]),
          Outcome.valueOf(words[2]),
          words[3].equals("-") ? null : Rule.valueOf(words[3]));
    }
  }

  /** How often a check was run on an offender of this fault, and how often it failed. */
  private static final class Tally {
    int run;
    int failed;

    double likelihood() {
      return (failed + 1.0) / (run + 2.0);
    }
  }

  private final Offender.Rehearsal rehearsal;
  private final Map<String, Tally> tallies = new HashMap<>();

  private Trial(Offender.Rehearsal rehearsal) {
    this.rehearsal = rehearsal;
  }

  static List<Verdict> of(Fault fault) {
    Trial trial = new Trial(Offender.rehearse(fault));
    List<Verdict> verdicts = new ArrayList<>();
    for (Condition condition : Condition.values()) {
      verdicts.add(trial.judge(new Offender(fault, condition)));
    }
    return verdicts;
  }

  /** By the whole kit, of which nothing is known before. */
  static Verdict ofWholeKit(Offender offender) {
    Run run = offender.run();
    if (!run.kit().green()) {
      return verdict(offender, Outcome.CAUGHT, run.kit().first);
    }
    return verdict(offender, run.altered() ? Outcome.SURVIVES : Outcome.SAME, null);
  }

  private static Verdict verdict(Offender offender, Outcome outcome, @Nullable Rule rule) {
    return new Verdict(offender.fault(), offender.condition(), outcome, rule);
  }

  private Verdict judge(Offender offender) {
    Condition rehearsed = offender.narrow() ? Condition.FLOAT32 : offender.condition();
    Set<String> checks = new HashSet<>(rehearsal.trace().bearing.getOrDefault(rehearsed, Set.of()));
    if (checks.isEmpty()) {
      boolean differs = rehearsal.trace().differing.contains(rehearsed);
      return verdict(offender, differs ? Outcome.ROUNDING : Outcome.SAME, null);
    }
    while (!offender.counting() && !checks.isEmpty()) {
      String next = checks.stream().min(comparingDouble(this::cost)).orElseThrow();
      checks.remove(next);
      Run run = offender.run(next);
      Tally tally = tallies.computeIfAbsent(next, first -> new Tally());
      tally.run++;
      if (!run.kit().failures.isEmpty()) {
        tally.failed++;
        return verdict(offender, Outcome.CAUGHT, run.kit().first);
      }
    }
    return ofWholeKit(offender);
  }

  /** Expected time until this check finds one. */
  private double cost(String check) {
    Tally tally = tallies.computeIfAbsent(check, first -> new Tally());
    double overhead = 20e6; // of a run of JUnit
    return (overhead + rehearsal.kit().nanoseconds.getOrDefault(check, 0L)) / tally.likelihood();
  }
}
