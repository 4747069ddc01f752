package dev.vbn.conformance.offender;

import dev.vbn.Gradients;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * A correct backend, as short and as plain as can be. Every step that an author might get wrong is
 * a method, so that an offender overrides just that.
 */
class PlainBackend implements VbnBackend<Strided> {
  static final Set<Capability> CAPABILITIES =
      Set.of(Capability.FLOAT64, Capability.CALLER_SUPPLIED_OUTPUT);

  private final Set<Capability> capabilities;
  private volatile boolean closed;

  PlainBackend() {
    this(CAPABILITIES);
  }

  PlainBackend(Set<Capability> capabilities) {
    this.capabilities = capabilities;
  }

  @Override
  public Class<Strided> tensorType() {
    return Strided.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return capabilities;
  }

  @Override
  public long[] shape(Strided tensor) {
    requireOpen();
    return tensor.shape().clone();
  }

  @Override
  public DType dtype(Strided tensor) {
    requireOpen();
    return tensor.dtype();
  }

  @Override
  public Strided fromHost(HostTensor host, DType dtype) {
    requireOpen();
    if (dtype != DType.FLOAT32) {
      Capability needed = Capability.valueOf(dtype.name());
      if (!capabilities.contains(needed)) {
        throw new UnsupportedCapabilityException(needed, dtype + " was asked for");
      }
    }
    return Strided.of(host, dtype);
  }

  @Override
  public HostTensor toHost(Strided tensor) {
    requireOpen();
    return tensor.toHost();
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

  double output(double xh, double gamma, double beta) {
    return gamma * xh + beta;
  }

  /** dx of one element, of n that share A and B. */
  double inputGradient(
      double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
    double through = w == 0 ? 0 : w / n * (a + xh * b);
    return gamma / s * (dy - through);
  }

  /** Statistics of {@code x}, the values of one group, mixed with the reference's. */
  Mixed mixed(double[] x, Normalization how, @Nullable Moments<Strided> reference, int feature) {
    if (reference == null) {
      double[] live = liveStatistics(x);
      return new Mixed(0, live[0], live[1]);
    }
    double mr = reference.mean().get(feature);
    double vr = reference.variance().get(feature);
    if (how.scope() == Scope.NONE) {
      return new Mixed(0, mr, vr);
    }
    double[] live = liveStatistics(x);
    return mix(mr, vr, live[0], live[1], how.weight());
  }

  private static double parameter(@Nullable Strided tensor, int feature, double absent) {
    return tensor == null ? absent : tensor.get(feature);
  }

  // The kernels.

  @Override
  public Moments<Strided> statistics(Strided x, Geometry geometry) {
    requireOpen();
    Moments<Strided> moments = zeros(x.dtype(), geometry.features());
    for (Group group : groups(geometry, Scope.BATCH)) {
      double[] live = liveStatistics(group.gather(x));
      moments.mean().set(group.feature(), live[0]);
      moments.variance().set(group.feature(), live[1]);
    }
    return moments;
  }

  List<Group> groups(Geometry geometry, Scope scope) {
    return Group.of(geometry, scope);
  }

  private Moments<Strided> zeros(DType dtype, long... shape) {
    DType type = statisticsType(dtype);
    return new Moments<>(Strided.zeros(type, shape), Strided.zeros(type, shape));
  }

  @Override
  public Normalized<Strided> forward(
      Strided x,
      Normalization how,
      @Nullable Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided beta,
      @Nullable Strided output) {
    requireOpen();
    Strided y = output != null ? output : Strided.zeros(x.dtype(), x.shape());
    long features = how.geometry().features();
    Moments<Strided> moments = how.scope() == Scope.EXAMPLE
        ? zeros(x.dtype(), how.geometry().batch(), features)
        : zeros(x.dtype(), features);
    for (Group group : groups(how.geometry(), how.scope())) {
      double[] values = group.gather(x);
      Mixed mixed = mixed(values, how, reference, group.feature());
      double s = deviation(mixed.v(), how.epsilon());
      double scale = parameter(gamma, group.feature(), 1);
      double offset = parameter(beta, group.feature(), 0);
      for (int i = 0; i < values.length; i++) {
        values[i] = output((values[i] - mixed.m()) / s, scale, offset);
      }
      group.scatter(values, y);
      moments.mean().set(group.index(), mixed.m());
      moments.variance().set(group.index(), mixed.v());
    }
    return new Normalized<>(y, moments);
  }

  @Override
  public Gradients<Strided> backward(
      Strided x,
      Strided upstream,
      Normalization how,
      @Nullable Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided dx) {
    requireOpen();
    int features = (int) how.geometry().features();
    double w = how.weight();
    Strided result = dx != null ? dx : Strided.zeros(x.dtype(), x.shape());
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    Moments<Strided> toReference = zeros(x.dtype(), features);
    double[] dmr = new double[features];
    double[] dvr = new double[features];
    for (Group group : groups(how.geometry(), how.scope())) {
      int feature = group.feature();
      double[] values = group.gather(x);
      double[] dy = group.gather(upstream);
      Mixed mixed = mixed(values, how, reference, feature);
      double s = deviation(mixed.v(), how.epsilon());
      double scale = parameter(gamma, feature, 1);
      double[] dyxh = new double[values.length];
      for (int i = 0; i < values.length; i++) {
        values[i] = (values[i] - mixed.m()) / s;
        dyxh[i] = dy[i] * values[i];
      }
      double a = sum(dy);
      double b = sum(dyxh);
      for (int i = 0; i < values.length; i++) {
        values[i] = inputGradient(dy[i], values[i], scale, s, w, values.length, a, b);
      }
      group.scatter(values, result);
      dgamma[feature] += b;
      dbeta[feature] += a;
      double dm = -scale / s * a;
      double dv = -scale / (2 * s * s) * b;
      dmr[feature] += meanGradient(w, mixed.d(), dm, dv);
      dvr[feature] += (1 - w) * dv;
    }
    for (int i = 0; i < features; i++) {
      toReference.mean().set(i, dmr[i]);
      toReference.variance().set(i, dvr[i]);
    }
    boolean reaches = reference != null && how.referenceGradient() == ReferenceGradient.ATTACHED;
    return new Gradients<>(
        result,
        vector(x.dtype().parameterType(), dgamma),
        vector(x.dtype().parameterType(), dbeta),
        reaches ? toReference : null);
  }

  /** What a group adds to the gradient of the reference mean. */
  double meanGradient(double w, double d, double dm, double dv) {
    return (1 - w) * dm - 2 * w * (1 - w) * d * dv;
  }

  private static Strided vector(DType dtype, double[] values) {
    return Strided.of(HostTensor.of(values, values.length), dtype);
  }

  @Override
  public Strided referenceGradient(
      Strided r,
      Geometry geometry,
      Moments<Strided> statistics,
      Moments<Strided> gradient,
      long elements) {
    requireOpen();
    Strided dr = Strided.zeros(r.dtype(), r.shape());
    for (Group group : groups(geometry, Scope.BATCH)) {
      double[] values = group.gather(r);
      for (int i = 0; i < values.length; i++) {
        double deviation = values[i] - statistics.mean().get(group.feature());
        values[i] = (gradient.mean().get(group.feature())
                + 2 * deviation * gradient.variance().get(group.feature()))
            / elements;
      }
      group.scatter(values, dr);
    }
    return dr;
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("plain backend used after close");
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
