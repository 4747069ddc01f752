package dev.vbn;

/**
 * No backend could be opened as asked. The message lists every provider considered with its reason;
 * the causes are attached as suppressed exceptions.
 */
public final class BackendUnavailableException extends RuntimeException {
  private static final long serialVersionUID = 1;

  BackendUnavailableException(String message) {
    super(message);
  }
}
