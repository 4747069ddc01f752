package dev.vbn.spi;

/**
 * The gradients of one group, as {@link Normalization#slopes} makes them: {@code dx = upstream*dy +
 * input*(x - m) + constant}, and what the group sends to the reference statistics.
 *
 * @param upstream slope of dx over the upstream gradient
 * @param input slope of dx over the distance from the mixed mean; 0 with weight 0
 * @param constant part of dx that all elements share; 0 with weight 0
 * @param referenceMean the group's part of dmr
 * @param referenceVariance the group's part of dvr
 */
public record Slopes(
    double upstream,
    double input,
    double constant,
    double referenceMean,
    double referenceVariance) {}
