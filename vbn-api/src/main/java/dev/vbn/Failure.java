package dev.vbn;

import java.util.ServiceConfigurationError;
import org.jspecify.annotations.Nullable;

/** Words for what a provider or a backend threw. */
final class Failure {
  private Failure() {}

  /**
   * The failure with its root cause in one line. The root matters: a static initialiser that failed
   * before shows up as {@code NoClassDefFoundError}, and only the text further down says why.
   */
  static String explain(Throwable failure) {
    StringBuilder line = new StringBuilder(describe(failure));
    Throwable cause = cause(failure);
    for (int depth = 0; cause != null && depth < 8; depth++) {
      String text = describe(cause);
      if (line.indexOf(text) < 0) {
        line.append(": ").append(text);
      }
      cause = cause(cause);
    }
    return line.toString().replaceAll("\\s+", " ");
  }

  private static @Nullable Throwable cause(Throwable failure) {
    try {
      return failure.getCause();
    } catch (Throwable e) {
      return null; // its author's fault, as in describe
    }
  }

  private static String describe(Throwable failure) {
    String name = failure.getClass().getSimpleName();
    String message;
    try {
      message = failure.getMessage();
    } catch (Throwable e) {
      return name; // its author's fault, and no reason to lose the failure
    }
    if (message == null) {
      return name;
    }
    return failure instanceof ServiceConfigurationError ? message : name + ": " + message;
  }
}
