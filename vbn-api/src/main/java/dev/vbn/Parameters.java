package dev.vbn;

import org.jspecify.annotations.Nullable;

/** Gamma and beta of a layer and of those that share them, with who frees them. */
final class Parameters<T> {
  private final VbnBackend<T> backend;
  private final Lifetime lifetime = new Lifetime("layer");
  private volatile @Nullable Part<T> gamma;
  private volatile @Nullable Part<T> beta;

  Parameters(VbnBackend<T> backend, @Nullable Part<T> gamma, @Nullable Part<T> beta) {
    this.backend = backend;
    this.gamma = gamma;
    this.beta = beta;
  }

  void requireOpen() {
    lifetime.requireOpen();
  }

  /** A layer made of one that frees its parameters would leave nobody to close that one. */
  void requireNoneOwned() {
    if (isOwned(gamma) || isOwned(beta)) {
      throw new IllegalStateException(
          "the layer has parameters of its own; expected setGamma or setBeta to replace them");
    }
  }

  private static boolean isOwned(@Nullable Part<?> part) {
    return part != null && part.isOwned();
  }

  @Nullable
  T gamma() {
    lifetime.requireOpen();
    return tensor(gamma);
  }

  @Nullable
  T beta() {
    lifetime.requireOpen();
    return tensor(beta);
  }

  private static <T> @Nullable T tensor(@Nullable Part<T> part) {
    return part == null ? null : part.get();
  }

  /** Puts a tensor that the backend has made in gamma's place. */
  void replaceGamma(T made) {
    Part<T> replaced = gamma;
    gamma = Part.made(backend, "gamma", made);
    close(replaced);
  }

  /** Puts a tensor that the backend has made in beta's place. */
  void replaceBeta(T made) {
    Part<T> replaced = beta;
    beta = Part.made(backend, "beta", made);
    close(replaced);
  }

  void close() {
    if (lifetime.end()) {
      try {
        close(gamma);
      } finally {
        close(beta);
      }
    }
  }

  private static void close(@Nullable Part<?> part) {
    if (part != null) {
      part.close();
    }
  }
}
