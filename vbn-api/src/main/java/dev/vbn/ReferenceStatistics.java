package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Moments;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/**
 * {@link ReferenceMoments} on a backend: what a layer normalises live batches with.
 *
 * <p>Obtained from {@link VirtualBatchNorm#reference} or
 * {@link VirtualBatchNorm#referenceStatistics}, or made from moments. Immutable and safe to share
 * between threads until closed.
 */
public final class ReferenceStatistics<T> implements AutoCloseable {
  private final VbnBackend<T> backend;
  private final Moments<T> tensors;
  private final int features;
  private final long examples;
  private final long elements;
  private final boolean owned;
  private final Lifetime lifetime = new Lifetime("reference statistics");

  private ReferenceStatistics(
      VbnBackend<T> backend,
      Moments<T> tensors,
      int features,
      long examples,
      long elements,
      boolean owned) {
    this.backend = backend;
    this.tensors = tensors;
    this.features = features;
    this.examples = examples;
    this.elements = elements;
    this.owned = owned;
  }

  /**
   * Statistics on a backend, in its {@link VbnBackend#statisticsType()}.
   *
   * @throws IllegalArgumentException if the moments are of no example
   */
  public static <T> ReferenceStatistics<T> of(VbnBackend<T> backend, ReferenceMoments moments) {
    requireNonNull(backend, "backend is null; expected the backend to use the statistics with");
    requireNonNull(moments, "moments is null; expected those of a reference batch");
    if (moments.isEmpty()) {
      throw new IllegalArgumentException(
          "moments are of no example; expected those of a reference batch");
    }
    int features = moments.features();
    DType type = backend.statisticsType();
    T mean = backend.fromHost(HostTensor.of(moments.mean(), features), type);
    T variance;
    try {
      variance = backend.fromHost(HostTensor.of(moments.variance(), features), type);
    } catch (RuntimeException | Error e) {
      backend.releaseAfter(e, mean);
      throw e;
    }
    return ofMade(
        backend,
        new Moments<>(mean, variance),
        features,
        moments.knowsExamples() ? moments.examples() : ReferenceMoments.UNKNOWN,
        moments.knowsElements() ? moments.elements() : ReferenceMoments.UNKNOWN);
  }

  /**
   * Statistics in the caller's tensors, without a copy: for instance the parameters of a
   * framework's own layer. They stay the caller's, who must not change them while the statistics
   * are in use; their values are not checked.
   *
   * @param mean mean, shape {@code [features]}, type {@link VbnBackend#statisticsType()}
   * @param variance biased variance, likewise
   * @param examples examples of the reference batch, at least 1
   * @param elements elements of one feature in the reference batch, at least {@code examples}
   * @throws IllegalArgumentException if shape or type differs, or a count is too low
   */
  public static <T> ReferenceStatistics<T> wrap(
      VbnBackend<T> backend, T mean, T variance, long examples, long elements) {
    ReferenceMoments.requireCounts(examples, elements);
    return wrapCounted(backend, mean, variance, examples, elements);
  }

  /**
   * As above, if the elements have not been counted: no layer of {@link Variant#POOLED} takes
   * these.
   *
   * @param mean mean, shape {@code [features]}, type {@link VbnBackend#statisticsType()}
   * @param variance biased variance, likewise
   * @param examples examples of the reference batch, at least 1
   * @throws IllegalArgumentException if shape or type differs, or the count is too low
   */
  public static <T> ReferenceStatistics<T> wrap(
      VbnBackend<T> backend, T mean, T variance, long examples) {
    ReferenceMoments.requireCounts(examples, examples);
    return wrapCounted(backend, mean, variance, examples, ReferenceMoments.UNKNOWN);
  }

  /**
   * As above, if neither count is known: enough for {@link Variant#LIVE_BATCH} and
   * {@link Variant#REFERENCE_ONLY}.
   *
   * @param mean mean, shape {@code [features]}, type {@link VbnBackend#statisticsType()}
   * @param variance biased variance, likewise
   * @throws IllegalArgumentException if shape or type differs
   */
  public static <T> ReferenceStatistics<T> wrap(VbnBackend<T> backend, T mean, T variance) {
    return wrapCounted(backend, mean, variance, ReferenceMoments.UNKNOWN, ReferenceMoments.UNKNOWN);
  }

