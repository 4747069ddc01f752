package dev.vbn;

import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import org.jspecify.annotations.Nullable;

/**
 * What a backward pass yields. The tensors are the caller's to release.
 *
 * @param input gradient with respect to the input, of its shape and type
 * @param gamma gradient with respect to gamma, shape {@code [features]}; also given where the layer
 *     does not scale, as if gamma were all ones
 * @param beta gradient with respect to beta, shape {@code [features]}; also given where the layer
 *     does not center
 * @param reference gradient with respect to the reference mean and variance, for {@link
 *     VirtualBatchNorm#referenceGradient}; null unless {@link ReferenceGradient#ATTACHED}
 */
public record Gradients<T>(
    T input, T gamma, T beta, @Nullable Moments<T> reference) {}
