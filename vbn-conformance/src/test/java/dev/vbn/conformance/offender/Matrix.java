package dev.vbn.conformance.offender;

import static java.util.stream.Collectors.joining;

import dev.vbn.conformance.offender.Trial.Outcome;
import dev.vbn.conformance.offender.Trial.Verdict;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Stream;

/** Verdicts of faults under all conditions, kept in a file so that a run of an hour may be broken. */
final class Matrix {
  /** Kinds of condition, each from one constant on to that of the next. */
  private enum Kind {
    ALWAYS("always", Condition.ALWAYS),
    KERNEL("kernel", Condition.IN_STATISTICS),
    SCOPE("scope, weight, attached", Condition.WHOLE_BATCH),
    LAYOUT("rank, layout", Condition.RANK_2),
    SIZE("size", Condition.ONE_FEATURE),
    TYPE("type", Condition.FLOAT32),
    PARAMETERS("epsilon, gamma, beta", Condition.EPSILON_NOT_THE_DEFAULT),
    VALUES("magnitude, NaN", Condition.MAGNITUDE_ABOVE_1E10),
    MASK("mask", Condition.MASKED),
    PLACE("result, views", Condition.NEW_RESULT),
    ORDER("calls before, at the same time", Condition.FIRST_CALL);

    final String label;
    final Condition first;

    Kind(String label, Condition first) {
      this.label = label;
      this.first = first;
    }

    static Kind of(Condition condition) {
      Kind kind = ALWAYS;
      for (Kind each : values()) {
        kind = each.first.compareTo(condition) <= 0 ? each : kind;
      }
      return kind;
    }
  }

  private final Path file;
  private final List<Verdict> verdicts;

  Matrix(Path file) throws IOException {
    this.file = file;
    verdicts = new ArrayList<>();
    if (Files.exists(file)) {
      Files.readAllLines(file).stream().map(Verdict::ofLine).forEach(verdicts::add);
    }
  }

  synchronized boolean has(Fault fault) {
    return verdicts.stream().anyMatch(each -> each.fault() == fault);
  }

  /** Keeps what is known of a fault, and returns it. */
  synchronized List<Verdict> add(Fault fault, List<Verdict> ofFault) {
    try {
      Files.write(
          file,
          ofFault.stream().map(Verdict::toLine).toList(),
          StandardOpenOption.CREATE,
          StandardOpenOption.APPEND);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    verdicts.addAll(ofFault);
    System.out.println(fault + ": " + counts(ofFault));
    return ofFault;
  }

  synchronized List<Verdict> verdicts() {
    return List.copyOf(verdicts);
  }

  private static long count(List<Verdict> verdicts, Outcome... outcomes) {
    List<Outcome> wanted = List.of(outcomes);
    return verdicts.stream().filter(each -> wanted.contains(each.outcome())).count();
  }

  private static String counts(List<Verdict> verdicts) {
    return verdicts.size() + " pairs, " + count(verdicts, Outcome.CAUGHT) + " caught, "
        + count(verdicts, Outcome.SURVIVES) + " survive, " + count(verdicts, Outcome.ROUNDING)
        + " by rounding only, " + count(verdicts, Outcome.SAME) + " the same";
  }

  /** Writes it as a page. */
  synchronized void write(Path page) throws IOException {
    List<String> lines = new ArrayList<>();
    lines.add(counts(verdicts) + ".");
    lines.add("");
    lines.add("| Fault | "
        + Stream.of(Kind.values()).map(kind -> kind.label).collect(joining(" | "))
        + " | caught | surviving | no difference |");
    lines.add("|---|" + "---:|".repeat(Kind.values().length + 3));
    for (Fault fault : Fault.values()) {
      if (has(fault)) {
        lines.add(row("`" + fault + "`", each -> each.fault() == fault));
      }
    }
    lines.add(row("all", each -> true));
    lines.add("");
    lines.add("| Condition | caught | surviving | no difference |");
    lines.add("|---|---:|---:|---:|");
    for (Condition condition : Condition.values()) {
      List<Verdict> own =
          verdicts.stream().filter(each -> each.condition() == condition).toList();
      lines.add("| `" + condition + "` | " + totals(own) + " |");
    }
    lines.add("");
    verdicts.stream()
        .filter(each -> each.outcome() == Outcome.SURVIVES)
        .forEach(each -> lines.add("- `" + each.fault() + "` under `" + each.condition() + "`"));
    Files.write(page, lines);
  }

  private String row(String name, Predicate<Verdict> which) {
    List<Verdict> own = verdicts.stream().filter(which).toList();
    String cells = Stream.of(Kind.values())
        .map(kind ->
            own.stream().filter(each -> Kind.of(each.condition()) == kind).toList())
        .map(Matrix::cell)
        .collect(joining(" | "));
    return "| " + name + " | " + cells + " | " + totals(own) + " |";
  }

  /** Those caught; of how many, where that is not all. */
  private static String cell(List<Verdict> verdicts) {
    long caught = count(verdicts, Outcome.CAUGHT);
    long offenders = count(verdicts, Outcome.CAUGHT, Outcome.SURVIVES);
    return offenders == 0 ? "" : caught == offenders ? "" + caught : caught + "/" + offenders;
  }

  private static String totals(List<Verdict> verdicts) {
    return count(verdicts, Outcome.CAUGHT) + " | " + count(verdicts, Outcome.SURVIVES) + " | "
        + count(verdicts, Outcome.ROUNDING, Outcome.SAME);
  }
}
