package dev.vbn.conformance.offender;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Counted;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.jspecify.annotations.Nullable;

/**
 * A correct backend, as short and as plain as can be. Every step that an author might get wrong is
 * a method, so that an offender overrides just that.
 */
class PlainBackend implements Kernels<Strided> {
  static final Set<Capability> CAPABILITIES = Collections.unmodifiableSet(EnumSet.of(
      Capability.FLOAT64,
      Capability.FLOAT64_STATISTICS,
      Capability.CALLER_SUPPLIED_OUTPUT,
      Capability.SUBNORMALS,
      Capability.MASK,
      Capability.TENSORS_OUTLIVE_BACKEND,
      Capability.DOUBLE_BACKWARD));

  private final Set<Capability> capabilities;
  private final AtomicBoolean closed = new AtomicBoolean();

  PlainBackend() {
    this(CAPABILITIES);
  }

  PlainBackend(Set<Capability> capabilities) {
    this.capabilities = capabilities;
  }

  @Override
  public Set<Capability> capabilities() {
    return capabilities;
  }

  @Override
  public TensorAccess<Strided> tensors() {
    return new Access();
  }

  /** Tensors of this backend. */
  class Access implements TensorAccess<Strided> {
    @Override
    public long[] shape(Strided tensor) {
      tensor.requireReadable();
      return tensor.shape().clone();
    }

    @Override
    public DType dtype(Strided tensor) {
      tensor.requireReadable();
      return tensor.dtype();
    }

    @Override
    public Strided fromHost(HostTensor host, DType dtype) {
      return made(Strided.of(host, dtype));
    }

    @Override
    public HostTensor toHost(Strided tensor) {
      tensor.requireReadable();
      return tensor.toHost();
    }

    @Override
    public void release(Strided tensor) {
      tensor.ends().released().set(true);
    }

    @Override
    public @Nullable MemoryRange memory(Strided tensor) {
      return tensor.memory();
    }
  }

  /** Every tensor that this backend makes comes by here. */
  Strided made(Strided tensor) {
    return capabilities.contains(Capability.TENSORS_OUTLIVE_BACKEND)
        ? tensor
        : tensor.endingWith(closed);
  }

  private Strided zeros(DType dtype, long... shape) {
    return made(Strided.zeros(dtype, shape));
  }

  private Moments<Strided> moments(long... shape) {
    DType dtype =
        capabilities.contains(Capability.FLOAT64_STATISTICS) ? DType.FLOAT64 : DType.FLOAT32;
    return new Moments<>(zeros(dtype, shape), zeros(dtype, shape));
  }

  private Strided vector(DType dtype, double[] values) {
    return made(Strided.of(HostTensor.of(values, values.length), dtype));
  }

  // What a group of elements goes through, in the order of the formulas.

  /** Mean, and biased variance in two passes. */
  double[] liveStatistics(double[] x) {
    double mean = sum(x) / x.length;
    double[] squares = new double[x.length];
    for (int i = 0; i < x.length; i++) {
      squares[i] = (x[i] - mean) * (x[i] - mean);
    }
    return new double[] {mean, sum(squares) / x.length};
  }

  /** In blocks, pairwise: in 64 bits one running sum of a long row is too coarse. */
  double sum(double[] terms) {
    return sum(terms, 0, terms.length);
  }

  private static double sum(double[] terms, int from, int to) {
    if (to - from <= 64) {
      double sum = 0;
      for (int i = from; i < to; i++) {
        sum += terms[i];
      }
      return sum;
    }
    int middle = (from + to) >>> 1;
    return sum(terms, from, middle) + sum(terms, middle, to);
  }

  /** Statistics that normalise a group; d is the distance of the means. */
  record Mixed(double d, double m, double v) {}

  Mixed mix(double mr, double vr, double ma, double va, double w) {
    double d = ma - mr;
    return new Mixed(d, mr + w * d, (1 - w) * vr + w * va + w * (1 - w) * d * d);
  }

  double deviation(double v, double epsilon) {
    return Math.sqrt(v + epsilon);
  }

