package dev.vbn.spi;

/** Whether gradients flow through the reference statistics. */
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
  ATTACHED
}
