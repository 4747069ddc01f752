package dev.vbn.cli;

import java.io.PrintWriter;
import java.lang.Character.UnicodeScript;
import java.util.Set;

/** One line on a terminal that says what is being done, and is wiped when it is done. */
public final class Progress implements AutoCloseable {
  /** The launcher sets it to the terminal's columns where standard error is one. */
  static final String PROPERTY = "vbn.progress";

  /** Scripts whose characters fill two columns. */
  private static final Set<UnicodeScript> WIDE = Set.of(
      UnicodeScript.HAN, UnicodeScript.HIRAGANA, UnicodeScript.KATAKANA, UnicodeScript.HANGUL);

  private static final int FIRST_EMOJI = 0x1f300;

  private final PrintWriter terminal;

  /** Columns to write in; the last one stays free, for terminals that go to the next line there. */
  private final int width = Integer.getInteger(PROPERTY, 0) - 1;

  /** On that terminal. */
  public Progress(PrintWriter terminal) {
    this.terminal = terminal;
  }

  /** Shows it in place of what was shown before. */
  public void show(String what) {
    if (width > 0) {
      terminal.print("\r" + fit(ErrorLine.of(what), width));
      terminal.flush();
    }
  }

  /** The text cut or filled up to a number of columns. */
  static String fit(String text, int width) {
    StringBuilder line = new StringBuilder();
    int columns = 0;
    for (int c : text.codePoints().toArray()) {
      int next = columns + columns(c);
      if (next > width) {
        break;
      }
      line.appendCodePoint(c);
      columns = next;
    }
    return line.append(" ".repeat(width - columns)).toString();
  }

  private static int columns(int character) {
    return switch (Character.getType(character)) {
      case Character.NON_SPACING_MARK, Character.ENCLOSING_MARK, Character.FORMAT -> 0;
      default -> character >= FIRST_EMOJI || WIDE.contains(UnicodeScript.of(character)) ? 2 : 1;
    };
  }

  /** Leaves a line that stays: that something is likely not as it was meant. */
  void warn(String what) {
    wipe();
    terminal.println("vbn: warning: " + ErrorLine.of(what));
    terminal.flush();
  }

  /** Leaves the line empty, for other output. */
  void wipe() {
    if (width > 0) {
      terminal.print("\r" + " ".repeat(width) + "\r");
      terminal.flush();
    }
  }

  @Override
  public void close() {
    wipe();
  }
}
