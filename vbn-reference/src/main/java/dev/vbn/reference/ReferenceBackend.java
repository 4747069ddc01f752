package dev.vbn.reference;

import dev.vbn.DType;
import dev.vbn.Gradients;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceGradient;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The kernels in plain Java, in 64-bit arithmetic, tile by tile: statistics read a tile once, and
 * its output reads and writes it once more, while it is in cache. Large batches spread their tiles
 * over the common pool; each tile is computed by one thread in one order, so that the result does
 * not depend on their number.
 */
final class ReferenceBackend implements VbnBackend<HostTensor> {
  private volatile boolean closed;

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(Capability.FLOAT64, Capability.CALLER_SUPPLIED_OUTPUT);
  }

  @Override
  public long[] shape(HostTensor tensor) {
    requireOpen();
    return tensor.shape();
  }

  @Override
  public DType dtype(HostTensor tensor) {
    requireOpen();
    return tensor.dtype();
  }

  @Override
  public HostTensor fromHost(HostTensor host, DType dtype) {
    requireOpen();
    return switch (dtype) {
      case FLOAT32, FLOAT64 -> host.to(dtype);
      case FLOAT16 -> throw unsupported(Capability.FLOAT16);
      case BFLOAT16 -> throw unsupported(Capability.BFLOAT16);
    };
  }

  private static UnsupportedCapabilityException unsupported(Capability capability) {
    return new UnsupportedCapabilityException(
        capability, capability + " was asked for; expected FLOAT32 or FLOAT64");
  }

  @Override
  public HostTensor toHost(HostTensor tensor) {
    requireOpen();
    return tensor.to(tensor.dtype());
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry) {
    requireOpen();
    Strips elements = Strips.of(x, null, null);
    int rows = (int) (geometry.batch() * geometry.before());
    int features = (int) geometry.features();
    double[] mean = new double[features];
    double[] variance = new double[features];
    Tile.forEach(geometry, tile -> {
      GroupSums sums = new GroupSums(tile, rows, false);
      sums.take(elements, 0, rows);
      for (int i = 0; i < tile.features; i++) {
        mean[tile.firstFeature + i] = sums.mean(i);
        variance[tile.firstFeature + i] = sums.variance(i);
      }
    });
    return new Moments<>(HostTensor.of(mean, features), HostTensor.of(variance, features));
  }

  @Override
  public Normalized<HostTensor> forward(
      HostTensor x,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    requireOpen();
    HostTensor result = output != null ? output : HostTensor.zeros(x.dtype(), x.shape());
    Strips elements = Strips.of(x, null, result);
    int features = (int) how.geometry().features();
    int groups = groups(how);
    int rows = rowsOfGroup(how);
    double[] mean = new double[groups * features];
    double[] variance = new double[groups * features];
    Tile.forEach(how.geometry(), tile -> {
      GroupSums sums = new GroupSums(tile, rows, false);
      Affine affine = new Affine(tile, rows);
      for (int group = 0; group < groups; group++) {
        if (how.scope() != Scope.NONE) {
          sums.take(elements, group * rows, rows);
        }
        for (int i = 0; i < tile.features; i++) {
          int feature = tile.firstFeature + i;
          Mixture mixture = mix(how, reference, feature, sums.mean(i), sums.variance(i));
          mean[group * features + feature] = mixture.mean();
          variance[group * features + feature] = mixture.variance();
          affine.center[i] = mixture.mean();
          affine.factor[i] = scale(gamma, feature) / mixture.deviation();
          affine.offset[i] = beta == null ? 0 : beta.get(feature);
        }
        affine.normalize(elements, group * rows, rows);
      }
    });
    long[] shape =
        how.scope() == Scope.EXAMPLE ? new long[] {groups, features} : new long[] {features};
    return new Normalized<>(
        result, new Moments<>(HostTensor.of(mean, shape), HostTensor.of(variance, shape)));
  }

  private static Mixture mix(
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      int feature,
      double liveMean,
      double liveVariance) {
    return reference == null
        ? Mixture.of(liveMean, liveVariance, how.epsilon())
        : Mixture.of(
            reference.mean().get(feature),
            reference.variance().get(feature),
            liveMean,
            liveVariance,
            how);
  }

  private static double scale(@Nullable HostTensor gamma, int feature) {
    return gamma == null ? 1 : gamma.get(feature);
  }

  @Override
  public Gradients<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    requireOpen();
    HostTensor dx = HostTensor.zeros(x.dtype(), x.shape());
    Strips elements = Strips.of(x, upstream, dx);
    int features = (int) how.geometry().features();
    int groups = groups(how);
    int rows = rowsOfGroup(how);
    double n = how.geometry().elementsPerFeature() / (double) groups;
    double w = how.weight();
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    double[] dMean = new double[features];
    double[] dVariance = new double[features];
    Tile.forEach(how.geometry(), tile -> {
      GroupSums sums = new GroupSums(tile, rows, true);
      Affine affine = new Affine(tile, rows);
      for (int group = 0; group < groups; group++) {
        sums.take(elements, group * rows, rows);
        for (int i = 0; i < tile.features; i++) {
          int feature = tile.firstFeature + i;
          Mixture mixture = mix(how, reference, feature, sums.mean(i), sums.variance(i));
          double s = mixture.deviation();
          double factor = scale(gamma, feature) / s;
          double a = sums.upstream(i);
          double b = sums.upstreamAround(i, mixture.mean()) / s;
          double dm = -factor * a;
          double dv = -factor / (2 * s) * b;
          dbeta[feature] += a;
          dgamma[feature] += b;
          dMean[feature] += (1 - w) * dm - 2 * w * (1 - w) * mixture.difference() * dv;
          dVariance[feature] += (1 - w) * dv;
          affine.center[i] = mixture.mean();
          affine.factor[i] = factor;
          affine.slope[i] = factor * w / n * b / s;
          affine.offset[i] = factor * w / n * a;
        }
        if (w == 0) {
          affine.scaleUpstream(elements, group * rows, rows);
        } else {
          affine.differentiate(elements, group * rows, rows);
        }
      }
    });
    return new Gradients<>(
        dx,
        HostTensor.of(dgamma, features).to(x.dtype().parameterType()),
        HostTensor.of(dbeta, features).to(x.dtype().parameterType()),
        reference == null || how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : new Moments<>(HostTensor.of(dMean, features), HostTensor.of(dVariance, features)));
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    requireOpen();
    HostTensor dr = HostTensor.zeros(r.dtype(), r.shape());
    Strips strips = Strips.of(r, null, dr);
    int rows = (int) (geometry.batch() * geometry.before());
    Tile.forEach(geometry, tile -> {
      Affine affine = new Affine(tile, rows);
      for (int i = 0; i < tile.features; i++) {
        int feature = tile.firstFeature + i;
        affine.center[i] = statistics.mean().get(feature);
        affine.factor[i] = 2 * gradient.variance().get(feature) / elements;
        affine.offset[i] = gradient.mean().get(feature) / elements;
      }
      affine.normalize(strips, 0, rows);
    });
    return dr;
  }

  private static int groups(Normalization how) {
    return how.scope() == Scope.EXAMPLE ? (int) how.geometry().batch() : 1;
  }

  private static int rowsOfGroup(Normalization how) {
    return (int) (how.geometry().batch() * how.geometry().before()) / groups(how);
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("reference backend used after close; expected an open one");
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
