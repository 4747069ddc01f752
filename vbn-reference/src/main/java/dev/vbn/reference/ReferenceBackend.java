package dev.vbn.reference;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.HostTensorAccess;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.Slopes;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The backend on arrays: says what the {@link Passes} over a batch sum and write. */
final class ReferenceBackend implements Kernels<HostTensor> {
  private static final Set<Capability> CAPABILITIES = Set.of(
      Capability.FLOAT64,
      Capability.FLOAT64_STATISTICS,
      Capability.CALLER_SUPPLIED_OUTPUT,
      Capability.SUBNORMALS,
      Capability.TENSORS_OUTLIVE_BACKEND,
      Capability.DOUBLE_BACKWARD);

  private final HostTensorAccess tensors = new HostTensorAccess();
  private final KernelChoice choice;
  private final Passes passes;

  ReferenceBackend(KernelChoice choice, Workers workers) {
    this.choice = choice;
    passes = new Passes(workers);
  }

  @Override
  public TensorAccess<HostTensor> tensors() {
    return tensors;
  }

  @Override
  public Set<Capability> capabilities() {
    return CAPABILITIES;
  }

  @Override
  public Moments<HostTensor> statistics(HostTensor x, Geometry geometry, Scope scope) {
    int features = (int) geometry.features();
    int groups = scope == Scope.EXAMPLE ? (int) geometry.batch() : 1;
    Statistics statistics = new Statistics(groups, features);
    passes.run(geometry, groups, choice.of(x, null, null, null), null, statistics::keep);
    return scope == Scope.EXAMPLE
        ? statistics.tensors(groups, features)
        : statistics.tensors(features);
  }

  /** Mean and variance of each group and feature. */
  private static final class Statistics {
    private final double[] mean;
    private final double[] variance;
    private final int features;

    Statistics(int groups, int features) {
      mean = new double[groups * features];
      variance = new double[groups * features];
      this.features = features;
    }

    void keep(Tile tile, int group, Workspace workspace) {
      int at = group * features + tile.firstFeature;
      for (int i = 0; i < tile.features; i++) {
        mean[at + i] = workspace.group.mean[i];
        variance[at + i] = workspace.group.variance(i);
      }
    }

    Moments<HostTensor> tensors(long... shape) {
      return new Moments<>(HostTensor.of(mean, shape), HostTensor.of(variance, shape));
    }
  }

  @Override
  public Normalized<HostTensor> reference(
      HostTensor x, Normalization how, @Nullable HostTensor gamma, @Nullable HostTensor beta) {
    HostTensor output = HostTensor.zeros(x.dtype(), x.shape());
    int features = (int) how.geometry().features();
    Statistics statistics = new Statistics(1, features);
    Kernel kernel = choice.of(x, null, null, output);
    passes.run(how.geometry(), 1, kernel, kernel, (tile, group, workspace) -> {
      statistics.keep(tile, group, workspace);
      GroupSums sums = workspace.group;
      Lines lines = workspace.lines;
      read(gamma, 1, tile, lines.factor);
      read(beta, 0, tile, lines.offset);
      for (int i = 0; i < tile.features; i++) {
        lines.normalize(i, how.alone(sums.mean[i], sums.variance(i)));
      }
    });
    return new Normalized<>(output, statistics.tensors(features));
  }

  @Override
  public HostTensor forward(
      HostTensor x,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      @Nullable HostTensor output) {
    HostTensor result = output != null ? output : HostTensor.zeros(x.dtype(), x.shape());
    double[] referenceMean = reference.mean().doubles();
    double[] referenceVariance = reference.variance().doubles();
    Kernel kernel = choice.of(x, null, null, result);
    Kernel summed = how.scope() == Scope.NONE ? null : kernel;
    passes.run(how.geometry(), (int) how.groups(), summed, kernel, (tile, group, workspace) -> {
      GroupSums sums = workspace.group;
      Lines lines = workspace.lines;
      read(gamma, 1, tile, lines.factor);
      read(beta, 0, tile, lines.offset);
      for (int i = 0, feature = tile.firstFeature; i < tile.features; i++, feature++) {
        lines.normalize(
            i,
            how.mix(
                referenceMean[feature],
                referenceVariance[feature],
                sums.mean[i],
                sums.variance(i)));
      }
    });
    return result;
  }

