package dev.vbn.examples.picture;

import java.io.PrintStream;
import java.util.Locale;

/** How far training has got: one line that moves on a terminal, else a few lines that stay. */
public final class ProgressBar {
  /** The launcher sets it where standard error is a terminal. */
  private static final String PROPERTY = "vbn.progress";

  private static final int WIDTH = 24;
  private static final int LINES = 5;

  private final PrintStream out;
  private final boolean terminal = Boolean.getBoolean(PROPERTY);

  /** On a stream, which stays open. */
  public ProgressBar(PrintStream out) {
    this.out = out;
  }

  /** Shows one step, with the losses of both networks. */
  public void show(String what, int step, int steps, double discriminator, double generator) {
    if (terminal ? step % Math.max(1, steps / 200) == 0 : step % Math.max(1, steps / LINES) == 0) {
      int done = WIDTH * step / steps;
      String bar = terminal ? "[" + "=".repeat(done) + " ".repeat(WIDTH - done) + "] " : "";
      String line = String.format(
          Locale.ROOT,
          "%-18s %sstep %d of %d, loss D %.2f G %.2f",
          what,
          bar,
          step,
          steps,
          discriminator,
          generator);
      if (!terminal) {
        out.println(line);
      } else if (step < steps) {
        out.print("\r" + line);
      } else {
        out.println("\r" + line);
      }
      out.flush();
    }
  }
}
