package dev.vbn.cuda;

import dev.vbn.VbnBackend;

/** What tests at Java 17 are to see of the code at Java 22. */
interface Insight {
  /** A piece of a transfer. */
  interface Piece {
    void of(int start, int count);
  }

  /** How transfers of {@code size} elements are cut, at most {@code capacity} at a time. */
  void forEachPiece(int size, int capacity, Piece piece);

  /** Whether some call of the backend holds its lock. */
  boolean isBusy(VbnBackend<CudaTensor> backend);

  /**
   * Lets a function of the driver throw an Error until it is closed.
   *
   * @param field what {@code CudaDriver} calls it
   */
  Failing failing(VbnBackend<CudaTensor> backend, String field, Error error);

  /** A function that fails until this is closed. */
  interface Failing extends AutoCloseable {
    @Override
    void close();
  }

  static Insight get() {
    try {
      return Class.forName("dev.vbn.cuda.InsightAtJava22")
          .asSubclass(Insight.class)
          .getDeclaredConstructor()
          .newInstance();
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("what looks into the backend cannot be reached", e);
    }
  }
}
