package dev.vbn;

import static java.util.Objects.requireNonNull;

import java.io.InvalidObjectException;
import java.io.ObjectInputStream;
import java.io.Serializable;
import java.util.Arrays;

/**
 * Mean and biased variance of a reference batch per feature, with the counts that weigh them, as
 * plain numbers: what is merged, stored and sent, without any backend.
 *
 * <p>Immutable and safe to share between threads.
 */
public final class ReferenceMoments implements Serializable {
  /** Stands for a count that is not known. */
  static final long UNKNOWN = -1;

  private static final long serialVersionUID = 1L;

  private final double[] mean;
  private final double[] variance;
  private final long examples;
  private final long elements;

  private ReferenceMoments(double[] mean, double[] variance, long examples, long elements) {
    this.mean = mean;
    this.variance = variance;
    this.examples = examples;
    this.elements = elements;
  }

  /**
   * Statistics from mean and variance. NaN and infinity are accepted, as they are from a reference
   * batch.
   *
   * @param mean mean per feature; copied
   * @param variance biased variance per feature, 0 or more; copied
   * @param examples examples of the reference batch, at least 1
   * @param elements elements of one feature in the reference batch, at least {@code examples}
   * @throws IllegalArgumentException if the arrays differ in length or are empty, a variance is
   *     negative, or a count is too low
   * @throws NullPointerException if an array is null
   */
  public static ReferenceMoments of(
      double[] mean, double[] variance, long examples, long elements) {
    requireCounts(examples, elements);
    return counted(mean, variance, examples, elements);
  }

  /**
   * Statistics of a reference batch whose elements have not been counted, as in files from
   * elsewhere: they cannot be merged, and no layer of {@link Variant#POOLED} takes them.
   *
   * @param mean as in {@link #of(double[], double[], long, long)}
   * @param variance likewise
   * @param examples likewise
   * @throws IllegalArgumentException likewise
   */
  public static ReferenceMoments of(double[] mean, double[] variance, long examples) {
    requireCounts(examples, examples);
    return counted(mean, variance, examples, UNKNOWN);
  }

  /**
   * Statistics of a reference batch of which neither count is known: enough for {@link
   * Variant#LIVE_BATCH} and {@link Variant#REFERENCE_ONLY}.
   *
   * @param mean as in {@link #of(double[], double[], long, long)}
   * @param variance likewise
   * @throws IllegalArgumentException likewise
   */
  public static ReferenceMoments of(double[] mean, double[] variance) {
    return counted(mean, variance, UNKNOWN, UNKNOWN);
  }

  /** Either count may be {@link #UNKNOWN}, that of the examples only together with the other. */
  static ReferenceMoments counted(double[] mean, double[] variance, long examples, long elements) {
    requireSameLength(mean, variance, "variance");
    double[] copy = variance.clone();
    for (int i = 0; i < copy.length; i++) {
      if (copy[i] < 0) {
        throw new IllegalArgumentException(
            "variance[" + i + "] is " + copy[i] + "; expected 0 or more");
      }
    }
    return new ReferenceMoments(mean.clone(), copy, examples, elements);
  }

  /**
   * Statistics from mean and mean square, as implementations that compute {@code E[x^2] - m^2}
   * store them. A variance that this makes negative by rounding becomes 0.
   *
   * @param mean mean per feature; copied
   * @param meanSquare mean of the squares per feature, 0 or more
   * @param examples examples of the reference batch, at least 1
   * @param elements elements of one feature in the reference batch, at least {@code examples}
   * @throws IllegalArgumentException as {@link #of}, or if the square of a finite mean overflows,
   *     or a mean square is below it by more than the rounding of 32 bits explains
   * @throws NullPointerException if an array is null
   */
  public static ReferenceMoments ofMeanSquare(
      double[] mean, double[] meanSquare, long examples, long elements) {
    requireSameLength(mean, meanSquare, "mean square");
    double[] variance = new double[mean.length];
    for (int i = 0; i < variance.length; i++) {
      variance[i] = variance(i, mean[i], meanSquare[i]);
    }
    return of(mean, variance, examples, elements);
  }

