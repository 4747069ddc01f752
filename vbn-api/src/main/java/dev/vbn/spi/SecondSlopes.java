package dev.vbn.spi;

/**
 * The second gradients of one group, as {@link Normalization#secondSlopes} makes them:
 *
 * <pre>
 *   gradient of x  = cross*dy + input*v + distance*(x - m) + inputConstant
 *   gradient of dy = upstream*v + cross*(x - m) + upstreamConstant
 * </pre>
 *
 * @param cross slope of the one over dy, and of the other over the distance from the mixed mean
 * @param input slope of the gradient of x over v; 0 with weight 0
 * @param distance slope of the gradient of x over the distance from the mean; 0 with weight 0
 * @param inputConstant part of the gradient of x that all elements share; 0 with weight 0
 * @param upstream slope of the gradient of dy over v
 * @param upstreamConstant part of the gradient of dy that all elements share
 * @param gamma the group's part of the gradient of gamma
 */
public record SecondSlopes(
    double cross,
    double input,
    double distance,
    double inputConstant,
    double upstream,
    double upstreamConstant,
    double gamma) {}
