package dev.vbn.spi;

import dev.vbn.Gradients;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * Computes virtual batch normalization on tensors of type {@code T}.
 *
 * <p>Users reach the kernels through {@link dev.vbn.VirtualBatchNorm}, which has checked every
 * argument before a kernel sees it. Kernels never change an argument other than a tensor supplied
 * for a result, compute the same bits on every run, and are safe to call from many threads. A
 * tensor returned belongs to the caller. Every method but {@link #tensorType}, {@link
 * #capabilities} and {@link #close} throws {@link IllegalStateException} after {@link #close}.
 *
 * @param <T> the tensor type of the underlying library
 */
public interface VbnBackend<T> extends AutoCloseable {

  /** The tensor type. */
  Class<T> tensorType();

  /** The optional capabilities that this backend has. */
  Set<Capability> capabilities();

  /** Lengths of a tensor's axes, outermost first. */
  long[] shape(T tensor);

  /**
   * Element type of a tensor.
   *
   * @throws IllegalArgumentException if the tensor's type has no {@link DType}
   */
  DType dtype(T tensor);

  /**
   * A new tensor of the host tensor's shape and elements, rounded to nearest even.
   *
   * @throws UnsupportedCapabilityException if this backend lacks {@code dtype}
   */
  T fromHost(HostTensor host, DType dtype);

  /**
   * A copy of the tensor, of type {@link DType#hostType()}, whatever the strides of the original.
   */
  HostTensor toHost(T tensor);

  /** Frees a tensor that this backend returned. The default leaves it to the garbage collector. */
  default void release(T tensor) {}

  /**
   * Type of the statistics beside batches of type {@code dtype}: 32 bits or more. {@link
   * DType#FLOAT64} by default where the backend has it, since a mean far from 0 in units of the
   * standard deviation is not exact enough in 32 bits.
   */
  default DType statisticsType(DType dtype) {
    return capabilities().contains(Capability.FLOAT64) ? DType.FLOAT64 : DType.FLOAT32;
  }

  /** Mean and biased variance of each feature over the whole batch, shape {@code [features]}. */
  Moments<T> statistics(T x, Geometry geometry);

  /**
   * Normalises a batch as {@link Normalization} says.
   *
   * @param x the batch
   * @param reference statistics of the reference batch, shape {@code [features]}; null in the
   *     reference pass
   * @param gamma scale, shape {@code [features]}, type {@link DType#parameterType()}; null for ones
   * @param beta offset, likewise; null for zeros
   * @param output where to write the output, of the batch's shape and type, possibly {@code x}
   *     itself; null for a new tensor, and always null without {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   * @return the output and the mixed statistics {@code (m, v)}, of shape {@code [features]}, or
   *     {@code [examples, features]} in {@link Scope#EXAMPLE}
   */
  Normalized<T> forward(
      T x,
      Normalization normalization,
      @Nullable Moments<T> reference,
      @Nullable T gamma,
      @Nullable T beta,
      @Nullable T output);

  /**
   * Gradients of {@link #forward}. A group is the n elements that share one {@code (m, v)}: a
   * feature of the whole batch, or of one example in {@link Scope#EXAMPLE}. Per group, with {@code
   * A = sum(dy)} and {@code B = sum(dy*xh)}:
   *
   * <pre>
   *   dx = gamma/s * (dy - w/n*(A + xh*B))      dgamma = sum(dy*xh)      dbeta = sum(dy)
   *   dm = -gamma/s * A                         dv = -gamma/(2*s*s) * B
   *   dmr = sum over groups of (1-w)*dm - 2*w*(1-w)*d*dv
   *   dvr = sum over groups of (1-w)*dv
   * </pre>
   *
   * @param x the batch that was normalised
   * @param upstream dy, gradient with respect to the output, of the batch's shape and type
   * @param reference as in {@link #forward}
   * @param gamma as in {@link #forward}
   * @param dx where to write dx, of the batch's shape and type, possibly {@code upstream} or {@code
   *     x} itself; null for a new tensor, and always null without {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   * @return dx, dgamma, dbeta and, if attached and not the reference pass, {@code (dmr, dvr)}; dgamma and dbeta of type {@link
   *     DType#parameterType()}, the latter of {@link #statisticsType}
   */
  Gradients<T> backward(
      T x,
      T upstream,
      Normalization normalization,
      @Nullable Moments<T> reference,
      @Nullable T gamma,
      @Nullable T dx);

  /**
   * Carries the gradient of the reference statistics on to (a chunk of) the reference batch: {@code
   * dr = dmr/elements + 2*(r - mr)*dvr/elements}.
   *
   * @param r the reference batch or a chunk of it
   * @param statistics of the whole reference batch
   * @param gradient {@code (dmr, dvr)}
   * @param elements elements of one feature in the whole reference batch
   */
  T referenceGradient(
      T r, Geometry geometry, Moments<T> statistics, Moments<T> gradient, long elements);

  /** Frees what the backend holds; harmless when repeated. */
  @Override
  void close();
}