  private static <T> ReferenceStatistics<T> wrapCounted(
      VbnBackend<T> backend, T mean, T variance, long examples, long elements) {
    requireNonNull(backend, "backend is null; expected the backend to use the statistics with");
    long[] shape = backend.shape(requireNonNull(mean, "mean is null; expected a tensor"));
    if (shape.length != 1 || shape[0] < 1) {
      throw new IllegalArgumentException(
          "mean has shape " + Arrays.toString(shape) + "; expected [features]");
    }
    long[] other = backend.shape(requireNonNull(variance, "variance is null; expected a tensor"));
    if (!Arrays.equals(other, shape)) {
      throw new IllegalArgumentException("variance has shape " + Arrays.toString(other)
          + "; expected that of the mean, " + Arrays.toString(shape));
    }
    requireStatisticsType(backend, "mean", mean);
    requireStatisticsType(backend, "variance", variance);
    return new ReferenceStatistics<>(
        backend,
        new Moments<>(mean, variance),
        Math.toIntExact(shape[0]),
        examples,
        elements,
        false);
  }

  private static <T> void requireStatisticsType(VbnBackend<T> backend, String name, T tensor) {
    if (backend.dtype(tensor) != backend.statisticsType()) {
      throw new IllegalArgumentException(name + " is " + backend.dtype(tensor) + "; expected "
          + backend.statisticsType() + ", the type of this backend's statistics");
    }
  }

  /** Statistics in tensors that the backend has made. */
  static <T> ReferenceStatistics<T> ofMade(
      VbnBackend<T> backend, Moments<T> tensors, int features, long examples, long elements) {
    return new ReferenceStatistics<>(backend, tensors, features, examples, elements, true);
  }

  VbnBackend<T> backend() {
    return backend;
  }

  /** Whether the tensors are freed with these statistics: else they are the caller's. */
  boolean owned() {
    return owned;
  }

  void requireOpen() {
    lifetime.requireOpen();
  }

  Moments<T> tensors() {
    lifetime.requireOpen();
    return tensors;
  }

  /**
   * The statistics on the host: to save, to merge, to hand to another backend, or to ask whether
   * they are finite.
   *
   * @throws IllegalStateException if these are closed
   */
  public ReferenceMoments moments() {
    return ReferenceMoments.counted(
        backend.toHost(tensors().mean()).toDoubles(),
        backend.toHost(tensors().variance()).toDoubles(),
        examples,
        elements);
  }

  /**
   * Mean as the backend's own tensor, which stays these statistics'.
   *
   * @throws IllegalStateException if these are closed
   */
  public T mean() {
    return tensors().mean();
  }

  /**
   * Biased variance as the backend's own tensor, which stays these statistics'.
   *
   * @throws IllegalStateException if these are closed
   */
  public T variance() {
    return tensors().variance();
  }

  /** Number of features. */
  public int features() {
    return features;
  }

  /**
   * R, examples of the reference batch.
   *
   * @throws IllegalStateException if their number is not known
   */
  public long examples() {
    return ReferenceMoments.known("examples", examples);
  }

  /**
   * R*Pr, elements of one feature in the reference batch.
   *
   * @throws IllegalStateException if their number is not known
   */
  public long elements() {
    return ReferenceMoments.known("elements per feature", elements);
  }

  /** Whether the number of {@link #examples()} is known. */
  public boolean knowsExamples() {
    return examples != ReferenceMoments.UNKNOWN;
  }

  /** Whether the number of {@link #elements()} is known; then that of the examples is. */
  public boolean knowsElements() {
    return elements != ReferenceMoments.UNKNOWN;
  }

  /** The weight that a variant gives to the statistics of a live batch next to these. */
  double weightOfLive(Variant variant, long liveExamples, long liveElements) {
    requireCount(variant, "examples", variant.needsExamples(), examples);
    requireCount(variant, "elements", variant.needsElements(), elements);
    return variant.weight(liveExamples, liveElements, examples, elements);
  }

  private static void requireCount(Variant variant, String what, boolean needed, long count) {
    if (needed && count == ReferenceMoments.UNKNOWN) {
      throw new IllegalArgumentException("reference statistics have no count of " + what
          + "; expected it for variant " + variant.label() + ", whose weight goes by it");
    }
  }

  /** Frees the tensors, unless they are the caller's; harmless when repeated. */
  @Override
  public void close() {
    if (lifetime.end() && owned) {
      backend.releaseBoth(tensors);
    }
  }

  /** Features and counts. */
  @Override
  public String toString() {
    return "ReferenceStatistics(features=" + features + ", examples="
        + ReferenceMoments.orUnknown(examples) + ", elements="
        + ReferenceMoments.orUnknown(elements) + ")";
  }
}
