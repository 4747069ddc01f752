package com.example.nio;

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

/** Virtual batch normalization of {@link NioTensor}, written to be read. */
final class NioBackend implements VbnBackend<NioTensor> {
  private volatile boolean closed;

  @Override
  public Class<NioTensor> tensorType() {
    return NioTensor.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(Capability.FLOAT64);
  }

  @Override
  public long[] shape(NioTensor tensor) {
    requireOpen();
    return tensor.shape().clone();
  }

  @Override
  public DType dtype(NioTensor tensor) {
    requireOpen();
    return tensor.dtype();
  }

  @Override
  public NioTensor fromHost(HostTensor host, DType dtype) {
    requireOpen();
    if (dtype != DType.FLOAT32 && dtype != DType.FLOAT64) {
      throw new UnsupportedCapabilityException(
          Capability.valueOf(dtype.name()), dtype + " was asked for; expected FLOAT32 or FLOAT64");
    }
    return NioTensor.of(dtype, host.shape(), host::get);
  }

  @Override
  public HostTensor toHost(NioTensor tensor) {
    requireOpen();
    double[] values = new double[tensor.size()];
    Arrays.setAll(values, tensor::get);
    return HostTensor.of(values, tensor.shape()).to(tensor.dtype());
  }

  @Override
  public Moments<NioTensor> statistics(NioTensor x, Geometry geometry) {
    requireOpen();
    Normalization whole =
        new Normalization(geometry, Scope.BATCH, 1, 0, ReferenceGradient.DETACHED);
    Groups groups = new Groups(x, whole, null);
    return moments(groups.m, groups.v, groups.features);
  }

  @Override
  public Normalized<NioTensor> forward(
      NioTensor x,
      Normalization how,
      Moments<NioTensor> reference,
      NioTensor gamma,
      NioTensor beta,
      NioTensor output) { // always null: CALLER_SUPPLIED_OUTPUT is not among the capabilities
    requireOpen();
    Groups groups = new Groups(x, how, reference);
    NioTensor y = NioTensor.of(x.dtype(), x.shape(), i -> {
      int feature = groups.of(i) % groups.features;
      double scale = gamma == null ? 1 : gamma.get(feature);
      double offset = beta == null ? 0 : beta.get(feature);
      return scale * groups.xh(i) + offset;
    });
    long[] shape = how.scope() == Scope.EXAMPLE
        ? new long[] {how.geometry().batch(), groups.features}
        : new long[] {groups.features};
    return new Normalized<>(y, moments(groups.m, groups.v, shape));
  }

  @Override
  public Gradients<NioTensor> backward(
      NioTensor x,
      NioTensor dy,
      Normalization how,
      Moments<NioTensor> reference,
      NioTensor gamma,
      NioTensor output) { // always null, as in forward
    requireOpen();
    Groups groups = new Groups(x, how, reference);
    double[] a = groups.sums(dy::get);
    double[] b = groups.sums(i -> dy.get(i) * groups.xh(i));
    int features = groups.features;
    double w = how.weight();
    double[] factor = new double[groups.count]; // gamma/s
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    double[] dmr = new double[features];
    double[] dvr = new double[features];
    for (int g = 0; g < groups.count; g++) {
      int feature = g % features;
      factor[g] = (gamma == null ? 1 : gamma.get(feature)) / groups.s[g];
      double dm = -factor[g] * a[g];
      double dv = -factor[g] / (2 * groups.s[g]) * b[g];
      dgamma[feature] += b[g];
      dbeta[feature] += a[g];
      dmr[feature] += (1 - w) * dm - 2 * w * (1 - w) * groups.d[g] * dv;
      dvr[feature] += (1 - w) * dv;
    }

    NioTensor dx = NioTensor.of(x.dtype(), x.shape(), i -> {
      int g = groups.of(i);
      // Weight 0 leaves an element's gradient to itself: 0 * NaN is NaN.
      double shared = w == 0 ? 0 : w / groups.elements * (a[g] + groups.xh(i) * b[g]);
      return factor[g] * (dy.get(i) - shared);
    });
    DType type = x.dtype().parameterType();
    long[] shape = {features};
    return new Gradients<>(
        dx,
        NioTensor.of(type, shape, i -> dgamma[i]),
        NioTensor.of(type, shape, i -> dbeta[i]),
        reference == null || how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : moments(dmr, dvr, shape));
  }

  @Override
  public NioTensor referenceGradient(
      NioTensor r,
      Geometry geometry,
      Moments<NioTensor> statistics,
      Moments<NioTensor> gradient,
      long elements) {
    requireOpen();
    return NioTensor.of(r.dtype(), r.shape(), i -> {
      int feature = (int) (i / geometry.after() % geometry.features());
      double deviation = r.get(i) - statistics.mean().get(feature);
      double dmr = gradient.mean().get(feature);
      double dvr = gradient.variance().get(feature);
      return (dmr + 2 * deviation * dvr) / elements;
    });
  }

  /** Statistics are FLOAT64 wherever a backend has that type. */
  private static Moments<NioTensor> moments(double[] mean, double[] variance, long... shape) {
    return new Moments<>(
        NioTensor.of(DType.FLOAT64, shape, i -> mean[i]),
        NioTensor.of(DType.FLOAT64, shape, i -> variance[i]));
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("nio backend used after close; expected an open one");
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