  double normalized(double x, double m, double s) {
    return (x - m) / s;
  }

  double output(double xh, double gamma, double beta) {
    return gamma * xh + beta;
  }

  double gamma(@Nullable Strided gamma, int feature) {
    return gamma == null ? 1 : gamma.get(feature);
  }

  double beta(@Nullable Strided beta, int feature) {
    return beta == null ? 0 : beta.get(feature);
  }

  /** The elements of a group; every element of a batch is read here. */
  double[] gather(Group group, Strided tensor) {
    return group.gather(tensor);
  }

  /** Writes the elements of a group; every element of a batch is written here. */
  void scatter(Group group, double[] values, Strided tensor) {
    group.scatter(values, tensor);
  }

  /** What counts, by example, position before the feature and position behind it; null for all. */
  boolean @Nullable [] counts(Geometry geometry) {
    Counted counted = geometry.counted();
    if (counted == null) {
      return null;
    }
    int before = (int) geometry.before();
    int after = (int) geometry.after();
    boolean[] counts = new boolean[(int) geometry.elementsPerFeature()];
    for (int row = 0; row < counts.length / after; row++) {
      for (int a = 0; a < after; a++) {
        counts[row * after + a] = counted.counts(row / before, row % before, a);
      }
    }
    return counts;
  }

  /** What is written where a group's elements do not count. */
  double masked(double before) {
    return 0;
  }

  /** Writes what a result has where nothing counts. */
  private void blank(Group group, Strided result) {
    if (group.counts() != null) {
      group.masked().forEach((at, index) -> result.set(index, masked(result.get(index))));
    }
  }

  /** Where a result of a batch goes. */
  Strided result(@Nullable Strided supplied, Strided like) {
    return supplied != null ? supplied : zeros(like.dtype(), like.shape());
  }

  /** Adds what a group gives to the sum of its feature. */
  double add(double sum, double ofGroup) {
    return sum + ofGroup;
  }

  /** dx of one element, of n that share A and B. */
  double inputGradient(
      double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
    double through = w == 0 ? 0 : w / n * (a + xh * b);
    return gamma / s * (dy - through);
  }

  /** What a group adds to the gradient of the reference mean. */
  double meanGradient(double w, double d, double dm, double dv) {
    return (1 - w) * dm - 2 * w * (1 - w) * d * dv;
  }

  /** What a group adds to the gradient of the reference variance. */
  double varianceGradient(double w, double dv) {
    return (1 - w) * dv;
  }

  // What a second gradient is made of, with A, B of dy, V, W of v, and k = gamma/s*w/n.

  /** Q, which the second gradient of gamma is made of; d is the sum of dy*v. */
  double secondProduct(double d, double share, double a, double b, double v, double w) {
    return share == 0 ? d : d - share * (a * v + b * w);
  }

  /** What reaches every x through the mean. */
  double secondThroughMean(double vgamma, double k, double a, double b, double v, double w) {
    return vgamma * a - k * (a * w + b * v);
  }

  /** What reaches x through the deviation, in proportion to xh. */
  double secondThroughDeviation(
      double vgamma, double k, double b, double w, double factor, double q) {
    return vgamma * b - 2 * k * b * w + factor * q;
  }

  /** The second gradient of one element of dy. */
  double secondUpstream(double v, double xh, double factor, double cross, double vbeta, double kv) {
    return factor * v + cross * xh + vbeta - kv;
  }

  /** An upstream gradient of a parameter's gradient; 0 where there is none. */
  double vgamma(@Nullable Strided vgamma, int feature) {
    return vgamma == null ? 0 : vgamma.get(feature);
  }

  double vbeta(@Nullable Strided vbeta, int feature) {
    return vbeta == null ? 0 : vbeta.get(feature);
  }

  /** The gradient of a reference element that lies {@code deviation} from the mean. */
  double reached(double deviation, double dm, double dv, long elements) {
    return (dm + 2 * deviation * dv) / elements;
  }

  /** A mean or variance of the reference batch. */
  double statistic(Strided ofFeatures, int feature) {
    return ofFeatures.get(feature);
  }