  private static double variance(int feature, double mean, double meanSquare) {
    double square = mean * mean;
    if (Double.isInfinite(square) && !Double.isInfinite(mean)) {
      throw new IllegalArgumentException("mean square[" + feature + "] is " + meanSquare
          + " with mean " + mean + "; expected a mean with a finite square");
    }
    double variance = meanSquare - square;
    // 8 units in the last place of 32 bits; and what 32-bit squares lose where they are subnormal
    // or flushed to zero
    double rounding = 0x1p-20 * square + Float.MIN_NORMAL;
    if (variance < -rounding || meanSquare < 0 || variance == Double.NEGATIVE_INFINITY) {
      throw new IllegalArgumentException("mean square[" + feature + "] is " + meanSquare
          + " with mean " + mean + "; expected at least " + square);
    }
    return Math.max(variance, 0);
  }

  private static void requireSameLength(double[] mean, double[] other, String name) {
    requireNonNull(mean, "mean is null; expected one value per feature");
    requireNonNull(other, name + " is null; expected one value per feature");
    if (mean.length == 0 || mean.length != other.length) {
      throw new IllegalArgumentException("mean has " + mean.length + " values and " + name + " "
          + other.length + "; expected one of each per feature");
    }
  }

  static void requireCounts(long examples, long elements) {
    if (examples < 1 || elements < examples) {
      throw new IllegalArgumentException("reference batch of " + examples + " examples and "
          + elements + " elements per feature; expected at least 1 example and 1 element of each");
    }
  }

  /**
   * Statistics of no example: merging them changes nothing. Their mean and variance are NaN.
   *
   * @param features number of features, at least 1
   * @throws IllegalArgumentException if {@code features} is below 1
   */
  public static ReferenceMoments empty(int features) {
    if (features < 1) {
      throw new IllegalArgumentException("features is " + features + "; expected at least 1");
    }
    double[] none = new double[features];
    Arrays.fill(none, Double.NaN);
    return new ReferenceMoments(none, none, 0, 0);
  }

  /**
   * The statistics of both reference batches together (Chan, Golub and LeVeque 1983).
   * {@code a.merge(b)} equals {@code b.merge(a)}; more than two rounded merges depend on their
   * order in the last bits, unlike those of {@link ExactMoments}.
   *
   * @throws IllegalArgumentException if the number of features differs, or a count overflows or is
   *     not known
   * @throws NullPointerException if {@code other} is null
   */
  public ReferenceMoments merge(ReferenceMoments other) {
    requireSameFeatures(other, "merge");
    if (other.isEmpty()) {
      return this;
    }
    if (isEmpty()) {
      return other;
    }
    if (!knowsElements() || !other.knowsElements()) {
      throw new IllegalArgumentException("statistics without a count of elements were to be merged;"
          + " expected the counts of both, which weigh them");
    }
    long bothExamples = sum("examples", examples, other.examples);
    long bothElements = sum("elements per feature", elements, other.elements);
    return elements < other.elements
        ? other.mix(this, elements / (double) bothElements, bothExamples, bothElements)
        : mix(other, other.elements / (double) bothElements, bothExamples, bothElements);
  }

  static long sum(String name, long count, long other) {
    if (count > Long.MAX_VALUE - other) {
      throw new IllegalArgumentException(other + " " + name + " were given to add to " + count
          + "; expected at most " + Long.MAX_VALUE + " together");
    }
    return count + other;
  }