  /** The values of a tile's features, or {@code absent} for all. */
  private static void read(
      @Nullable HostTensor parameter, double absent, Tile tile, double[] into) {
    if (parameter == null) {
      Arrays.fill(into, 0, tile.features, absent);
    } else if (parameter.dtype() == DType.FLOAT64) {
      System.arraycopy(parameter.doubles(), tile.firstFeature, into, 0, tile.features);
    } else {
      float[] floats = parameter.floats();
      for (int i = 0; i < tile.features; i++) {
        into[i] = floats[tile.firstFeature + i];
      }
    }
  }

  @Override
  public Differentiated<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx) {
    HostTensor result = dx != null ? dx : HostTensor.zeros(x.dtype(), x.shape());
    double[] referenceMean = reference.mean().doubles();
    double[] referenceVariance = reference.variance().doubles();
    int features = (int) how.geometry().features();
    int groups = (int) how.groups();
    double[] dgamma = new double[groups * features];
    double[] dbeta = new double[groups * features];
    double[] dmean = new double[groups * features];
    double[] dvariance = new double[groups * features];
    boolean constant = how.weight() == 0;
    double[] centers = centers(referenceMean, x.dtype());
    Kernel summed = choice.of(x, upstream, centers, result);
    // Without live statistics dx = slope*dy, whatever x: NaN in it must not show.
    Kernel written = constant ? choice.of(upstream, null, null, result) : summed;
    passes.run(how.geometry(), groups, summed, written, (tile, group, workspace) -> {
      GroupSums sums = workspace.group;
      Lines lines = workspace.lines;
      read(gamma, 1, tile, lines.factor);
      int at = group * features + tile.firstFeature;
      for (int i = 0, feature = tile.firstFeature; i < tile.features; i++, feature++) {
        Mixture mixture = how.mix(
            referenceMean[feature], referenceVariance[feature], sums.mean[i], sums.variance(i));
        double a = sums.upstream(i);
        double around = sums.upstreamDeviation(i) + a * (centers[feature] - mixture.mean());
        double b = around / mixture.deviation();
        Slopes slopes = how.slopes(mixture, lines.factor[i], a, b);
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
    DType parameterType = x.dtype().parameterType();
    return new Differentiated<>(
        result,
        total(dgamma, features, parameterType),
        total(dbeta, features, parameterType),
        how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : new Moments<>(
                total(dmean, features, DType.FLOAT64), total(dvariance, features, DType.FLOAT64)));
  }

  /**
   * Where {@code sum(dy*(x - m))} is summed around, before m is known: the reference mean is m itself
   * with weights 0 and 1, and otherwise no farther from m than the elements are, be they near the
   * reference mean or near the live one. The live mean would not do: one element of 1e9 carries it
   * away, even if its upstream gradient is 0.
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
  private static HostTensor total(double[] ofGroups, int features, DType dtype) {
    double[] total = ofGroups.length == features ? ofGroups : Arrays.copyOf(ofGroups, features);
    for (int i = features; i < ofGroups.length; i++) {
      total[i % features] += ofGroups[i];
    }
    if (dtype == DType.FLOAT64) {
      return HostTensor.of(total, features);
    }
    float[] rounded = new float[features];
    for (int i = 0; i < features; i++) {
      rounded[i] = (float) total[i];
    }
    return HostTensor.of(rounded, features);
  }

  @Override
  public TwiceDifferentiated<HostTensor> doubleBackward(
      HostTensor x,
      HostTensor upstream,
      GradientUpstream<HostTensor> second,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    Moments<HostTensor> live =
        how.scope() == Scope.NONE ? null : statistics(x, how.geometry(), how.scope());
    return new SecondGradient(x, upstream, second.dx(), how, reference, live)
        .compute(second, gamma);
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    HostTensor dr = HostTensor.zeros(r.dtype(), r.shape());
    passes.run(geometry, 1, null, choice.of(r, null, null, dr), (tile, group, workspace) -> {
      Lines lines = workspace.lines;
      read(statistics.mean(), 0, tile, lines.center);
      read(gradient.variance(), 0, tile, lines.factor);
      read(gradient.mean(), 0, tile, lines.offset);
      for (int i = 0; i < tile.features; i++) {
        lines.factor[i] *= 2.0 / elements;
        lines.slope[i] = 0;
        lines.offset[i] /= elements;
      }
    });
    return dr;
  }

  @Override
  public void close() {
    passes.close();
  }
}