  /** Statistics of {@code x}, the values of one group, mixed with the reference's. */
  Mixed mixed(double[] x, Normalization how, @Nullable Moments<Strided> reference, int feature) {
    if (how.weight() == 1 || reference == null) {
      double[] live = liveStatistics(x);
      return new Mixed(0, live[0], live[1]);
    }
    double mr = statistic(reference.mean(), feature);
    double vr = statistic(reference.variance(), feature);
    if (how.scope() == Scope.NONE) {
      return new Mixed(0, mr, vr);
    }
    double[] live = liveStatistics(x);
    return mix(mr, vr, live[0], live[1], how.weight());
  }

  // The kernels.

  @Override
  public Moments<Strided> statistics(Strided x, Geometry geometry, Scope scope) {
    Moments<Strided> moments = scope == Scope.EXAMPLE
        ? moments(geometry.batch(), geometry.features())
        : moments(geometry.features());
    for (Group group : groups(geometry, scope)) {
      double[] live = liveStatistics(gather(group, x));
      moments.mean().set(group.index(), live[0]);
      moments.variance().set(group.index(), live[1]);
    }
    return moments;
  }

  List<Group> groups(Geometry geometry, Scope scope) {
    return Group.of(geometry, counts(geometry), scope);
  }

  @Override
  public Normalized<Strided> reference(
      Strided x, Normalization how, @Nullable Strided gamma, @Nullable Strided beta) {
    return new Normalized<>(
        normalize(x, how, null, gamma, beta, null), statistics(x, how.geometry(), Scope.BATCH));
  }

  @Override
  public Strided forward(
      Strided x,
      Normalization how,
      Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided beta,
      @Nullable Strided output) {
    return normalize(x, how, reference, gamma, beta, output);
  }

  private Strided normalize(
      Strided x,
      Normalization how,
      @Nullable Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided beta,
      @Nullable Strided output) {
    Strided y = result(output, x);
    for (Group group : groups(how.geometry(), how.scope())) {
      blank(group, y);
      if (group.size() == 0) {
        continue; // an example that is no part of the batch
      }
      double[] values = gather(group, x);
      Mixed mixed = mixed(values, how, reference, group.feature());
      double s = deviation(mixed.v(), how.epsilon());
      double scale = gamma(gamma, group.feature());
      double offset = beta(beta, group.feature());
      for (int i = 0; i < values.length; i++) {
        values[i] = output(normalized(values[i], mixed.m(), s), scale, offset);
      }
      scatter(group, values, y);
    }
    return y;
  }

  @Override
  public Differentiated<Strided> backward(
      Strided x,
      Strided upstream,
      Normalization how,
      Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided dx) {
    int features = (int) how.geometry().features();
    double w = how.weight();
    Strided result = result(dx, x);
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    double[] dmr = new double[features];
    double[] dvr = new double[features];
    for (Group group : groups(how.geometry(), how.scope())) {
      int feature = group.feature();
      blank(group, result);
      if (group.size() == 0) {
        continue; // an example that is no part of the batch
      }
      double[] values = gather(group, x);
      double[] dy = gather(group, upstream);
      Mixed mixed = mixed(values, how, reference, feature);
      double s = deviation(mixed.v(), how.epsilon());
      double scale = gamma(gamma, feature);
      double[] dyxh = new double[values.length];
      for (int i = 0; i < values.length; i++) {
        values[i] = normalized(values[i], mixed.m(), s);
        dyxh[i] = dy[i] * values[i];
      }
      double a = sum(dy);
      double b = sum(dyxh);
      for (int i = 0; i < values.length; i++) {
        values[i] = inputGradient(dy[i], values[i], scale, s, w, values.length, a, b);
      }
      scatter(group, values, result);
      dgamma[feature] = add(dgamma[feature], b);
      dbeta[feature] = add(dbeta[feature], a);
      double dm = -scale / s * a;
      double dv = -scale / (2 * s * s) * b;
      dmr[feature] = add(dmr[feature], meanGradient(w, mixed.d(), dm, dv));
      dvr[feature] = add(dvr[feature], varianceGradient(w, dv));
    }
    return new Differentiated<>(
        result,
        vector(x.dtype().parameterType(), dgamma),
        vector(x.dtype().parameterType(), dbeta),
        how.referenceGradient() == ReferenceGradient.ATTACHED ? dreference(dmr, dvr) : null);
  }