  /** The statistics of both, of which {@code light} has a share of at most 1/2. */
  private ReferenceMoments mix(
      ReferenceMoments light, double share, long bothExamples, long bothElements) {
    double[] mergedMean = new double[features()];
    double[] mergedVariance = new double[features()];
    for (int i = 0; i < mergedMean.length; i++) {
      double d = Double.compare(mean[i], light.mean[i]) == 0 ? 0 : light.mean[i] - mean[i];
      mergedMean[i] = between(mean[i], light.mean[i], share);
      mergedVariance[i] =
          between(variance[i], light.variance[i], share) + share * (1 - share) * d * d;
    }
    return new ReferenceMoments(mergedMean, mergedVariance, bothExamples, bothElements);
  }

  /**
   * {@code (1 - share) * heavy + share * light} for a share of at most 1/2: equal values stay as
   * they are, and values of 0 or more give nothing below 0.
   */
  private static double between(double heavy, double light, double share) {
    if (Double.compare(heavy, light) == 0) {
      return heavy;
    }
    double difference = light - heavy;
    // Half each is symmetric, so that neither order of a merge can be told from the other.
    return share == 0.5 || Double.isInfinite(difference)
        ? (1 - share) * heavy + share * light
        : heavy + share * difference;
  }

  /**
   * A moving reference: these statistics with weight {@code 1 - weight} and the other with
   * {@code weight}, as in exponential averages of means and of mean squares. The counts stay those
   * of these statistics, since a variant's weight depends on the size of one reference batch.
   *
   * @param other statistics of the next reference batch
   * @param weight of {@code other}, 0 to 1; 0.1 for what others call a momentum of 0.9
   * @return these if {@code other} is of no example, and {@code other} if these are
   * @throws IllegalArgumentException if the number of features differs, or {@code weight} is out of
   *     range
   * @throws NullPointerException if {@code other} is null
   */
  public ReferenceMoments blend(ReferenceMoments other, double weight) {
    requireSameFeatures(other, "blend");
    if (!(weight >= 0 && weight <= 1)) {
      throw new IllegalArgumentException("weight is " + weight + "; expected 0 to 1");
    }
    if (other.isEmpty() || (weight == 0 && !isEmpty())) {
      return this;
    }
    if (isEmpty()) {
      return other;
    }
    if (weight == 1) {
      return new ReferenceMoments(other.mean, other.variance, examples, elements);
    }
    boolean lighter = weight <= 0.5;
    return lighter
        ? mix(other, weight, examples, elements)
        : other.mix(this, 1 - weight, examples, elements);
  }

  private void requireSameFeatures(ReferenceMoments other, String verb) {
    requireNonNull(other, "other is null; expected reference moments");
    if (other.features() != features()) {
      throw new IllegalArgumentException("statistics of " + other.features()
          + " features were given to " + verb + "; expected " + features() + " features");
    }
  }

  /** Mean per feature; a copy. */
  public double[] mean() {
    return mean.clone();
  }

  /** Biased variance per feature; a copy. */
  public double[] variance() {
    return variance.clone();
  }

  /**
   * Unbiased variance per feature, {@code variance * n/(n - 1)} of n elements; a copy. A layer
   * normalises by the biased one. {@code of(mean(), unbiasedVariance(), ...)} gives those that
   * normalise by this one.
   *
   * @throws IllegalStateException if these are of fewer than 2 elements, or their number is not
   *     known
   */
  public double[] unbiasedVariance() {
    if (elements() < 2) {
      throw new IllegalStateException("unbiased variance was asked of " + elements
          + " elements per feature; expected at least 2");
    }
    double[] unbiased = variance.clone();
    for (int i = 0; i < unbiased.length; i++) {
      unbiased[i] *= elements / (elements - 1.0);
    }
    return unbiased;
  }

  /** Mean of the squares per feature, {@code variance + mean * mean}; a copy. */
  public double[] meanSquare() {
    double[] meanSquare = variance.clone();
    for (int i = 0; i < meanSquare.length; i++) {
      meanSquare[i] += mean[i] * mean[i];
    }
    return meanSquare;
  }

  /** Number of features. */
  public int features() {
    return mean.length;
  }

