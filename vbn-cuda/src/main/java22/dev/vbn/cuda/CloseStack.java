package dev.vbn.cuda;

import java.util.ArrayDeque;
import java.util.Deque;

/** What was opened, to be closed in reverse: every step is tried, whatever the others throw. */
final class CloseStack implements AutoCloseable {
  private final Deque<Runnable> steps = new ArrayDeque<>();

  void push(Runnable step) {
    steps.push(step);
  }

  /** Does all steps because of {@code cause}, to which failures are added as suppressed. */
  void closeAfter(Throwable cause) {
    try {
      close();
    } catch (RuntimeException | Error e) {
      cause.addSuppressed(e);
    }
  }

  /** Does all steps, and throws the first failure with the others suppressed. */
  @Override
  public void close() {
    Throwable first = null;
    while (!steps.isEmpty()) {
      try {
        steps.pop().run();
      } catch (RuntimeException | Error e) {
        if (first == null) {
          first = e;
        } else {
          first.addSuppressed(e);
        }
      }
    }
    if (first instanceof Error error) {
      throw error;
    }
    if (first instanceof RuntimeException exception) {
      throw exception;
    }
  }
}
