package dev.vbn.cli;

import java.io.PrintWriter;

/** One line on a terminal that says what is being done, and is wiped when it is done. */
public final class Progress implements AutoCloseable {
  /** The launcher sets it where standard error is a terminal. */
  private static final String PROPERTY = "vbn.progress";

  private static final int WIDTH = 79;

  private final PrintWriter terminal;
  private final boolean shown = Boolean.getBoolean(PROPERTY);

  /** On that terminal. */
  public Progress(PrintWriter terminal) {
    this.terminal = terminal;
  }

  /** Shows it in place of what was shown before. */
  public void show(String what) {
    if (shown) {
      String line = what.length() > WIDTH ? what.substring(0, WIDTH - 3) + "..." : what;
      terminal.print("\r" + line + " ".repeat(WIDTH - line.length()));
      terminal.flush();
    }
  }

  /** Leaves a line that stays: that something is likely not as it was meant. */
  void warn(String what) {
    wipe();
    terminal.println("vbn: warning: " + ErrorLine.of(what));
    terminal.flush();
  }

  /** Leaves the line empty, for other output. */
  void wipe() {
    if (shown) {
      terminal.print("\r" + " ".repeat(WIDTH) + "\r");
      terminal.flush();
    }
  }

  @Override
  public void close() {
    wipe();
  }
}
