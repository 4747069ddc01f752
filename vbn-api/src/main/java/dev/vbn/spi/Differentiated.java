package dev.vbn.spi;

import dev.vbn.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * What {@link Kernels#backward} yields.
 *
 * @param dx gradient with respect to the batch, of its shape and type
 * @param dgamma gradient with respect to gamma, as if it were all ones where there is none; shape
 *     {@code [features]}, type {@link DType#parameterType()}
 * @param dbeta gradient with respect to beta, likewise
 * @param dreference gradient with respect to the reference mean and variance, of the statistics'
 *     type; null unless {@link ReferenceGradient#ATTACHED}
 */
public record Differentiated<T>(
    T dx, T dgamma, T dbeta, @Nullable Moments<T> dreference) {}
