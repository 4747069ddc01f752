package dev.vbn.spi;

/**
 * Mean and biased variance per feature, or the gradients with respect to them.
 *
 * @param mean shape {@code [features]}, or {@code [examples, features]} for statistics of {@link
 *     Scope#EXAMPLE}; 64 bits with {@link Capability#FLOAT64_STATISTICS}, else 32
 * @param variance of the mean's shape and type
 */
public record Moments<T>(T mean, T variance) {}
