package dev.vbn.spi;

/**
 * What {@link Kernels#reference} yields.
 *
 * @param output the normalised reference batch
 * @param statistics the statistics of the reference batch, which normalised it
 */
public record Normalized<T>(T output, Moments<T> statistics) {}
