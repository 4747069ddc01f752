package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Moments;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/**
 * Mean and biased variance of a reference batch per feature, with the counts that weigh them.
 *
 * <p>Obtained from {@link VirtualBatchNorm#reference} or {@link
 * VirtualBatchNorm#referenceStatistics}, or made from plain arrays. Immutable and safe to share
 * between threads until closed.
 */
public final class ReferenceStatistics<T> implements AutoCloseable {
  private final VbnBackend<T> backend;
  private final DType dtype;
  private final Moments<T> moments;
  private final int features;
  private final long examples;
  private final long elements;
  private final Lifetime lifetime = new Lifetime("reference statistics");

  ReferenceStatistics(
      VbnBackend<T> backend,
      DType dtype,
      Moments<T> moments,
      int features,
      long examples,
      long elements) {
    this.backend = backend;
    this.dtype = dtype;
    this.moments = moments;
    this.features = features;
    this.examples = examples;
    this.elements = elements;
  }

  /**
   * Statistics from plain arrays. NaN is let through, as it is from a reference batch.
   *
   * @param backend where they are to be used
   * @param dtype type of the batches they are to be used with
   * @param mean mean per feature
   * @param variance biased variance per feature, 0 or more
   * @param examples examples of the reference batch, at least 1
   * @param elements elements of one feature in the reference batch, at least {@code examples}
   * @throws IllegalArgumentException if the arrays differ in length or are empty, a variance is
   *     negative, or a count is too low
   * @throws NullPointerException if an argument is null
   */
  public static <T> ReferenceStatistics<T> of(
      VbnBackend<T> backend,
      DType dtype,
      double[] mean,
      double[] variance,
      long examples,
      long elements) {
    requireSameLength(mean, variance, "variance");
    for (int i = 0; i < variance.length; i++) {
      if (variance[i] < 0) {
        throw new IllegalArgumentException(
            "variance[" + i + "] is " + variance[i] + "; expected 0 or more");
      }
    }
    return toBackend(backend, dtype, new Host(mean, variance, examples, elements));
  }

  /**
   * Statistics from the backend's own tensors, without a copy. The tensors become the statistics'
   * own, which release them when closed.
   *
   * @param dtype type of the batches they are to be used with
   * @param moments mean and biased variance, of shape {@code [features]} and type {@link
   *     VbnBackend#statisticsType}; their values are not looked at
   * @param examples examples of the reference batch, at least 1
   * @param elements elements of one feature in the reference batch, at least {@code examples}
   * @throws IllegalArgumentException if shape or type is another, or a count is too low
   * @throws NullPointerException if an argument is null
   */
  public static <T> ReferenceStatistics<T> of(
      VbnBackend<T> backend, DType dtype, Moments<T> moments, long examples, long elements) {
    requireNonNull(backend, "backend is null; expected the backend to use the statistics with");
    requireNonNull(dtype, "dtype is null; expected the type of the batches");
    requireNonNull(moments, "moments is null; expected mean and variance");
    VirtualBatchNorm.requireType(backend, "dtype", dtype);
    requireCounts(examples, elements);
    long[] shape = backend.shape(requireNonNull(moments.mean(), "mean is null; expected a tensor"));
    if (shape.length != 1 || shape[0] < 1) {
      throw new IllegalArgumentException(
          "mean has shape " + Arrays.toString(shape) + "; expected [features]");
    }
    long[] other =
        backend.shape(requireNonNull(moments.variance(), "variance is null; expected a tensor"));
    if (!Arrays.equals(other, shape)) {
      throw new IllegalArgumentException("variance has shape " + Arrays.toString(other)
          + "; expected that of the mean, " + Arrays.toString(shape));
    }
    requireStatisticsType(backend, dtype, "mean", moments.mean());
    requireStatisticsType(backend, dtype, "variance", moments.variance());
    return new ReferenceStatistics<>(
        backend, dtype, moments, Math.toIntExact(shape[0]), examples, elements);
  }

  private static <T> void requireStatisticsType(
      VbnBackend<T> backend, DType dtype, String name, T tensor) {
    if (backend.dtype(tensor) != backend.statisticsType(dtype)) {
      throw new IllegalArgumentException(name + " is " + backend.dtype(tensor) + "; expected "
          + backend.statisticsType(dtype) + " beside batches of " + dtype);
    }
  }

  private static void requireCounts(long examples, long elements) {
    if (examples < 1 || elements < examples) {
      throw new IllegalArgumentException("reference batch of " + examples + " examples and "
          + elements + " elements per feature; expected at least 1 example and 1 element of each");
    }
  }

  /**
   * Statistics from mean and mean square, as implementations that compute {@code E[x^2] - m^2}
   * store them. A variance that this makes negative by rounding becomes 0.
   *
   * @param meanSquare mean of the squares per feature
   * @throws IllegalArgumentException as {@link #of}, or if a mean square is below the squared mean
   *     by more than the rounding of 32 bits explains
   * @throws NullPointerException if an argument is null
   */
  public static <T> ReferenceStatistics<T> ofMeanSquare(
      VbnBackend<T> backend,
      DType dtype,
      double[] mean,
      double[] meanSquare,
      long examples,
      long elements) {
    requireSameLength(mean, meanSquare, "mean square");
    double[] variance = new double[mean.length];
    for (int i = 0; i < variance.length; i++) {
      double square = mean[i] * mean[i];
      variance[i] = meanSquare[i] - square;
      if (variance[i] < -0x1p-20 * square) {
        throw new IllegalArgumentException("mean square[" + i + "] is " + meanSquare[i]
            + " beside mean " + mean[i] + "; expected at least " + square);
      }
      variance[i] = Math.max(variance[i], 0);
    }
    return toBackend(backend, dtype, new Host(mean, variance, examples, elements));
  }

