package dev.vbn.kernels;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.Slopes;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.concurrent.Executor;
import org.jspecify.annotations.Nullable;

/**
 * Virtual batch normalization of numbers in this process's memory, as {@link Normalization} defines
 * it, for backends over such memory.
 *
 * <p>It computes with SIMD instructions where the JVM was started with {@code --add-modules
 * jdk.incubator.vector}. The system property {@code vbn.kernel} asks for {@code scalar} or
 * {@code simd}; if that is missing, opening fails. Large batches are spread over the calling thread
 * and others. Results do not depend on their number. Safe to call from many threads.
 */
public final class MemoryKernels implements AutoCloseable {
  private final FloatLoops floatLoops;
  private final DoubleLoops doubleLoops = new DoubleLoops();
  private final Passes<float[]> floats;
  private final Passes<double[]> doubles;

  /**
   * With threads to share the work of a call.
   *
   * @param executor stays the caller's; one that is busy or refuses costs speed, and blocks nothing
   * @param parallelism most threads to use, the calling one included
   * @throws IllegalStateException if {@link #availability} says that there are no kernels
   */
  public MemoryKernels(Executor executor, int parallelism) {
    this(LoopChoice.made().ofFloats(), executor, parallelism);
  }

  MemoryKernels(FloatLoops floatLoops, Executor executor, int parallelism) {
    this.floatLoops = floatLoops;
    Workers workers = new Workers(executor, parallelism);
    floats = new Passes<>(floatLoops, workers);
    doubles = new Passes<>(doubleLoops, workers);
  }

  /** Which kernels there are, or why the ones asked for are not. */
  public static Availability availability() {
    LoopChoice choice = LoopChoice.made();
    return choice.available()
        ? Availability.available(choice.description())
        : Availability.unavailable(choice.description(), choice.failure());
  }

  /** Mean and biased variance of each feature, or of each feature of each example. */
  public record Statistics(double[] mean, double[] variance) {}

  /**
   * Gradients of each feature.
   *
   * @param referenceMean null where the reference is detached
   * @param referenceVariance likewise
   */
  public record Gradients(
      double[] gamma,
      double[] beta,
      double @Nullable [] referenceMean,
      double @Nullable [] referenceVariance) {}

  /**
   * Mean and biased variance of a batch.
   *
   * @param scope {@link Scope#BATCH} or {@link Scope#EXAMPLE}
   */
  public Statistics statistics(Elements<?> x, Geometry geometry, Scope scope) {
    int groups = groups(geometry, scope);
    Keeper keeper = new Keeper(groups, Math.toIntExact(geometry.features()));
    run(geometry, groups, null, new Call(x, null, null), null, keeper::keep);
    return keeper.statistics;
  }

  private static final class Keeper {
    private final Statistics statistics;
    private final int features;

    Keeper(int groups, int features) {
      statistics = new Statistics(new double[groups * features], new double[groups * features]);
      this.features = features;
      // These stay for an example in which nothing counts.
      Arrays.fill(statistics.mean, Double.NaN);
      Arrays.fill(statistics.variance, Double.NaN);
    }

    void keep(int group, int first, int count, Sums sums, Lines lines) {
      int at = group * features + first;
      for (int i = 0; i < count; i++) {
        statistics.mean[at + i] = sums.mean[i];
        statistics.variance[at + i] = sums.variance[i];
      }
    }
  }

  /**
   * Normalises a batch by its own statistics, and returns them.
   *
   * @param gamma null for ones
   * @param beta null for zeros
   * @param output where to write, of the batch's type
   */
  public Statistics reference(
      Elements<?> x,
      Normalization how,
      @Nullable Elements<?> gamma,
      @Nullable Elements<?> beta,
      Elements<?> output) {
    Keeper keeper = new Keeper(1, Math.toIntExact(how.geometry().features()));
    Call call = new Call(x, null, output);
    run(how.geometry(), 1, null, call, call, (group, first, count, sums, lines) -> {
      keeper.keep(group, first, count, sums, lines);
      read(gamma, 1, first, count, lines.factor);
      read(beta, 0, first, count, lines.offset);
      for (int i = 0; i < count; i++) {
        lines.normalize(i, how.alone(sums.mean[i], sums.variance[i]));
      }
    });
    return keeper.statistics;
  }

