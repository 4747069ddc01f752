package dev.vbn;

/**
 * The one tensor that a call yields: a normalised batch, or the gradient of a reference batch.
 * Closing it frees the tensor, unless the caller supplied it or has taken it out.
 */
public final class Output<T> implements AutoCloseable {
  private final Part<T> output;

  Output(Part<T> output) {
    this.output = output;
  }

  /**
   * The tensor, of the input's shape and type.
   *
   * @throws IllegalStateException if closed
   */
  public T output() {
    return output.get();
  }

  /** The tensor, which is the caller's from now on: {@link VbnBackend#release} frees it. */
  public T takeOutput() {
    return output.take();
  }

  /** Frees the tensor; harmless when repeated. */
  @Override
  public void close() {
    output.close();
  }
}
