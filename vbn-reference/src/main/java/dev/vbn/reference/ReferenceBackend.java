package dev.vbn.reference;

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
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** The backend on arrays: says what the {@link Passes} over a batch sum and write. */
final class ReferenceBackend implements VbnBackend<HostTensor> {
  private static final Set<Capability> CAPABILITIES =
      Set.of(Capability.FLOAT64, Capability.CALLER_SUPPLIED_OUTPUT);

  private final Kernels kernels;
  private final Passes passes;
  private volatile boolean closed;

  ReferenceBackend(Kernels kernels, Workers workers) {
    this.kernels = kernels;
    passes = new Passes(workers);
  }

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return CAPABILITIES;
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
    int features = (int) geometry.features();
    double[] mean = new double[features];
    double[] variance = new double[features];
    passes.run(geometry, 1, kernels.of(x, null, null), null, (tile, group, workspace) -> {
      for (int i = 0; i < tile.features; i++) {
        mean[tile.firstFeature + i] = workspace.group.mean[i];
        variance[tile.firstFeature + i] = workspace.group.variance(i);
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
    Kernel kernel = kernels.of(x, null, result);
    int features = (int) how.geometry().features();
    int groups = groups(how);
    double[] mean = new double[groups * features];
    double[] variance = new double[groups * features];
    Kernel summed = how.scope() == Scope.NONE ? null : kernel;
    passes.run(how.geometry(), groups, summed, kernel, (tile, group, workspace) -> {
      Mixture mixture = workspace.mixture;
      mixture.mix(workspace.group, tile, reference, how);
      int at = group * features + tile.firstFeature;
      System.arraycopy(mixture.mean, 0, mean, at, tile.features);
      System.arraycopy(mixture.variance, 0, variance, at, tile.features);
      Lines lines = workspace.lines;
      read(gamma, 1, tile, lines.factor);
      read(beta, 0, tile, lines.offset);
      for (int i = 0; i < tile.features; i++) {
        lines.center[i] = mixture.mean[i];
        lines.factor[i] /= mixture.deviation[i];
        lines.slope[i] = 0;
      }
    });
    long[] shape =
        how.scope() == Scope.EXAMPLE ? new long[] {groups, features} : new long[] {features};
    return new Normalized<>(
        result, new Moments<>(HostTensor.of(mean, shape), HostTensor.of(variance, shape)));
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
  public Gradients<HostTensor> backward(
      HostTensor x,
      HostTensor upstream,
      Normalization how,
      @Nullable Moments<HostTensor> reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor dx) {
    requireOpen();
    HostTensor result = dx != null ? dx : HostTensor.zeros(x.dtype(), x.shape());
    int features = (int) how.geometry().features();
    int groups = groups(how);
    double n = how.geometry().elementsPerFeature() / (double) groups;
    double w = how.weight();
    double[] dgamma = new double[groups * features];
    double[] dbeta = new double[groups * features];
    double[] dMean = new double[groups * features];
    double[] dVariance = new double[groups * features];
    Kernel summed = kernels.of(x, upstream, result);
    // Without live statistics dx = factor*dy, whatever x: NaN in it must not show.
    Kernel written = w == 0 ? kernels.of(upstream, null, result) : summed;
    passes.run(how.geometry(), groups, summed, written, (tile, group, workspace) -> {
      Mixture mixture = workspace.mixture;
      mixture.mix(workspace.group, tile, reference, how);
      Lines lines = workspace.lines;
      read(gamma, 1, tile, lines.factor);
      for (int i = 0; i < tile.features; i++) {
        double s = mixture.deviation[i];
        double factor = lines.factor[i] / s;
        double a = workspace.group.upstream(i);
        double b = workspace.group.upstreamAround(i, mixture.mean[i]) / s;
        double dv = -factor / (2 * s) * b;
        int at = group * features + tile.firstFeature + i;
        dbeta[at] = a;
        dgamma[at] = b;
        dMean[at] = (1 - w) * -factor * a - 2 * w * (1 - w) * mixture.difference[i] * dv;
        dVariance[at] = (1 - w) * dv;
        lines.center[i] = w == 0 ? 0 : mixture.mean[i];
        lines.factor[i] = factor;
        lines.slope[i] = factor * w / n * b / s;
        lines.offset[i] = w == 0 ? 0 : factor * w / n * a;
      }
    });
    return new Gradients<>(
        result,
        total(dgamma, features).to(x.dtype().parameterType()),
        total(dbeta, features).to(x.dtype().parameterType()),
        reference == null || how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : new Moments<>(total(dMean, features), total(dVariance, features)));
  }

  /** Sums over the groups, in their order. */
  private static HostTensor total(double[] ofGroups, int features) {
    double[] total = Arrays.copyOf(ofGroups, features);
    for (int i = features; i < ofGroups.length; i++) {
      total[i % features] += ofGroups[i];
    }
    return HostTensor.of(total, features);
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
    passes.run(geometry, 1, null, kernels.of(r, null, dr), (tile, group, workspace) -> {
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

  private static int groups(Normalization how) {
    return how.scope() == Scope.EXAMPLE ? (int) how.geometry().batch() : 1;
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
