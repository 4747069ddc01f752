package dev.vbn.process;

import org.jspecify.annotations.Nullable;

/**
 * A program did not do as the protocol says: what it did, what was expected, and its last words on
 * standard error.
 */
public final class ProcessFailedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  ProcessFailedException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
