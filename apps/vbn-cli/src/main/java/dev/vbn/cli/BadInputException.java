package dev.vbn.cli;

/** What the user gave cannot be used. The message says what was given and what was expected. */
public final class BadInputException extends RuntimeException {
  private static final long serialVersionUID = 1;

  /** Without a cause. */
  public BadInputException(String message) {
    super(message);
  }

  /** With the failure that showed it. */
  public BadInputException(String message, Throwable cause) {
    super(message, cause);
  }
}
