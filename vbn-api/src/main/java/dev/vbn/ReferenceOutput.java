package dev.vbn;

/**
 * What the reference pass yields. Closing it frees output and statistics, except what has been
 * taken out.
 */
public final class ReferenceOutput<T> implements AutoCloseable {
  private final Part<T> output;
  private final ReferenceStatistics<T> statistics;
  private boolean ownsStatistics = true;

  ReferenceOutput(Part<T> output, ReferenceStatistics<T> statistics) {
    this.output = output;
    this.statistics = statistics;
  }

  /**
   * The reference batch normalised by its own statistics, of its shape and type.
   *
   * @throws IllegalStateException if closed
   */
  public T output() {
    return output.get();
  }

  /** The output, which is the caller's from now on: {@link VbnBackend#release} frees it. */
  public T takeOutput() {
    return output.take();
  }

  /** The statistics of the reference batch, closed with this. */
  public ReferenceStatistics<T> statistics() {
    return statistics;
  }

  /** The statistics, which are the caller's to close from now on. */
  public ReferenceStatistics<T> takeStatistics() {
    statistics.requireOpen();
    ownsStatistics = false;
    return statistics;
  }

  /** Frees what has not been taken out; harmless when repeated. */
  @Override
  public void close() {
    try {
      output.close();
    } finally {
      if (ownsStatistics) {
        statistics.close();
      }
    }
  }
}
