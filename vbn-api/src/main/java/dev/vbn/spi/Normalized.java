package dev.vbn.spi;

/**
 * What {@link VbnBackend#forward} yields.
 *
 * @param output the normalised batch
 * @param moments the mixed statistics that normalised it
 */
public record Normalized<T>(T output, Moments<T> moments) {}