  /** The values of features, or {@code absent} for all. */
  private static void read(
      @Nullable Elements<?> parameter, double absent, int first, int count, double[] into) {
    if (parameter == null) {
      Arrays.fill(into, 0, count, absent);
    } else {
      parameter.read(first, count, into);
    }
  }

  /**
   * Normalises a live batch.
   *
   * @param gamma null for ones
   * @param beta null for zeros
   * @param output where to write, of the batch's type; possibly {@code x} itself
   */
  public void forward(
      Elements<?> x,
      Normalization how,
      Elements<?> referenceMean,
      Elements<?> referenceVariance,
      @Nullable Elements<?> gamma,
      @Nullable Elements<?> beta,
      Elements<?> output) {
    Call call = new Call(x, null, output);
    Call summed = how.scope() == Scope.NONE ? null : call;
    int groups = Math.toIntExact(how.groups());
    run(how.geometry(), groups, null, summed, call, (group, first, count, sums, lines) -> {
      // All arrays at one index, so that C2 vectorises the loop.
      double[] mean = lines.center;
      double[] variance = lines.slope;
      referenceMean.read(first, count, mean);
      referenceVariance.read(first, count, variance);
      read(gamma, 1, first, count, lines.factor);
      read(beta, 0, first, count, lines.offset);
      for (int i = 0; i < count; i++) {
        lines.normalize(i, how.mix(mean[i], variance[i], sums.mean[i], sums.variance[i]));
      }
    });
  }

  /**
   * Gradients of {@link #forward}, or of {@link #reference} with weight 1 and its own statistics.
   *
   * @param upstream of the batch's type
   * @param gamma null for ones
   * @param dx where to write, of the batch's type; possibly {@code x} or {@code upstream} itself
   */
  public Gradients backward(
      Elements<?> x,
      Elements<?> upstream,
      Normalization how,
      Elements<?> referenceMean,
      Elements<?> referenceVariance,
      @Nullable Elements<?> gamma,
      Elements<?> dx) {
    int features = Math.toIntExact(how.geometry().features());
    int groups = Math.toIntExact(how.groups());
    double[] dgamma = new double[groups * features];
    double[] dbeta = new double[groups * features];
    double[] dmean = new double[groups * features];
    double[] dvariance = new double[groups * features];
    double[] means = values(referenceMean, 0, features);
    double[] variances = values(referenceVariance, 0, features);
    double[] centers = centers(means, x.dtype());
    boolean constant = how.weight() == 0;
    Call summed = new Call(x, upstream, dx);
    // Without live statistics dx = slope*dy, whatever x is: NaN in it must not show.
    Call written = constant ? new Call(upstream, null, dx) : summed;
    run(how.geometry(), groups, centers, summed, written, (group, first, count, sums, lines) -> {
      read(gamma, 1, first, count, lines.factor);
      int at = group * features + first;
      for (int i = 0; i < count; i++) {
        Mixture mixture =
            how.mix(means[first + i], variances[first + i], sums.mean[i], sums.variance[i]);
        double a = sums.upstream[i];
        double b = upstreamInput(sums, i, centers[first + i], mixture);
        Slopes slopes = how.slopes(mixture, lines.factor[i], how.elementsPerGroup(group), a, b);
        dbeta[at + i] = a;
        dgamma[at + i] = b;
        dmean[at + i] = slopes.referenceMean();
        dvariance[at + i] = slopes.referenceVariance();
        lines.center[i] = constant ? 0 : mixture.mean();
        lines.factor[i] = slopes.upstream();
        lines.slope[i] = slopes.input();
        lines.offset[i] = slopes.constant();
      }
    });
    boolean detached = how.referenceGradient() != ReferenceGradient.ATTACHED;
    return new Gradients(
        total(dgamma, features),
        total(dbeta, features),
        detached ? null : total(dmean, features),
        detached ? null : total(dvariance, features));
  }

  /** B, {@code sum(dy*xh)} of a feature. */
  private static double upstreamInput(Sums sums, int feature, double center, Mixture mixture) {
    double a = sums.upstream[feature];
    // An infinite deviation makes every xh 0, however large the sum.
    return mixture.deviation() == Double.POSITIVE_INFINITY && !Double.isNaN(a)
        ? 0
        : (sums.deviation[feature] + a * (center - mixture.mean())) / mixture.deviation();
  }

