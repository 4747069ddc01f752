package dev.vbn.spi;

import org.jspecify.annotations.Nullable;

/**
 * Upstream gradients of what {@link Kernels#backward} yields, for {@link Kernels#doubleBackward}:
 * the scalar that is differentiated is {@code sum(dx*v) + sum(dgamma*vgamma) + sum(dbeta*vbeta)}.
 *
 * @param dx v, of the batch's shape and type
 * @param dgamma vgamma, shape {@code [features]}, type of dgamma; null for zeros
 * @param dbeta vbeta, likewise
 */
public record GradientUpstream<T>(
    T dx, @Nullable T dgamma, @Nullable T dbeta) {

  /** The upstream gradient of dx alone, as for a gradient penalty on the input. */
  public static <T> GradientUpstream<T> ofDx(T dx) {
    return new GradientUpstream<>(dx, null, null);
  }

  /** A copy with an upstream gradient of dgamma. */
  public GradientUpstream<T> withDgamma(T dgamma) {
    return new GradientUpstream<>(dx, dgamma, dbeta);
  }

  /** A copy with an upstream gradient of dbeta. */
  public GradientUpstream<T> withDbeta(T dbeta) {
    return new GradientUpstream<>(dx, dgamma, dbeta);
  }
}
