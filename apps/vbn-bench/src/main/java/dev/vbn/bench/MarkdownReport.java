package dev.vbn.bench;

import dev.vbn.cli.report.Numbers;
import java.util.List;

/** The tables for a document. */
final class MarkdownReport {
  private MarkdownReport() {}

  /** The content of {@code bench.md}. */
  static String of(BenchReport report) {
    StringBuilder out = new StringBuilder();
    out.append("Command: `").append(report.command()).append("`, ");
    out.append(Numbers.date(report.started())).append(", ");
    out.append(Numbers.seconds(report.duration())).append(".\n");
    out.append("Machine: ").append(report.processor()).append(", ");
    out.append(report.environment().processors()).append(" processors, ");
    out.append(report.environment().system()).append(".\n");
    out.append("Java ").append(report.environment().java()).append(", options `");
    out.append(String.join(" ", report.options())).append("`.\n\n");
    for (BenchReport.Entry entry : report.contenders()) {
      out.append("- ").append(entry.name()).append(": ");
      out.append(entry.available() ? "" : "unavailable: ").append(entry.description());
      out.append(entry.failure() == null ? "" : "; failed " + entry.failure()).append("\n");
    }
    report
        .notMeasured()
        .forEach(what -> out.append("- Not measured: ").append(what).append("\n"));
    out.append("\n").append(ResultTable.LEGEND).append("\n");
    for (ResultTable table : ResultTable.of(report)) {
      out.append("\n**").append(table.title()).append("**\n\n");
      line(out, table.headings());
      line(out, table.headings().stream().map(heading -> "---").toList());
      table.rows().forEach(row -> line(out, row));
    }
    return out.toString();
  }

  private static void line(StringBuilder out, List<String> cells) {
    out.append("| ").append(String.join(" | ", cells)).append(" |\n");
  }
}
