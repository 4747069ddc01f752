package dev.vbn.spi;

import dev.vbn.tensor.DType;

/**
 * What {@link Kernels#doubleBackward} yields.
 *
 * @param x gradient with respect to the batch, of its shape and type
 * @param upstream gradient with respect to the upstream gradient dy, likewise
 * @param gamma gradient with respect to gamma, as if it were all ones where there is none; shape
 *     {@code [features]}, type {@link DType#parameterType()}
 */
public record TwiceDifferentiated<T>(T x, T upstream, T gamma) {}
