package dev.vbn;

import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import org.jspecify.annotations.Nullable;

/**
 * What a backward pass yields. Closing it frees the tensors, except a dx that the caller supplied
 * and what has been taken out.
 */
public final class Gradients<T> implements AutoCloseable {
  private final Part<T> dx;
  private final Part<T> dgamma;
  private final Part<T> dbeta;
  private final @Nullable Part<T> dmean;
  private final @Nullable Part<T> dvariance;

  Gradients(VbnBackend<T> backend, Part<T> dx, T dgamma, T dbeta, @Nullable Moments<T> dreference) {
    this.dx = dx;
    this.dgamma = Part.made(backend, "dgamma", dgamma);
    this.dbeta = Part.made(backend, "dbeta", dbeta);
    dmean = dreference == null ? null : Part.made(backend, "dreference", dreference.mean());
    dvariance = dreference == null ? null : Part.made(backend, "dreference", dreference.variance());
  }

  /**
   * Gradient with respect to the input, of its shape and type.
   *
   * @throws IllegalStateException if closed
   */
  public T dx() {
    return dx.get();
  }

  /**
   * Gradient with respect to gamma, shape {@code [features]}; of a layer without gamma, as if it
   * were all ones.
   *
   * @throws IllegalStateException if closed
   */
  public T dgamma() {
    return dgamma.get();
  }

  /**
   * Gradient with respect to beta, shape {@code [features]}; of a layer without beta too.
   *
   * @throws IllegalStateException if closed
   */
  public T dbeta() {
    return dbeta.get();
  }

  /** {@link #dx()}, which is the caller's from now on: {@link VbnBackend#release} frees it. */
  public T takeDx() {
    return dx.take();
  }

  /** {@link #dgamma()}, which is the caller's from now on. */
  public T takeDgamma() {
    return dgamma.take();
  }

  /** {@link #dbeta()}, which is the caller's from now on. */
  public T takeDbeta() {
    return dbeta.take();
  }

  /**
   * Gradient with respect to the reference mean and variance, for {@link
   * VirtualBatchNorm#referenceGradient}; null unless {@link ReferenceGradient#ATTACHED}.
   */
  @Nullable
  Moments<T> dreference() {
    return dmean == null || dvariance == null ? null : new Moments<>(dmean.get(), dvariance.get());
  }

  /** Frees what has not been taken out; harmless when repeated. */
  @Override
  public void close() {
    try (dx;
        dgamma;
        dbeta;
        dmean;
        dvariance) {
      // each is closed, even if another cannot be
    }
  }
}
