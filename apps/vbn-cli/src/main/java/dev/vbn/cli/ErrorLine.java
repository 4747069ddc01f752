package dev.vbn.cli;

import dev.vbn.BackendFailedException;
import dev.vbn.BackendUnavailableException;
import java.nio.file.FileSystemException;

/** Words for a failure, always on one line. */
public final class ErrorLine {
  private ErrorLine() {}

  /** The text without line breaks and other control characters. */
  public static String of(String text) {
    return text.strip().replaceAll("[\\s\\p{Cntrl}]+", " ");
  }

  /** The message; preceded by the type where the message is not made to be read alone. */
  public static String describe(Throwable failure) {
    String message = failure.getMessage();
    if (failure instanceof OutOfMemoryError) {
      return "out of memory (" + message + "); expected a larger heap: VBN_JAVA_OPTS=-Xmx8g";
    }
    if (message == null) {
      return failure.getClass().getSimpleName();
    }
    boolean readable = failure instanceof BackendFailedException
        || failure instanceof BackendUnavailableException
        || failure.getClass() == FileSystemException.class; // its subclasses name the file alone
    return of(readable ? message : failure.getClass().getSimpleName() + ": " + message);
  }
}
