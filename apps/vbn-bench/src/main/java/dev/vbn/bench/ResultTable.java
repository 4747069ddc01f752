package dev.vbn.bench;

import dev.vbn.Variant;
import dev.vbn.bench.Comparison.Series;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A table of the report: contenders down, shapes across.
 *
 * @param rows with the contender's name first
 */
record ResultTable(String title, List<String> headings, List<List<String>> rows) {
  private static final String NONE = "-";

  ResultTable {
    headings = List.copyOf(headings);
    rows = List.copyOf(rows);
  }

  /** All tables, ratios first. */
  static List<ResultTable> of(BenchReport report) {
    List<ResultTable> tables = new ArrayList<>();
    for (Pass pass : Pass.values()) {
      for (int threads : report.threads()) {
        tables.add(timesCopy(report, pass, threads));
      }
    }
    for (Pass pass : Pass.values()) {
      for (String peer : report.contenders(Series.SHAPES, pass)) {
        if (is(Contender.Kind.PEER, report, peer)) {
          report.threads().forEach(threads -> tables.add(faster(report, pass, threads, peer)));
        }
      }
    }
    for (Pass pass : Pass.values()) {
      for (int threads : report.threads()) {
        tables.add(times(report, pass, threads));
      }
    }
    return tables;
  }

  private static boolean is(Contender.Kind kind, BenchReport report, String name) {
    return report.contenders().stream()
        .anyMatch(entry -> entry.name().equals(name) && entry.kind() == kind);
  }

  private static ResultTable timesCopy(BenchReport report, Pass pass, int threads) {
    List<List<String>> rows = new ArrayList<>();
    for (String contender : report.contenders(Series.SHAPES, pass)) {
      if (!contender.equals(CopyContender.NAME)) {
        rows.add(row(report, pass, threads, contender, found -> Units.ratio(found.timesCopy())));
      }
    }
    rows.add(row(report, pass, threads, CopyContender.NAME, found -> Units.time(found.time())));
    return new ResultTable(
        capital(pass.label()) + ", " + Units.threads(threads)
            + ": times what a copy of the same bytes takes",
        headings(report),
        rows);
  }

  private static ResultTable faster(BenchReport report, Pass pass, int threads, String peer) {
    List<List<String>> rows = new ArrayList<>();
    for (String contender : report.contenders(Series.SHAPES, pass)) {
      if (is(Contender.Kind.BACKEND, report, contender)) {
        List<String> row = new ArrayList<>(List.of(contender));
        for (Shape shape : report.shapes(Series.SHAPES)) {
          Comparison comparison = comparison(shape, pass);
          Optional<Measurement> ours = report.find(threads, comparison, contender);
          Optional<Measurement> theirs = report.find(threads, comparison, peer);
          row.add(
              ours.isPresent() && theirs.isPresent()
                  ? Units.ratio(theirs.get().timesCopy() / ours.get().timesCopy())
                  : NONE);
        }
        rows.add(row);
      }
    }
    return new ResultTable(
        capital(pass.label()) + ", " + Units.threads(threads) + ": times as fast as '" + peer + "'",
        headings(report),
        rows);
  }

  private static ResultTable times(BenchReport report, Pass pass, int threads) {
    List<List<String>> rows = report.contenders(Series.SHAPES, pass).stream()
        .map(contender -> row(report, pass, threads, contender, found -> Units.time(found.time())))
        .toList();
    return new ResultTable(
        capital(pass.label()) + ", " + Units.threads(threads) + ": median time",
        headings(report),
        rows);
  }

  private static String capital(String text) {
    return Character.toUpperCase(text.charAt(0)) + text.substring(1);
  }

  private static List<String> headings(BenchReport report) {
    List<String> headings = new ArrayList<>(List.of("contender"));
    report.shapes(Series.SHAPES).forEach(shape -> headings.add(shape.toString()));
    return headings;
  }

  /** What a cell says of a measurement. */
  private interface Cell {
    String of(Measurement measurement);
  }

  private static List<String> row(
      BenchReport report, Pass pass, int threads, String contender, Cell cell) {
    List<String> row = new ArrayList<>(List.of(contender));
    for (Shape shape : report.shapes(Series.SHAPES)) {
      row.add(
          report.find(threads, comparison(shape, pass), contender).map(cell::of).orElse(NONE));
    }
    return row;
  }

  private static Comparison comparison(Shape shape, Pass pass) {
    return new Comparison(Series.SHAPES, shape, Variant.LIVE_BATCH, pass);
  }
}
