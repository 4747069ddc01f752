package dev.vbn.cli;

import java.io.PrintWriter;
import java.util.ArrayList;
import java.util.List;

/** A table for a terminal: columns as wide as their cells, the last one wrapped. */
public final class TextTable {
  /** Of the terminal. */
  static final int WIDTH = 100;

  private static final int LEAST_LAST_COLUMN = 24;
  private static final String INDENT = "  ";
  private static final String NOTE_INDENT = "      ";
  private static final String GAP = "  ";

  private final List<List<String>> rows = new ArrayList<>();

  /** A table with these columns. */
  public TextTable(String... headings) {
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
    int[] widths = new int[last];
    for (List<String> row : rows) {
      for (int column = 0; column < Math.min(last, row.size() - 1); column++) {
        widths[column] = Math.max(widths[column], row.get(column).length());
      }
    }
    for (List<String> row : rows) {
      boolean note = row.size() == 1;
      StringBuilder line = new StringBuilder(note ? NOTE_INDENT : INDENT);
      for (int column = 0; column < row.size() - 1; column++) {
        String cell = row.get(column);
        line.append(cell).append(" ".repeat(widths[column] - cell.length())).append(GAP);
      }
      String margin = " ".repeat(line.length());
      int room = Math.max(WIDTH - line.length(), LEAST_LAST_COLUMN);
      for (String part : wrap(row.get(row.size() - 1), room)) {
        out.println(line.append(part).toString().stripTrailing());
        line = new StringBuilder(margin);
      }
    }
  }

  /** The text in lines of at most {@code width}, broken between words; long words stay whole. */
  static List<String> wrap(String text, int width) {
    List<String> lines = new ArrayList<>();
    StringBuilder line = new StringBuilder();
    for (String word : text.split(" ", -1)) {
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