  private static void copy(Elements<?> elements, double[] into) {
    double[] some = new double[Math.min(into.length, Elements.LONGEST_COPY)];
    for (int at = 0; at < into.length; at += some.length) {
      int count = Math.min(some.length, into.length - at);
      elements.read(at, count, some);
      System.arraycopy(some, 0, into, at, count);
    }
  }

  /**
   * What {@code sum(dy*(x - m))} is summed around before m is known: the reference mean is m itself
   * with weights 0 and 1, and otherwise no farther from m than the elements are, whether near the
   * reference mean or the live one. The live mean would not do: one element of 1e9 carries it away,
   * even if its upstream gradient is 0.
   */
  private static double[] centers(double[] referenceMean, DType dtype) {
    double[] centers = new double[referenceMean.length];
    for (int i = 0; i < centers.length; i++) {
      double center = dtype == DType.FLOAT64 ? referenceMean[i] : (float) referenceMean[i];
      centers[i] = Math.abs(center) <= Double.MAX_VALUE ? center : 0;
    }
    return centers;
  }

  /** Sums over the groups, in their order. */
  private static double[] total(double[] ofGroups, int features) {
    if (ofGroups.length == features) {
      return ofGroups;
    }
    double[] total = Arrays.copyOf(ofGroups, features);
    for (int i = features; i < ofGroups.length; i++) {
      total[i % features] += ofGroups[i];
    }
    return total;
  }

  /**
   * Gradients of {@link #backward}, with the reference statistics as constants. Returns that of
   * gamma.
   *
   * @param second v, upstream gradient of dx
   * @param gamma null for ones
   * @param vgamma upstream gradient of dgamma; null for zeros
   * @param vbeta upstream gradient of dbeta; null for zeros
   * @param ofX where to write the gradient of x, of the batch's type
   * @param ofUpstream where to write the gradient of dy, likewise
   */
  public double[] doubleBackward(
      Elements<?> x,
      Elements<?> upstream,
      Elements<?> second,
      Normalization how,
      Elements<?> referenceMean,
      Elements<?> referenceVariance,
      @Nullable Elements<?> gamma,
      @Nullable Elements<?> vgamma,
      @Nullable Elements<?> vbeta,
      Elements<?> ofX,
      Elements<?> ofUpstream) {
    int features = Math.toIntExact(how.geometry().features());
    double[] means = values(referenceMean, 0, features);
    double[] variances = values(referenceVariance, 0, features);
    Statistics live = how.scope() == Scope.NONE ? null : statistics(x, how.geometry(), how.scope());
    Mixture[] mixtures = new Mixture[Math.toIntExact(how.groups() * features)];
    Arrays.setAll(
        mixtures,
        i -> live == null
            ? how.alone(means[i % features], variances[i % features])
            : how.mix(
                means[i % features], variances[i % features], live.mean[i], live.variance[i]));
    return new SecondGradient(how, x, upstream, second, mixtures)
        .compute(
            values(gamma, 1, features),
            values(vgamma, 0, features),
            values(vbeta, 0, features),
            ofX,
            ofUpstream);
  }

  private static double[] values(@Nullable Elements<?> parameter, double absent, int features) {
    double[] values = new double[features];
    if (parameter == null) {
      Arrays.fill(values, absent);
    } else {
      copy(parameter, values);
    }
    return values;
  }

  /**
   * The sums of each group that the gradients of {@link #backward} are made of.
   *
   * @param how its scope says what the groups are; with weight 0 the reference statistics alone
   *     normalise
   */
  public GroupSums sums(
      Elements<?> x,
      Elements<?> upstream,
      Normalization how,
      Elements<?> referenceMean,
      Elements<?> referenceVariance) {
    int features = Math.toIntExact(how.geometry().features());
    int groups = groups(how.geometry(), how.scope());
    double[] means = values(referenceMean, 0, features);
    double[] variances = values(referenceVariance, 0, features);
    double[] centers = centers(means, x.dtype());
    GroupSums all = new GroupSums(new double[groups * features], new double[groups * features]);
    Call call = new Call(x, upstream, null);
    run(how.geometry(), groups, centers, call, null, (group, first, count, sums, lines) -> {
      int at = group * features + first;
      for (int i = 0; i < count; i++) {
        Mixture mixture =
            how.mix(means[first + i], variances[first + i], sums.mean[i], sums.variance[i]);
        all.upstream()[at + i] = sums.upstream[i];
        all.upstreamInput()[at + i] = upstreamInput(sums, i, centers[first + i], mixture);
      }
    });
    return all;
  }

