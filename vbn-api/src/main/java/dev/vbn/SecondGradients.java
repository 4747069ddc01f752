package dev.vbn;

import dev.vbn.spi.TwiceDifferentiated;

/**
 * What a backward pass through a backward pass yields. Closing it frees the tensors, except what
 * has been taken out.
 */
public final class SecondGradients<T> implements AutoCloseable {
  private final Part<T> x;
  private final Part<T> upstream;
  private final Part<T> gamma;

  SecondGradients(VbnBackend<T> backend, TwiceDifferentiated<T> result) {
    x = Part.made(backend, "gradient of x", result.x());
    upstream = Part.made(backend, "gradient of upstream", result.upstream());
    gamma = Part.made(backend, "gradient of gamma", result.gamma());
  }

  /**
   * Gradient with respect to the input, of its shape and type.
   *
   * @throws IllegalStateException if closed
   */
  public T x() {
    return x.get();
  }

  /**
   * Gradient with respect to the upstream gradient of the first backward pass, of its shape and type.
   *
   * @throws IllegalStateException if closed
   */
  public T upstream() {
    return upstream.get();
  }

  /**
   * Gradient with respect to gamma, shape {@code [features]}; of a layer without gamma, as if it
   * were all ones.
   *
   * @throws IllegalStateException if closed
   */
  public T gamma() {
    return gamma.get();
  }

  /** {@link #x()}, which is the caller's from now on: {@link VbnBackend#release} frees it. */
  public T takeX() {
    return x.take();
  }

  /** {@link #upstream()}, which is the caller's from now on. */
  public T takeUpstream() {
    return upstream.take();
  }

  /** {@link #gamma()}, which is the caller's from now on. */
  public T takeGamma() {
    return gamma.take();
  }

  /** Frees what has not been taken out; harmless when repeated. */
  @Override
  public void close() {
    try (x;
        upstream;
        gamma) {
      // each is closed, even if another cannot be
    }
  }
}
