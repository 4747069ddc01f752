package dev.vbn.spi;

/**
 * The sums over one group that {@link Normalization#secondSlopes} is made of.
 *
 * @param upstream A, {@code sum(dy)}
 * @param upstreamInput B, {@code sum(dy*xh)}
 * @param second V, {@code sum(v)}
 * @param secondInput W, {@code sum(v*xh)}
 * @param product D, {@code sum(dy*v)}
 */
public record SecondSums(
    double upstream, double upstreamInput, double second, double secondInput, double product) {}