  /**
   * Puts each group on a line of its own.
   *
   * @param upstream dy; null where the lines are those of an output
   * @param scope what the groups are
   * @param output where to write, of the batch's type; possibly {@code x} or {@code upstream} itself
   */
  public void write(
      Elements<?> x,
      @Nullable Elements<?> upstream,
      Geometry geometry,
      Scope scope,
      GroupLines given,
      Elements<?> output) {
    double[] slope = given.slope();
    Elements<?> alone = slope == null ? upstream : null;
    Call call = alone != null ? new Call(alone, null, output) : new Call(x, upstream, output);
    int features = Math.toIntExact(geometry.features());
    run(geometry, groups(geometry, scope), null, null, call, (group, first, count, sums, lines) -> {
      int at = group * features + first;
      if (alone != null) {
        Arrays.fill(lines.center, 0, count, 0);
      } else {
        System.arraycopy(given.center(), at, lines.center, 0, count);
      }
      System.arraycopy(given.factor(), at, lines.factor, 0, count);
      System.arraycopy(given.offset(), at, lines.offset, 0, count);
      if (slope != null) {
        System.arraycopy(slope, at, lines.slope, 0, count);
      }
    });
  }

  private static int groups(Geometry geometry, Scope scope) {
    return scope == Scope.EXAMPLE ? Math.toIntExact(geometry.batch()) : 1;
  }

  /**
   * Carries the gradient of the reference statistics back to the reference batch or a chunk of it.
   *
   * @param elements elements of one feature in the whole reference batch
   * @param dr where to write, of the batch's type
   */
  public void referenceGradient(
      Elements<?> r,
      Geometry geometry,
      Elements<?> referenceMean,
      Elements<?> meanGradient,
      Elements<?> varianceGradient,
      long elements,
      Elements<?> dr) {
    Call call = new Call(r, null, dr);
    run(geometry, 1, null, null, call, (group, first, count, sums, lines) -> {
      referenceMean.read(first, count, lines.center);
      varianceGradient.read(first, count, lines.factor);
      meanGradient.read(first, count, lines.offset);
      for (int i = 0; i < count; i++) {
        lines.factor[i] *= 2.0 / elements;
        lines.offset[i] /= elements;
      }
    });
  }

  private record Call(
      Elements<?> x,
      @Nullable Elements<?> upstream,
      @Nullable Elements<?> output) {

    @SuppressWarnings("unchecked") // of one type, which the caller has looked at
    <A> Summing<A> summing(Loops<A> loops) {
      return new Summing<>(loops, (Elements<A>) x, (Elements<A>) upstream);
    }

    @SuppressWarnings("unchecked")
    <A> Writing<A> writing(Loops<A> loops) {
      return new Writing<>(
          loops, (Elements<A>) x, (Elements<A>) upstream, (Elements<A>) requireNonNull(output));
    }
  }

  private void run(
      Geometry geometry,
      int groups,
      double @Nullable [] centers,
      @Nullable Call summed,
      @Nullable Call written,
      Passes.LinesOfGroup linesOfGroup) {
    Call any = summed != null ? summed : requireNonNull(written);
    if (any.x.dtype() != DType.FLOAT64) {
      run(floats, floatLoops, geometry, groups, centers, summed, written, linesOfGroup);
    } else {
      run(doubles, doubleLoops, geometry, groups, centers, summed, written, linesOfGroup);
    }
  }

  private static <A> void run(
      Passes<A> passes,
      Loops<A> loops,
      Geometry geometry,
      int groups,
      double @Nullable [] centers,
      @Nullable Call summed,
      @Nullable Call written,
      Passes.LinesOfGroup linesOfGroup) {
    passes.run(
        geometry,
        groups,
        centers,
        summed == null ? null : summed.summing(loops),
        written == null ? null : written.writing(loops),
        linesOfGroup);
  }

  /** Frees what calls have kept for later ones. */
  @Override
  public void close() {
    floats.close();
    doubles.close();
  }
}
