package dev.vbn.spi;

/**
 * The statistics that normalise one group, as {@link Normalization#mix} makes them.
 *
 * @param difference d, live mean minus reference mean
 * @param mean m
 * @param variance v
 * @param deviation s, the square root of variance plus epsilon
 */
public record Mixture(double difference, double mean, double variance, double deviation) {}