  private Moments<Strided> dreference(double[] dmr, double[] dvr) {
    Moments<Strided> gradient = moments(dmr.length);
    for (int i = 0; i < dmr.length; i++) {
      gradient.mean().set(i, dmr[i]);
      gradient.variance().set(i, dvr[i]);
    }
    return gradient;
  }

  @Override
  public TwiceDifferentiated<Strided> doubleBackward(
      Strided x,
      Strided upstream,
      GradientUpstream<Strided> second,
      Normalization how,
      Moments<Strided> reference,
      @Nullable Strided gamma) {
    Strided ofX = result(null, x);
    Strided ofUpstream = result(null, upstream);
    double[] ofGamma = new double[(int) how.geometry().features()];
    for (Group group : groups(how.geometry(), how.scope())) {
      int feature = group.feature();
      blank(group, ofX);
      blank(group, ofUpstream);
      if (group.size() == 0) {
        continue;
      }
      double[] xh = gather(group, x);
      double[] dy = gather(group, upstream);
      double[] v = gather(group, second.dx());
      int n = xh.length;
      Mixed mixed = mixed(xh, how, reference, feature);
      double s = deviation(mixed.v(), how.epsilon());
      double[] products = new double[n];
      double[] dyxh = new double[n];
      double[] vxh = new double[n];
      for (int i = 0; i < n; i++) {
        xh[i] = normalized(xh[i], mixed.m(), s);
        products[i] = dy[i] * v[i];
        dyxh[i] = dy[i] * xh[i];
        vxh[i] = v[i] * xh[i];
      }
      double a = sum(dy);
      double b = sum(dyxh);
      double sumV = sum(v);
      double w = sum(vxh);
      double share = how.weight() / n;
      double factor = gamma(gamma, feature) / s;
      double k = share * factor;
      double vgamma = vgamma(second.dgamma(), feature);
      double vbeta = vbeta(second.dbeta(), feature);
      boolean alone = share == 0; // then sums reach no element: 0 * NaN is NaN
      double q = secondProduct(sum(products), share, a, b, sumV, w);
      double cross = alone ? vgamma : vgamma - k * w;
      double mean = alone ? 0 : share * secondThroughMean(vgamma, k, a, b, sumV, w);
      double slope = alone ? 0 : share * secondThroughDeviation(vgamma, k, b, w, factor, q);
      for (int i = 0; i < n; i++) {
        double through = alone ? 0 : k * b * v[i] + mean + slope * xh[i];
        double ofDy = secondUpstream(v[i], xh[i], factor, cross, vbeta, alone ? 0 : k * sumV);
        xh[i] = (cross * dy[i] - through) / s;
        dy[i] = ofDy;
      }
      scatter(group, xh, ofX);
      scatter(group, dy, ofUpstream);
      ofGamma[feature] = add(ofGamma[feature], q / s);
    }
    return new TwiceDifferentiated<>(ofX, ofUpstream, vector(x.dtype().parameterType(), ofGamma));
  }

  @Override
  public Strided referenceGradient(
      Strided r,
      Geometry geometry,
      Moments<Strided> statistics,
      Moments<Strided> gradient,
      long elements) {
    Strided dr = result(null, r);
    for (Group group : groups(geometry, Scope.BATCH)) {
      blank(group, dr);
      double[] values = gather(group, r);
      for (int i = 0; i < values.length; i++) {
        double deviation = values[i] - statistics.mean().get(group.feature());
        values[i] = reached(
            deviation,
            gradient.mean().get(group.feature()),
            gradient.variance().get(group.feature()),
            elements);
      }
      scatter(group, values, dr);
    }
    return dr;
  }

  @Override
  public void close() {
    closed.set(true);
  }
}
