package dev.vbn;

/**
 * A backend failed at what it was rightly asked for: its own exception is the cause. What VBN
 * refuses itself, before a backend sees it, throws other exceptions.
 */
public final class BackendFailedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final String backend;

  BackendFailedException(String backend, String call, Throwable cause) {
    super("backend '" + backend + "' failed in " + call + ": " + Failure.explain(cause), cause);
    this.backend = backend;
  }

  BackendFailedException(String backend, String problem) {
    super("backend '" + backend + "' failed: " + problem);
    this.backend = backend;
  }

  /** Name of the backend. */
  public String backend() {
    return backend;
  }
}
