package dev.vbn;

import org.jspecify.annotations.Nullable;

/**
 * No backend could be opened as asked. The message lists every provider considered with its reason;
 * the cause is the failure of the first that was tried, and those of the others are suppressed
 * exceptions.
 */
public final class BackendUnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1;

  BackendUnavailableException(String message, @Nullable Throwable cause) {
    super(message, cause);
  }
}
