package dev.vbn.spi;

/** Through which statistics gradients flow. */
public enum ReferenceGradient {
  /**
   * Reference statistics are constants; the reference pass too treats them so in its backward. The
   * default.
   */
  DETACHED,
  /**
   * Gradients reach the reference batch, and the backward of the reference pass is that of batch
   * normalization (improved-gan, TF-GAN).
   */
  ATTACHED,
  /**
   * The live statistics are constants too: {@code dx = gamma/s*dy}. To a forward pass it is {@link
   * #DETACHED}, but to automatic differentiation; no kernel is asked for a backward pass of it.
   */
  ALL_DETACHED
}
