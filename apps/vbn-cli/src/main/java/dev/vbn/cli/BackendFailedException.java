package dev.vbn.cli;

/** A backend threw while it computed. */
final class BackendFailedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  BackendFailedException(String message, Throwable cause) {
    super(message, cause);
  }
}
