package dev.vbn;

/**
 * A tensor in a result. It is freed with the result, unless it was the caller's from the start or
 * has been taken out.
 */
final class Part<T> implements AutoCloseable {
  private final VbnBackend<T> backend;
  private final String what;
  private final T tensor;
  private boolean owned;
  private boolean closed;

  private Part(VbnBackend<T> backend, String what, T tensor, boolean owned) {
    this.backend = backend;
    this.what = what;
    this.tensor = tensor;
    this.owned = owned;
  }

  /** A tensor that the backend made. */
  static <T> Part<T> made(VbnBackend<T> backend, String what, T tensor) {
    return new Part<>(backend, what, tensor, true);
  }

  /** A tensor that the caller supplied. */
  static <T> Part<T> supplied(VbnBackend<T> backend, String what, T tensor) {
    return new Part<>(backend, what, tensor, false);
  }

  T get() {
    if (closed) {
      throw new IllegalStateException(what + " used after close; expected a result that is open");
    }
    return tensor;
  }

  boolean isOwned() {
    return owned;
  }

  T take() {
    T taken = get();
    owned = false;
    return taken;
  }

  @Override
  public void close() {
    closed = true;
    if (owned) {
      owned = false;
      backend.release(tensor);
    }
  }
}
