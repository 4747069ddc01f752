package dev.vbn;

/**
 * A backend failed at a valid request: its own exception is the cause. What VBN refuses itself,
 * before a backend sees it, throws other exceptions.
 */
public final class BackendFailedException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final String backend;
  private final String call;

  BackendFailedException(String backend, String call, Throwable cause) {
    super("backend '" + backend + "' failed in " + call + ": " + Failure.explain(cause), cause);
    this.backend = backend;
    this.call = call;
  }

  BackendFailedException(String backend, String call, String problem) {
    super("backend '" + backend + "' failed: " + call + " " + problem);
    this.backend = backend;
    this.call = call;
  }

  /** Name of the backend. */
  public String backend() {
    return backend;
  }

  /** What the backend was asked for: the name of a kernel, or of another method of the SPI. */
  public String call() {
    return call;
  }
}
