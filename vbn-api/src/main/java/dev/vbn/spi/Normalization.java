package dev.vbn.spi;

/**
 * One member of the family of normalisations, on one shape. With the reference statistics {@code
 * mr, vr}, the live statistics {@code ma, va} over the scope and the weight {@code w}, per feature
 * (and, in {@link Scope#EXAMPLE}, per example):
 *
 * <pre>
 *   d = ma - mr        m = mr + w*d        v = (1-w)*vr + w*va + w*(1-w)*d*d
 *   s = sqrt(v + epsilon)        xh = (x - m)/s        y = gamma*xh + beta
 * </pre>
 *
 * <p>In the reference pass the weight is 1, the scope {@link Scope#BATCH}, and there are no
 * reference statistics: {@code m = ma, v = va}.
 *
 * @param geometry view of the live batch
 * @param scope over what live statistics are taken
 * @param weight of the live statistics, 0 to 1; 0 if and only if the scope is {@link Scope#NONE}
 * @param epsilon added to the variance inside the root, above 0
 * @param referenceGradient whether gradients reach the reference statistics; where detached, they
 *     are constants to automatic differentiation too
 */
public record Normalization(
    Geometry geometry,
    Scope scope,
    double weight,
    double epsilon,
    ReferenceGradient referenceGradient) {}
