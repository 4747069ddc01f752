package dev.vbn;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.Slopes;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A pass whose two sweeps the backend makes one at a time, while what lies between them is computed
 * here, in 64 bits: for parameters that are not one for each feature, for live statistics that come
 * from several workers or are constants, and for batches whose batch axis is not first.
 *
 * <p>A group is a feature of the whole batch, or of one example where something differs between the
 * examples. A set is the groups that share live statistics.
 */
final class GroupedPass<T> {
  private final VbnBackend<T> backend;
  private final BatchView view;
  private final Normalization how;
  private final ReferenceMoments reference;

  /** Live statistics of all workers; null if the batch's own are used. */
  private final @Nullable ReferenceMoments live;

  private final Parameter gamma;
  private final Parameter beta;

  private final int features;
  private final int groups;
  private final Geometry geometry;
  private final Scope groupScope;
  private final boolean byExample;

  /** Whether sets are those of {@link Scope#EXAMPLE}, and not the features. */
  private final boolean mixedByExample;

  /**
   * @param how of the layer and the batch, its geometry the view's
   * @param reference of the reference batch; of the batch itself with weight 1
   * @throws UnsupportedCapabilityException if the backend lacks {@link Capability#CONDITIONAL}
   */
  GroupedPass(
      VbnBackend<T> backend,
      BatchView view,
      Normalization how,
      Parameters<T> parameters,
      ReferenceMoments reference,
      @Nullable ReferenceMoments live) {
    backend.require(
        Capability.CONDITIONAL,
        "parameters of another shape than [features], a batch axis that is not the first, shared"
            + " live statistics or ALL_DETACHED were given");
    this.backend = backend;
    this.view = view;
    this.how = how;
    this.reference = reference;
    this.live = live;
    features = Math.toIntExact(view.geometry().features());
    gamma = new Parameter(values(parameters.gamma()), parameters.gammaForm(), 1);
    beta = new Parameter(values(parameters.beta()), parameters.betaForm(), 0);
    mixedByExample = how.scope() == Scope.EXAMPLE;
    byExample = mixedByExample || gamma.isByExample() || beta.isByExample();
    Geometry apart = view.byExample();
    if (byExample && apart == null) {
      throw new IllegalArgumentException(
          "examples are to be told apart in a batch of " + view.batch()
              + " examples that are neither in front nor next to the features, or are masked;"
              + " expected the batch axis in front, or next to the feature axis and no mask");
    }
    geometry = byExample && apart != null ? apart : view.geometry();
    groupScope = byExample ? view.scopeByExample() : Scope.BATCH;
    groups = byExample ? view.groups() : features;
  }

  private double @Nullable [] values(@Nullable T parameter) {
    return parameter == null ? null : backend.toHost(parameter).toDoubles();
  }

  /** Gamma or beta on the host. */
  private final class Parameter {
    private final double @Nullable [] values;
    private final @Nullable ParameterForm form;
    private final double absent;

    Parameter(double @Nullable [] values, @Nullable ParameterForm form, double absent) {
      this.values = values;
      this.form = form;
      this.absent = absent;
    }

    boolean isByExample() {
      return form != null && form.byExample();
    }

    private int index(int group) {
      return form == null ? feature(group) : form.index(example(group), feature(group), features);
    }

    double of(int group) {
      return values == null ? absent : values[index(group)];
    }

    /** The gradient, in the parameter's shape. */
    HostTensor gradient(double[] ofGroups) {
      double[] sums = new double[values == null ? features : values.length];
      for (int i = 0; i < groups; i++) {
        sums[index(i)] += ofGroups[i];
      }
      return HostTensor.of(sums, form == null ? new long[] {features} : form.shape());
    }
  }

  private int feature(int group) {
    return byExample ? view.feature(group) : group;
  }

  private int example(int group) {
    return byExample ? view.example(group) : 0;
  }

  private int set(int group) {
    return mixedByExample ? group : feature(group);
  }

