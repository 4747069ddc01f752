package dev.vbn.bench;

import dev.vbn.bench.Comparison.Series;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/**
 * A table of the report: contenders down, shapes across.
 *
 * @param rows with the contender's name first
 */
record ResultTable(String title, List<String> headings, List<List<String>> rows) {
  /** What the cells say. */
  static final String LEGEND =
      "Every result was compared with what it must be, computed in 64 bits in the same JVM. A '?' is"
          + " behind what was still being compiled, or whose times moved, when it was measured.";

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
      for (int threads : report.threads()) {
        addTo(tables, masked(report, pass, threads));
        addTo(tables, again(report, pass, threads));
      }
    }
    for (Pass pass : Pass.values()) {
      for (int threads : report.threads()) {
        tables.add(times(report, pass, threads));
      }
    }
    return tables;
  }

  private static void addTo(List<ResultTable> tables, ResultTable table) {
    if (!table.rows.isEmpty()) {
      tables.add(table);
    }
  }

  private static ResultTable timesCopy(BenchReport report, Pass pass, int threads) {
    List<List<String>> rows = new ArrayList<>();
    List<Comparison> columns = columns(report, pass);
    for (String contender : report.contenders(Series.SHAPES, pass)) {
      if (!contender.equals(CopyContender.NAME)) {
        rows.add(row(report, columns, threads, contender, ResultTable::timesCopy));
      }
    }
    rows.add(row(report, columns, threads, CopyContender.NAME, ResultTable::time));
    return new ResultTable(
        title(pass, threads, "times what a copy of the same bytes takes"), headings(columns), rows);
  }

  private static @Nullable String timesCopy(@Nullable Measurement found) {
    return found == null ? null : mark(Units.ratio(found.timesCopy()), found.steady());
  }

  private static @Nullable String time(@Nullable Measurement found) {
    return found == null ? null : mark(Units.time(found.time()), found.steady());
  }

  private static String mark(String text, boolean steady) {
    return steady ? text : text + " ?";
  }

  private static ResultTable masked(BenchReport report, Pass pass, int threads) {
    List<Comparison> columns = report.measurements().stream()
        .map(Measurement::comparison)
        .filter(comparison -> comparison.series() == Series.MASKS && comparison.pass() == pass)
        .distinct()
        .toList();
    List<String> headings = new ArrayList<>(List.of("contender"));
    columns.forEach(
        column -> headings.add(column.shape() + ", " + column.masking().label()));
    List<List<String>> rows = new ArrayList<>();
    for (String contender : report.contenders(Series.MASKS, pass)) {
      if (!contender.startsWith(CopyContender.NAME)) {
        List<String> row = new ArrayList<>(List.of(contender));
        for (Comparison column : columns) {
          OptionalDouble ratio = ratio(
              report,
              threads,
              contender,
              column,
              Comparison.of(Series.SHAPES, column.shape(), pass));
          row.add(
              ratio.isPresent() ? Units.ratio(ratio.getAsDouble() / Workload.share(column)) : NONE);
        }
        rows.add(row);
      }
    }
    return new ResultTable(
        title(pass, threads, "times the call without a mask, for each element that counts"),
        headings,
        rows);
  }

  private static ResultTable again(BenchReport report, Pass pass, int threads) {
    List<Shape> shapes = report.shapes(Series.AGAIN);
    List<String> headings = new ArrayList<>(List.of("contender"));
    shapes.forEach(shape -> headings.add(shape.toString()));
    List<List<String>> rows = new ArrayList<>();
    for (String contender : report.contenders(Series.AGAIN, pass)) {
      List<String> row = new ArrayList<>(List.of(contender));
      for (Shape shape : shapes) {
        OptionalDouble ratio = ratio(
            report,
            threads,
            contender,
            Comparison.of(Series.AGAIN, shape, pass),
            Comparison.of(Series.SHAPES, shape, pass));
        row.add(ratio.isPresent() ? Units.ratio(ratio.getAsDouble()) : NONE);
      }
      if (!contender.equals(CopyContender.NAME)) {
        rows.add(row);
      }
    }
    return new ResultTable(
        title(pass, threads, "measured last, times what it took when it was measured first"),
        headings,
        rows);
  }

  /** Of the ratios to the copy, which do not depend on how fast the machine was meanwhile. */
  private static OptionalDouble ratio(
      BenchReport report, int threads, String contender, Comparison over, Comparison under) {
    Measurement above = report.find(threads, over, contender).orElse(null);
    Measurement below = report.find(threads, under, contender).orElse(null);
    return above == null || below == null
        ? OptionalDouble.empty()
        : OptionalDouble.of(above.timesCopy() / below.timesCopy());
  }

  private static ResultTable times(BenchReport report, Pass pass, int threads) {
    List<Comparison> columns = columns(report, pass);
    List<List<String>> rows = report.contenders(Series.SHAPES, pass).stream()
        .map(contender -> row(report, columns, threads, contender, ResultTable::time))
        .toList();
    return new ResultTable(title(pass, threads, "median time"), headings(columns), rows);
  }

  private static String title(Pass pass, int threads, String what) {
    String label = pass.label();
    return Character.toUpperCase(label.charAt(0)) + label.substring(1) + ", "
        + Units.threads(threads) + ": " + what;
  }

  private static List<Comparison> columns(BenchReport report, Pass pass) {
    return report.shapes(Series.SHAPES).stream()
        .map(shape -> Comparison.of(Series.SHAPES, shape, pass))
        .toList();
  }

  private static List<String> headings(List<Comparison> columns) {
    List<String> headings = new ArrayList<>(List.of("contender"));
    columns.forEach(column -> headings.add(column.shape().toString()));
    return headings;
  }

  /** What a cell says of a measurement, if there is one. */
  private interface Cell {
    @Nullable
    String of(@Nullable Measurement measurement);
  }

  private static List<String> row(
      BenchReport report, List<Comparison> columns, int threads, String contender, Cell cell) {
    List<String> row = new ArrayList<>(List.of(contender));
    for (Comparison column : columns) {
      String text = cell.of(report.find(threads, column, contender).orElse(null));
      row.add(text == null ? NONE : text);
    }
    return row;
  }
}
