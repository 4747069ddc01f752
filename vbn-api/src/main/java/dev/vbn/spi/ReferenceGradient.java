package dev.vbn.spi;

/** Through which statistics gradients flow. */
public enum ReferenceGradient {
  /**
   * Reference statistics are constants, also in the backward of the reference pass. The default.
   */
  DETACHED,
  /**
   * Gradients reach the reference batch, and the backward of the reference pass is that of batch
   * normalization (improved-gan, TF-GAN).
   */
  ATTACHED,
  /**
   * The live statistics are constants too: {@code dx = gamma/s*dy}. In a forward pass it equals
   * {@link #DETACHED}, except under automatic differentiation; no kernel is asked for its backward
   * pass.
   */
  ALL_DETACHED
}
