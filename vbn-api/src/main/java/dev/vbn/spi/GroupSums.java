package dev.vbn.spi;

/**
 * What {@link Kernels#sums} yields, for each group and feature in this order: the sums that the
 * gradients of a group are made of.
 *
 * @param upstream A, {@code sum(dy)}
 * @param upstreamInput B, {@code sum(dy*xh)}
 */
public record GroupSums(double[] upstream, double[] upstreamInput) {}
