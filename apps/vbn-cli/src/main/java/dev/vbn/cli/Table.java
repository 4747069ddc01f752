package dev.vbn.cli;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import picocli.CommandLine.Help;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Help.Column;
import picocli.CommandLine.Help.Column.Overflow;
import picocli.CommandLine.Help.TextTable;

/**
 * A table for a terminal: columns as wide as their cells, the last one wrapped. Picocli lays it out;
 * it would wrap too, but after hyphens as well, in the middle of an option or a module.
 */
public final class Table {
  /** Of the terminal. */
  static final int WIDTH = 100;

  private static final int LEAST_LAST_COLUMN = 24;
  private static final int GAP = 2;
  private static final int NOTE_INDENT = 6;

  private final List<List<String>> rows = new ArrayList<>();

  /** A table with these columns. */
  public Table(String... headings) {
    rows.add(List.of(headings));
  }

  /** A row, with a cell for every column. */
  public void row(String... cells) {
    rows.add(List.of(cells));
  }

  /** A line of its own below the last row. */
  public void note(String text) {
    rows.add(List.of(text));
  }

  /** Prints what it holds. */
  public void print(PrintWriter out) {
    int last = rows.get(0).size() - 1;
    int[] widths = new int[last + 1];
    for (List<String> row : rows) {
      for (int column = 0; column < Math.min(last, row.size() - 1); column++) {
        widths[column] = Math.max(widths[column], GAP + row.get(column).length());
      }
    }
    int left = Arrays.stream(widths).sum() + GAP;
    widths[last] = GAP + Math.max(WIDTH - left, LEAST_LAST_COLUMN);
    for (List<String> row : rows) {
      if (row.size() == 1) {
        print(out, row, NOTE_INDENT, WIDTH);
      } else {
        print(out, row, GAP, widths);
      }
    }
  }

  private static void print(PrintWriter out, List<String> row, int indent, int... widths) {
    TextTable table = TextTable.forColumns(
        Help.defaultColorScheme(Ansi.OFF),
        Arrays.stream(widths)
            .mapToObj(width -> new Column(width, indent, Overflow.TRUNCATE))
            .toArray(Column[]::new));
    int last = widths.length - 1;
    List<String> lines = wrap(row.get(last), widths[last] - indent);
    String[] cells = row.toArray(String[]::new);
    for (String line : lines) {
      cells[last] = line;
      table.addRowValues(cells);
      Arrays.fill(cells, "");
    }
    table.toString().lines().map(String::stripTrailing).forEach(out::println);
  }

  /** Prints a text in lines as wide as the table's, and an empty one. */
  static void paragraph(PrintWriter out, String text) {
    Stream.concat(wrap(text, WIDTH).stream(), Stream.of("")).forEach(out::println);
  }

  /** The text in lines of at most {@code width}, broken at spaces, and in words longer than that. */
  private static List<String> wrap(String text, int width) {
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder();
    for (String word : text.replaceAll("(\\S{" + width + "})(?=\\S)", "$1 ").split(" ", -1)) {
      if (line.length() > 0 && line.length() + 1 + word.length() > width) {
        lines.add(line.toString());
        line.setLength(0);
      }
      line.append(line.length() > 0 ? " " : "").append(word);
    }
    lines.add(line.toString());
    return lines;
  }
}
