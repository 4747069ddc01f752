package com.example.nio;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.Slopes;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import java.util.Set;

/** Virtual batch normalization of {@link NioTensor}, written to be read. */
final class NioKernels implements Kernels<NioTensor> {
  @Override
  public TensorAccess<NioTensor> tensors() {
    return new NioTensors();
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.SUBNORMALS,
        Capability.TENSORS_OUTLIVE_BACKEND);
  }

  @Override
  public Moments<NioTensor> statistics(NioTensor x, Geometry geometry, Scope scope) {
    Groups groups = new Groups(x, geometry, scope);
    long[] shape = scope == Scope.EXAMPLE
        ? new long[] {geometry.batch(), geometry.features()}
        : new long[] {geometry.features()};
    return moments(groups.mean, groups.variance, shape);
  }

  @Override
  public Normalized<NioTensor> reference(
      NioTensor x, Normalization how, NioTensor gamma, NioTensor beta) {
    Moments<NioTensor> own = statistics(x, how.geometry(), Scope.BATCH);
    return new Normalized<>(forward(x, how, own, gamma, beta, null), own);
  }

  @Override
  public NioTensor forward(
      NioTensor x,
      Normalization how,
      Moments<NioTensor> reference,
      NioTensor gamma,
      NioTensor beta,
      NioTensor output) { // always null: CALLER_SUPPLIED_OUTPUT is not among the capabilities
    Groups groups = new Groups(x, how.geometry(), how.scope());
    Mixture[] mixtures = groups.mix(how, reference);
    return NioTensor.of(x.dtype(), x.shape(), i -> {
      int g = groups.of(i);
      double scale = gamma == null ? 1 : gamma.get(g % groups.features);
      double offset = beta == null ? 0 : beta.get(g % groups.features);
      return scale * ((x.get(i) - mixtures[g].mean()) / mixtures[g].deviation()) + offset;
    });
  }

  @Override
  public Differentiated<NioTensor> backward(
      NioTensor x,
      NioTensor dy,
      Normalization how,
      Moments<NioTensor> reference,
      NioTensor gamma,
      NioTensor output) { // always null, as in forward
    Groups groups = new Groups(x, how.geometry(), how.scope());
    Mixture[] mixtures = groups.mix(how, reference);
    double[] a = groups.sums(dy::get);
    double[] b = groups.sums(i -> {
      Mixture of = mixtures[groups.of(i)];
      return dy.get(i) * ((x.get(i) - of.mean()) / of.deviation());
    });
    Slopes[] slopes = new Slopes[groups.count];
    double[] dgamma = new double[groups.features];
    double[] dbeta = new double[groups.features];
    double[] dmr = new double[groups.features];
    double[] dvr = new double[groups.features];
    for (int g = 0; g < groups.count; g++) {
      int feature = g % groups.features;
      double scale = gamma == null ? 1 : gamma.get(feature);
      slopes[g] =
          how.slopes(mixtures[g], scale, how.elementsPerGroup(g / groups.features), a[g], b[g]);
      dgamma[feature] += b[g];
      dbeta[feature] += a[g];
      dmr[feature] += slopes[g].referenceMean();
      dvr[feature] += slopes[g].referenceVariance();
    }
    NioTensor dx = NioTensor.of(x.dtype(), x.shape(), i -> {
      int g = groups.of(i);
      double own = slopes[g].upstream() * dy.get(i);
      // At weight 0 an element's gradient is its own affair: 0 * NaN is NaN.
      return how.weight() == 0
          ? own
          : own + slopes[g].input() * (x.get(i) - mixtures[g].mean()) + slopes[g].constant();
    });
    DType type = x.dtype().parameterType();
    long[] shape = {groups.features};
    return new Differentiated<>(
        dx,
        NioTensor.of(type, shape, i -> dgamma[i]),
        NioTensor.of(type, shape, i -> dbeta[i]),
        how.referenceGradient() == ReferenceGradient.ATTACHED ? moments(dmr, dvr, shape) : null);
  }

  @Override
  public NioTensor referenceGradient(
      NioTensor r,
      Geometry geometry,
      Moments<NioTensor> statistics,
      Moments<NioTensor> gradient,
      long elements) {
    return NioTensor.of(r.dtype(), r.shape(), i -> {
      int feature = (int) (i / geometry.after() % geometry.features());
      double deviation = r.get(i) - statistics.mean().get(feature);
      double dmr = gradient.mean().get(feature);
      double dvr = gradient.variance().get(feature);
      return dmr / elements + 2 * deviation * dvr / elements;
    });
  }

  /** Statistics are FLOAT64 with batches of either type. */
  private static Moments<NioTensor> moments(double[] mean, double[] variance, long... shape) {
    return new Moments<>(
        NioTensor.of(DType.FLOAT64, shape, i -> mean[i]),
        NioTensor.of(DType.FLOAT64, shape, i -> variance[i]));
  }

  @Override
  public void close() {} // buffers are the garbage collector's
}