  /** Elements that share live statistics with a group; 0 for an example of which nothing counts. */
  private long elements(int group) {
    if (mixedByExample) {
      return view.elements(example(group));
    }
    return live != null ? live.elements() : view.geometry().countedElements();
  }

  T forward(T x, @Nullable T output) {
    Mixture[] mixtures = mixtures(x);
    double[] center = new double[groups];
    double[] factor = new double[groups];
    double[] offset = new double[groups];
    for (int i = 0; i < groups; i++) {
      if (elements(i) > 0) {
        Mixture mixture = mixtures[set(i)];
        center[i] = mixture.mean();
        factor[i] = gamma.of(i) / mixture.deviation();
        offset[i] = beta.of(i);
      }
    }
    GroupLines lines = new GroupLines(center, factor, null, offset);
    return backend.write(x, null, geometry, groupScope, lines, output);
  }

  /** Of each example. */
  MixedStatistics mixedStatistics(T x) {
    Mixture[] mixtures = mixtures(x);
    double[] mean = new double[groups];
    double[] variance = new double[groups];
    for (int i = 0; i < groups; i++) {
      int at = example(i) * features + feature(i);
      mean[at] = mixtures[i].mean();
      variance[at] = mixtures[i].variance();
    }
    return new MixedStatistics(mean, variance, new long[] {view.batch(), features});
  }

  /** What normalises each set. */
  private Mixture[] mixtures(T x) {
    double[] mr = reference.mean();
    double[] vr = reference.variance();
    Mixture[] mixtures = new Mixture[mixedByExample ? groups : features];
    if (how.weight() == 0 || how.weight() == 1) {
      Arrays.setAll(mixtures, i -> how.alone(mr[i], vr[i]));
      return mixtures;
    }
    double[] ma;
    double[] va;
    if (live != null) {
      ma = live.mean();
      va = live.variance();
    } else {
      Moments<T> own = mixedByExample
          ? backend.statistics(x, geometry, groupScope)
          : backend.statistics(x, view.geometry(), Scope.BATCH);
      try {
        ma = backend.toHost(own.mean()).toDoubles();
        va = backend.toHost(own.variance()).toDoubles();
      } finally {
        backend.releaseBoth(own);
      }
    }
    for (int i = 0; i < mixtures.length; i++) {
      int feature = mixedByExample ? feature(i) : i;
      mixtures[i] = how.mix(mr[feature], vr[feature], ma[i], va[i]);
    }
    return mixtures;
  }

  /** The sums over this batch, of each set. */
  GradientSums sums(T x, T upstream) {
    return weighted(groupSums(x, upstream, mixtures(x)));
  }

  private GradientSums weighted(GroupSums sums) {
    double[] a = new double[mixedByExample ? groups : features];
    double[] b = new double[a.length];
    for (int i = 0; i < groups; i++) {
      a[set(i)] += gamma.of(i) * sums.upstream()[i];
      b[set(i)] += gamma.of(i) * sums.upstreamInput()[i];
    }
    return new GradientSums(a, b);
  }

  /** Statistics that are already mixed go to the kernels as if they were a reference batch's. */
  private GroupSums groupSums(T x, T upstream, Mixture[] mixtures) {
    boolean mixed = !mixedByExample;
    double[] mr = reference.mean();
    double[] vr = reference.variance();
    double[] mean = new double[Math.toIntExact(geometry.features())];
    double[] variance = new double[mean.length];
    for (int i = 0; i < mean.length; i++) {
      int feature = mean.length == groups ? feature(i) : i;
      mean[i] = mixed ? mixtures[feature].mean() : mr[feature];
      variance[i] = mixed ? mixtures[feature].variance() : vr[feature];
    }
    Scope scope = mixed && groupScope == Scope.BATCH ? Scope.NONE : groupScope;
    Normalization groupHow = new Normalization(
        geometry, scope, mixed ? 0 : how.weight(), how.epsilon(), ReferenceGradient.DETACHED);
    Made made = new Made();
    try {
      DType type = backend.statisticsType();
      T meanTensor = made.add(HostTensor.of(mean, mean.length), type);
      T varianceTensor = made.add(HostTensor.of(variance, mean.length), type);
      return backend.sums(x, upstream, groupHow, new Moments<>(meanTensor, varianceTensor));
    } finally {
      made.release();
    }
  }

