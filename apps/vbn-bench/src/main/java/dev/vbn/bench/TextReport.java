package dev.vbn.bench;

import dev.vbn.cli.Table;
import java.io.PrintWriter;

/** The report for a terminal. */
final class TextReport {
  private final BenchReport report;

  TextReport(BenchReport report) {
    this.report = report;
  }

  void print(PrintWriter out) {
    for (ResultTable result : ResultTable.of(report)) {
      out.println(result.title());
      Table table = new Table(result.headings().toArray(String[]::new));
      result.rows().forEach(row -> table.row(row.toArray(String[]::new)));
      table.print(out);
      out.println();
    }
    out.println(
        "Measured on " + report.processor() + ", " + report.environment().processors()
            + " processors, Java " + report.environment().java() + ".");
    out.println(ResultTable.LEGEND);
    Table table = new Table("contender", "kind", "what");
    for (BenchReport.Entry entry : report.contenders()) {
      table.row(
          entry.name(),
          entry.kind().label(),
          (entry.available() ? "" : "unavailable: ") + entry.description());
      if (entry.failure() != null) {
        table.note("failed " + entry.failure());
      }
    }
    table.print(out);
    report.notMeasured().forEach(what -> out.println("Not measured: " + what));
  }
}
