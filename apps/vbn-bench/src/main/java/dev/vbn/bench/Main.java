package dev.vbn.bench;

import java.util.List;

/** The command-line tool with {@code bench} among its commands. */
public final class Main {
  private Main() {}

  /** Runs a command and exits. */
  public static void main(String[] args) {
    dev.vbn.cli.Main.main(List.of(new BenchCommand()), args);
  }
}