  /**
   * The gradients.
   *
   * @param total sums over all workers; null where this batch is the whole
   */
  Gradients<T> backward(T x, T upstream, @Nullable GradientSums total, @Nullable T dx) {
    Mixture[] mixtures = mixtures(x);
    GroupSums sums = groupSums(x, upstream, mixtures);
    GradientSums own = weighted(sums);
    double[] a = (total == null ? own : total).upstream();
    double[] b = (total == null ? own : total).upstreamInput();
    boolean constant =
        how.weight() == 0 || how.referenceGradient() == ReferenceGradient.ALL_DETACHED;
    double[] center = new double[groups];
    double[] factor = new double[groups];
    double[] slope = new double[groups];
    double[] offset = new double[groups];
    for (int i = 0; i < groups; i++) {
      long elements = elements(i);
      if (elements > 0) {
        Mixture mixture = mixtures[set(i)];
        Slopes slopes = how.slopes(mixture, 1, elements, a[set(i)], b[set(i)]);
        center[i] = mixture.mean();
        factor[i] = gamma.of(i) / mixture.deviation();
        slope[i] = slopes.input();
        offset[i] = constant ? 0 : slopes.constant();
      }
    }
    GroupLines lines = new GroupLines(center, factor, constant ? null : slope, offset);
    DType type = backend.dtype(x).parameterType();
    Made made = new Made();
    try {
      T dgamma = made.add(gamma.gradient(sums.upstreamInput()), type);
      T dbeta = made.add(beta.gradient(sums.upstream()), type);
      Moments<T> dreference = how.referenceGradient() == ReferenceGradient.ATTACHED
          ? dreference(made, mixtures, own)
          : null;
      T result = backend.write(x, upstream, geometry, groupScope, lines, dx);
      Part<T> input =
          dx == null ? Part.made(backend, "dx", result) : Part.supplied(backend, "dx", result);
      return new Gradients<>(backend, input, dgamma, dbeta, dreference);
    } catch (RuntimeException | Error e) {
      made.releaseAfter(e);
      throw e;
    }
  }

  private Moments<T> dreference(Made made, Mixture[] mixtures, GradientSums own) {
    double[] a = own.upstream();
    double[] b = own.upstreamInput();
    double[] dmean = new double[features];
    double[] dvariance = new double[features];
    for (int i = 0; i < a.length; i++) { // a set has the elements of any of its groups
      long elements = mixedByExample ? elements(i) : elements(0);
      if (elements > 0) {
        Slopes slopes = how.slopes(mixtures[i], 1, elements, a[i], b[i]);
        int feature = mixedByExample ? feature(i) : i;
        dmean[feature] += slopes.referenceMean();
        dvariance[feature] += slopes.referenceVariance();
      }
    }
    DType type = backend.statisticsType();
    T mean = made.add(HostTensor.of(dmean, features), type);
    return new Moments<>(mean, made.add(HostTensor.of(dvariance, features), type));
  }

  /** Tensors made on the way. */
  private final class Made {
    private final List<T> tensors = new ArrayList<>(4);

    T add(HostTensor values, DType type) {
      T tensor = backend.fromHost(values, type);
      tensors.add(tensor);
      return tensor;
    }

    void release() {
      for (T tensor : tensors) {
        backend.release(tensor);
      }
    }

    void releaseAfter(Throwable failure) {
      for (T tensor : tensors) {
        backend.releaseAfter(failure, tensor);
      }
    }
  }
}
