package dev.vbn.spi;

import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * An open backend, as its provider writes it: computes virtual batch normalization on tensors of
 * type {@code T}.
 *
 * <p>Users hold a {@code dev.vbn.VbnBackend} over it, which refuses invalid calls before a kernel
 * sees them: wrong shapes and types, absent capabilities, outputs that overlap an input without
 * being it, use after {@link #close}. Kernels never change an argument other than a tensor supplied
 * for a result, compute the same bits on every run, and are safe to call from many threads. A call
 * that has returned or thrown leaves nothing running, and holds no argument. A tensor returned is
 * new, unless it was supplied, and belongs to the caller.
 *
 * <p>With {@link Capability#MASK} a geometry may say which elements count. The others are not read,
 * or leave no trace, NaN and infinity included; results of a batch's shape are 0 there, in a
 * supplied tensor too.
 *
 * <p>Whatever a kernel throws is reported as this backend's failure.
 *
 * @param <T> the tensor type of the underlying library
 */
public interface Kernels<T> extends AutoCloseable {

  /** How to look at the tensors. */
  TensorAccess<T> tensors();

  /** The optional capabilities that this backend has; always the same. */
  Set<Capability> capabilities();

  /**
   * The device and the library that compute, in words. The default is for a provider without a
   * choice of devices: null, which stands for what {@link VbnProvider#probe} says.
   */
  default @Nullable String description() {
    return null;
  }

  /**
   * Mean and biased variance of a batch.
   *
   * @param scope {@link Scope#BATCH}: of each feature, shape {@code [features]}; {@link
   *     Scope#EXAMPLE}: of each feature in each example, shape {@code [examples, features]}; NaN
   *     for an example of which nothing counts
   */
  Moments<T> statistics(T x, Geometry geometry, Scope scope);

  /**
   * The reference pass: normalises a batch by its own statistics, and yields them.
   *
   * @param how with weight 1 and {@link Scope#BATCH}
   * @param gamma scale, shape {@code [features]}; null for ones
   * @param beta offset, likewise; null for zeros
   */
  Normalized<T> reference(T x, Normalization how, @Nullable T gamma, @Nullable T beta);

  /**
   * Normalises a live batch as {@link Normalization} says.
   *
   * @param reference statistics of the reference batch, shape {@code [features]}
   * @param gamma as in {@link #reference}
   * @param beta as in {@link #reference}
   * @param output where to write the output, of the batch's shape and type, possibly {@code x}
   *     itself; null for a new tensor, and always null without {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   * @return the output
   */
  T forward(
      T x,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma,
      @Nullable T beta,
      @Nullable T output);

  /**
   * Gradients of {@link #forward}, or of {@link #reference} with weight 1. {@link
   * Normalization#slopes} has the formula. A group is the n elements that share one {@code (m, v)}:
   * a feature of the whole batch, or of one example in {@link Scope#EXAMPLE}.
   *
   * @param x the batch that was normalised
   * @param upstream dy, gradient with respect to the output, of the batch's shape and type
   * @param reference as in {@link #forward}
   * @param gamma as in {@link #forward}
   * @param dx where to write dx, of the batch's shape and type, possibly {@code upstream} or {@code
   *     x} itself; null for a new tensor, and always null without {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   */
  Differentiated<T> backward(
      T x, T upstream, Normalization how, Moments<T> reference, @Nullable T gamma, @Nullable T dx);

  /**
   * Gradients of {@link #backward}: those of
   * {@code sum(dx*v) + sum(dgamma*vgamma) + sum(dbeta*vbeta)}, with the reference statistics as
   * constants. {@link Normalization#secondSlopes} has the formula. Called only with
   * {@link Capability#DOUBLE_BACKWARD}, which is what the default lacks.
   *
   * @param x as in {@link #backward}
   * @param upstream as in {@link #backward}
   * @param second v, vgamma and vbeta
   * @param how with {@link ReferenceGradient#DETACHED}
   * @param reference as in {@link #forward}
   * @param gamma as in {@link #forward}
   */
  default TwiceDifferentiated<T> doubleBackward(
      T x,
      T upstream,
      GradientUpstream<T> second,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma) {
    throw new UnsupportedOperationException(
        "doubleBackward is not written; expected it of a backend that declares DOUBLE_BACKWARD");
  }

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

  /**
   * The sums of each group that the gradients of {@link #backward} are made of. Called only with
   * {@link Capability#CONDITIONAL}, which is what the default lacks.
   *
   * @param x the batch that was normalised
   * @param upstream as in {@link #backward}
   * @param how its scope says what the groups are; with weight 0 the reference statistics alone
   *     normalise, even in {@link Scope#EXAMPLE}
   * @param reference as in {@link #forward}
   * @return 0 for an example of which nothing counts
   */
  default GroupSums sums(T x, T upstream, Normalization how, Moments<T> reference) {
    throw new UnsupportedOperationException(
        "sums is not written; expected it of a backend that declares CONDITIONAL");
  }

  /**
   * Puts each group on a line of its own. Called only with {@link Capability#CONDITIONAL}, which is
   * what the default lacks.
   *
   * @param upstream dy, of the batch's shape and type; null where the lines are those of an output
   * @param scope {@link Scope#BATCH} or {@link Scope#EXAMPLE}: what the groups are
   * @param output where to write, of the batch's shape and type, possibly {@code x} or {@code
   *     upstream} itself; null for a new tensor, and always null without {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   * @return the output
   */
  default T write(
      T x,
      @Nullable T upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable T output) {
    throw new UnsupportedOperationException(
        "write is not written; expected it of a backend that declares CONDITIONAL");
  }

  /**
   * Frees what the backend holds; harmless when repeated. Tensors that it made and that were not
   * released may be freed with it; without {@link Capability#TENSORS_OUTLIVE_BACKEND} reading one
   * afterwards throws {@link IllegalStateException}.
   */
  @Override
  void close();
}
