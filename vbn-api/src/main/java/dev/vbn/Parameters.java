package dev.vbn;

import org.jspecify.annotations.Nullable;

/** Gamma and beta of a layer and of those that share them, with who frees them. */
final class Parameters<T> {
  private final VbnBackend<T> backend;
  private final Lifetime lifetime = new Lifetime("layer");
  private volatile @Nullable Part<T> gamma;
  private volatile @Nullable Part<T> beta;

  /** Null where it is one number for each feature. */
  private volatile @Nullable ParameterForm gammaForm;

  private volatile @Nullable ParameterForm betaForm;

  Parameters(VbnBackend<T> backend) {
    this.backend = backend;
  }

  Parameters<T> withGamma(@Nullable Part<T> gamma, @Nullable ParameterForm form) {
    this.gamma = gamma;
    gammaForm = form;
    return this;
  }

  Parameters<T> withBeta(@Nullable Part<T> beta, @Nullable ParameterForm form) {
    this.beta = beta;
    betaForm = form;
    return this;
  }

  void requireOpen() {
    lifetime.requireOpen();
  }

  /** A layer made from one that frees its parameters would leave nobody to close that one. */
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

  @Nullable
  ParameterForm gammaForm() {
    return gammaForm;
  }

  @Nullable
  ParameterForm betaForm() {
    return betaForm;
  }

  /** Whether both, where they are, are one number for each feature. */
  boolean arePlain() {
    return gammaForm == null && betaForm == null;
  }

  private static <T> @Nullable T tensor(@Nullable Part<T> part) {
    return part == null ? null : part.get();
  }

  /** Puts a tensor that the backend has made in gamma's place. */
  void replaceGamma(T made, @Nullable ParameterForm form) {
    Part<T> replaced = gamma;
    gamma = Part.made(backend, "gamma", made);
    gammaForm = form;
    close(replaced);
  }

  /** Puts a tensor that the backend has made in beta's place. */
  void replaceBeta(T made, @Nullable ParameterForm form) {
    Part<T> replaced = beta;
    beta = Part.made(backend, "beta", made);
    betaForm = form;
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