  private static void requireSameLength(double[] mean, double[] other, String name) {
    requireNonNull(mean, "mean is null; expected one value per feature");
    requireNonNull(other, name + " is null; expected one value per feature");
    if (mean.length == 0 || mean.length != other.length) {
      throw new IllegalArgumentException("mean has " + mean.length + " values and " + name + " "
          + other.length + "; expected one of each per feature");
    }
  }

  static <T> ReferenceStatistics<T> toBackend(VbnBackend<T> backend, DType dtype, Host host) {
    requireNonNull(backend, "backend is null; expected the backend to use the statistics with");
    requireNonNull(dtype, "dtype is null; expected the type of the batches");
    VirtualBatchNorm.requireType(backend, "dtype", dtype);
    DType type = backend.statisticsType(dtype);
    int features = host.mean.length;
    T mean = backend.fromHost(HostTensor.of(host.mean.clone(), features), type);
    T variance;
    try {
      variance = backend.fromHost(HostTensor.of(host.variance.clone(), features), type);
    } catch (RuntimeException e) {
      backend.release(mean);
      throw e;
    }
    return new ReferenceStatistics<>(
        backend, dtype, new Moments<>(mean, variance), features, host.examples, host.elements);
  }

  /**
   * The statistics of both reference batches together (Chan, Golub and LeVeque 1983). Both operands
   * stay as they are.
   *
   * @throws IllegalArgumentException if number of features or type differ
   * @throws IllegalStateException if one is closed
   */
  public ReferenceStatistics<T> merge(ReferenceStatistics<T> other) {
    requireNonNull(other, "other is null; expected reference statistics");
    if (other.features != features || other.dtype != dtype) {
      throw new IllegalArgumentException("statistics of " + other.features + " features of "
          + other.dtype + " were given to merge; expected " + features + " features of " + dtype);
    }
    return toBackend(backend, dtype, toHost().merge(other.toHost()));
  }

  /**
   * The same statistics on another backend.
   *
   * @throws IllegalStateException if these are closed
   */
  public <U> ReferenceStatistics<U> to(VbnBackend<U> other) {
    return toBackend(other, dtype, toHost());
  }

  /** The same statistics for batches of another type. */
  public ReferenceStatistics<T> to(DType other) {
    return toBackend(backend, other, toHost());
  }

  Host toHost() {
    return new Host(mean(), variance(), examples, elements);
  }

  VbnBackend<T> backend() {
    return backend;
  }

  void requireOpen() {
    lifetime.requireOpen();
  }

  /**
   * Mean and variance as the backend's own tensors, which stay this object's.
   *
   * @throws IllegalStateException if closed
   */
  public Moments<T> moments() {
    lifetime.requireOpen();
    return moments;
  }

  /** Mean per feature; a copy. */
  public double[] mean() {
    return backend.toHost(moments().mean()).toDoubles();
  }

  /** Biased variance per feature; a copy. */
  public double[] variance() {
    return backend.toHost(moments().variance()).toDoubles();
  }

  /** Mean of the squares per feature, {@code variance + mean * mean}. */
  public double[] meanSquare() {
    double[] mean = mean();
    double[] meanSquare = variance();
    for (int i = 0; i < meanSquare.length; i++) {
      meanSquare[i] += mean[i] * mean[i];
    }
    return meanSquare;
  }

  /** Type of the batches that these statistics go with. */
  public DType dtype() {
    return dtype;
  }

  /** Number of features. */
  public int features() {
    return features;
  }

  /** R, examples of the reference batch. */
  public long examples() {
    return examples;
  }

  /** R*Pr, elements of one feature in the reference batch. */
  public long elements() {
    return elements;
  }

  /** Releases the tensors; harmless when repeated. */
  @Override
  public void close() {
    if (lifetime.end()) {
      backend.release(moments.mean());
      backend.release(moments.variance());
    }
  }

  /** Features, type and counts. */
  @Override
  public String toString() {
    return "ReferenceStatistics(features=" + features + ", dtype=" + dtype + ", examples="
        + examples + ", elements=" + elements + ")";
  }

  /** The statistics on the host: where they are merged, in 64 bits. */
  static final class Host {
    private final double[] mean;
    private final double[] variance;
    private final long examples;
    private final long elements;

    Host(double[] mean, double[] variance, long examples, long elements) {
      requireCounts(examples, elements);
      this.mean = mean;
      this.variance = variance;
      this.examples = examples;
      this.elements = elements;
    }

    Host merge(Host other) {
      double share = other.elements / ((double) elements + other.elements);
      double[] mergedMean = new double[mean.length];
      double[] mergedVariance = new double[mean.length];
      for (int i = 0; i < mean.length; i++) {
        double d = other.mean[i] - mean[i];
        mergedMean[i] = mean[i] + share * d;
        mergedVariance[i] =
            (1 - share) * variance[i] + share * other.variance[i] + share * (1 - share) * d * d;
      }
      return new Host(
          mergedMean, mergedVariance, examples + other.examples, elements + other.elements);
    }
  }
}