  /**
   * R, examples of the reference batch.
   *
   * @throws IllegalStateException if their number is not known
   */
  public long examples() {
    return known("examples", examples);
  }

  /**
   * R*Pr, elements of one feature in the reference batch.
   *
   * @throws IllegalStateException if their number is not known
   */
  public long elements() {
    return known("elements per feature", elements);
  }

  /** Whether the number of {@link #examples()} is known. */
  public boolean knowsExamples() {
    return examples != UNKNOWN;
  }

  /** Whether the number of {@link #elements()} is known; then that of the examples is. */
  public boolean knowsElements() {
    return elements != UNKNOWN;
  }

  static long known(String what, long count) {
    if (count == UNKNOWN) {
      throw new IllegalStateException("the number of " + what
          + " of the reference batch is not known; expected moments that were made with it");
    }
    return count;
  }

  static String orUnknown(long count) {
    return count == UNKNOWN ? "unknown" : Long.toString(count);
  }

  /** Whether these are statistics of no example. */
  public boolean isEmpty() {
    return examples == 0;
  }

  /** Whether every mean and variance is finite. */
  public boolean isFinite() {
    return nonFiniteFeatures() == 0;
  }

  /** Number of features with a mean or variance that is NaN or infinite. */
  public int nonFiniteFeatures() {
    int count = 0;
    for (int i = 0; i < mean.length; i++) {
      if (!Double.isFinite(mean[i]) || !Double.isFinite(variance[i])) {
        count++;
      }
    }
    return count;
  }

  /** Whether the counts are the same, and mean and variance bit by bit, any NaN being one value. */
  @Override
  public boolean equals(Object object) {
    return object instanceof ReferenceMoments other
        && examples == other.examples
        && elements == other.elements
        && Arrays.equals(mean, other.mean)
        && Arrays.equals(variance, other.variance);
  }

  @Override
  public int hashCode() {
    int hash = 31 * Arrays.hashCode(mean) + Arrays.hashCode(variance);
    return 31 * (31 * hash + Long.hashCode(examples)) + Long.hashCode(elements);
  }

  /** Features and counts. */
  @Override
  public String toString() {
    return "ReferenceMoments(features=" + features() + ", examples=" + orUnknown(examples)
        + ", elements=" + orUnknown(elements) + ")";
  }

  private Object writeReplace() {
    return new Serialized(mean, variance, examples, elements);
  }

  private void readObject(ObjectInputStream in) throws InvalidObjectException {
    throw new InvalidObjectException(
        "stream holds ReferenceMoments themselves; expected their serialized form");
  }

  /** What a stream holds. Only what {@link #of} accepts is read back. */
  private static final class Serialized implements Serializable {
    private static final long serialVersionUID = 1L;

    private final double[] mean;
    private final double[] variance;
    private final long examples;
    private final long elements;

    Serialized(double[] mean, double[] variance, long examples, long elements) {
      this.mean = mean;
      this.variance = variance;
      this.examples = examples;
      this.elements = elements;
    }

    private Object readResolve() throws InvalidObjectException {
      try {
        if (examples != 0 || elements != 0) {
          return examples == UNKNOWN && elements == UNKNOWN
              ? of(mean, variance)
              : elements == UNKNOWN
                  ? of(mean, variance, examples)
                  : of(mean, variance, examples, elements);
        }
        ReferenceMoments empty = empty(mean.length);
        if (!Arrays.equals(mean, empty.mean) || !Arrays.equals(variance, empty.variance)) {
          throw new IllegalArgumentException("moments of no example have mean "
              + Arrays.toString(mean) + " and variance " + Arrays.toString(variance)
              + "; expected NaN");
        }
        return empty;
      } catch (IllegalArgumentException | NullPointerException e) {
        InvalidObjectException refusal =
            new InvalidObjectException("stream does not hold reference moments: " + e.getMessage());
        refusal.initCause(e);
        throw refusal;
      }
    }
  }
}
