package dev.vbn.nd4j;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.SecondSlopes;
import dev.vbn.spi.SecondSums;
import dev.vbn.spi.Slopes;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The kernels in plain Java on the arrays' native memory, in 64-bit arithmetic: ND4J's own
 * reductions of floats add up in 32 bits. Arrays that are not dense and row-major are copied first.
 * Results belong to no workspace.
 */
final class Nd4jKernels implements Kernels<INDArray> {
  private final Nd4jTensors tensors = new Nd4jTensors();
  private final int parallelism;

  /** On at most {@code parallelism} threads a call, the calling one included. */
  Nd4jKernels(int parallelism) {
    this.parallelism = parallelism;
  }

  @Override
  public TensorAccess<INDArray> tensors() {
    return tensors;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.FLOAT16,
        Capability.BFLOAT16,
        Capability.CALLER_SUPPLIED_OUTPUT,
        Capability.SUBNORMALS,
        Capability.TENSORS_OUTLIVE_BACKEND,
        Capability.DOUBLE_BACKWARD);
  }

  @Override
  public Moments<INDArray> statistics(INDArray x, Geometry geometry, Scope scope) {
    long features = geometry.features();
    long groups = scope == Scope.EXAMPLE ? geometry.batch() : 1;
    long[] shape = scope == Scope.EXAMPLE ? new long[] {groups, features} : new long[] {features};
    try (Dense batch = Dense.of(x);
        Dense mean = Dense.result(null, DataType.DOUBLE, shape);
        Dense variance = Dense.result(null, DataType.DOUBLE, shape)) {
      Elements input = batch.elements();
      Elements means = mean.elements();
      Elements variances = variance.elements();
      Tile.forEach(geometry, groups, parallelism, tile -> {
        Elements from = input.fork();
        GroupSums sums = new GroupSums(tile);
        for (long group = 0; group < groups; group++) {
          sums.take(from, group);
          long at = group * features + tile.firstFeature;
          means.write(at, tile.features, sums.mean);
          variances.write(at, tile.features, sums.variance);
        }
      });
      return new Moments<>(mean.deliver(), variance.deliver());
    }
  }

  @Override
  public Normalized<INDArray> reference(
      INDArray x, Normalization how, @Nullable INDArray gamma, @Nullable INDArray beta) {
    PerFeature given = PerFeature.of(how.geometry(), null, gamma, beta);
    PerFeature own = PerFeature.zeros(how.geometry());
    INDArray output = normalize(x, how, given, null, own);
    return new Normalized<>(output, moments(own.mean, own.variance));
  }

  @Override
  public INDArray forward(
      INDArray x,
      Normalization how,
      Moments<INDArray> reference,
      @Nullable INDArray gamma,
      @Nullable INDArray beta,
      @Nullable INDArray output) {
    PerFeature given = PerFeature.of(how.geometry(), reference, gamma, beta);
    return normalize(x, how, given, output, null);
  }

  /**
   * Normalises a batch.
   *
   * @param statistics takes those that normalise, if given
   */
  private INDArray normalize(
      INDArray x,
      Normalization how,
      PerFeature given,
      @Nullable INDArray output,
      @Nullable PerFeature statistics) {
    try (Dense batch = Dense.of(x);
        Dense result = Dense.result(output, x.dataType(), x.shape())) {
      Elements input = batch.elements();
      Elements out = result.elements();
      Tile.forEach(how.geometry(), how.groups(), parallelism, tile -> {
        Elements from = input.fork();
        Elements to = out.fork();
        GroupSums sums = new GroupSums(tile);
        Affine affine = new Affine(tile);
        for (long group = 0; group < how.groups(); group++) {
          if (how.weight() != 0) {
            sums.take(from, group);
          }
          for (int i = 0; i < tile.features; i++) {
            int feature = tile.firstFeature + i;
            Mixture mixture = given.mix(how, feature, sums.mean[i], sums.variance[i]);
            affine.center[i] = mixture.mean();
            affine.factor[i] = given.gamma[feature] / mixture.deviation();
            affine.constant[i] = given.beta[feature];
            if (statistics != null) {
              statistics.mean[feature] = mixture.mean();
              statistics.variance[feature] = mixture.variance();
            }
          }
          affine.apply(from, to, group);
        }
      });
      return result.deliver();
    }
  }

  @Override
  public Differentiated<INDArray> backward(
      INDArray x,
      INDArray upstream,
      Normalization how,
      Moments<INDArray> reference,
      @Nullable INDArray gamma,
      @Nullable INDArray dx) {
    PerFeature given = PerFeature.of(how.geometry(), reference, gamma, null);
    PerFeature gradients = PerFeature.zeros(how.geometry());
    try (Dense batch = Dense.of(x);
        Dense incoming = Dense.of(upstream);
        Dense result = Dense.result(dx, x.dataType(), x.shape())) {
      Elements input = batch.elements();
      Elements gradient = incoming.elements();
      Elements out = result.elements();
      Tile.forEach(how.geometry(), how.groups(), parallelism, tile -> {
        Elements from = input.fork();
        Elements dy = gradient.fork();
        Elements to = out.fork();
        GroupSums live = new GroupSums(tile);
        UpstreamSums sums = new UpstreamSums(tile);
        Mixture[] mixtures = new Mixture[tile.features];
        Affine affine = new Affine(tile);
        for (long group = 0; group < how.groups(); group++) {
          if (how.weight() != 0) {
            live.take(from, group);
          }
          for (int i = 0; i < tile.features; i++) {
            mixtures[i] = given.mix(how, tile.firstFeature + i, live.mean[i], live.variance[i]);
          }
          sums.take(from, dy, group, mixtures);
          for (int i = 0; i < tile.features; i++) {
            int feature = tile.firstFeature + i;
            double a = sums.a[i];
            double b = sums.b[i];
            Slopes slopes = how.slopes(mixtures[i], given.gamma[feature], a, b);
            gradients.beta[feature] += a;
            gradients.gamma[feature] += b;
            gradients.mean[feature] += slopes.referenceMean();
            gradients.variance[feature] += slopes.referenceVariance();
            affine.center[i] = mixtures[i].mean();
            affine.upstream[i] = slopes.upstream();
            affine.factor[i] = slopes.input();
            affine.constant[i] = slopes.constant();
          }
          if (how.weight() == 0) {
            affine.scaleUpstream(dy, to, group);
          } else {
            affine.apply(from, dy, to, group);
          }
        }
      });
      DType type = tensors.dtype(x).parameterType();
      return new Differentiated<>(
          result.deliver(),
          Nd4jTensors.ofFeatures(type, gradients.gamma),
          Nd4jTensors.ofFeatures(type, gradients.beta),
          how.referenceGradient() == ReferenceGradient.DETACHED
              ? null
              : moments(gradients.mean, gradients.variance));
    }
  }

  @Override
  public TwiceDifferentiated<INDArray> doubleBackward(
      INDArray x,
      INDArray upstream,
      GradientUpstream<INDArray> second,
      Normalization how,
      Moments<INDArray> reference,
      @Nullable INDArray gamma) {
    PerFeature given = PerFeature.of(how.geometry(), reference, gamma, null);
    int features = Math.toIntExact(how.geometry().features());
    double[] vgamma = PerFeature.values(features, second.dgamma(), 0);
    double[] vbeta = PerFeature.values(features, second.dbeta(), 0);
    double[] ofGamma = new double[features];
    boolean alone = how.weight() == 0;
    try (Dense batch = Dense.of(x);
        Dense incoming = Dense.of(upstream);
        Dense directions = Dense.of(second.dx());
        Dense resultX = Dense.result(null, x.dataType(), x.shape());
        Dense resultUpstream = Dense.result(null, x.dataType(), x.shape())) {
      Elements input = batch.elements();
      Elements gradient = incoming.elements();
      Elements direction = directions.elements();
      Elements outX = resultX.elements();
      Elements outUpstream = resultUpstream.elements();
      Tile.forEach(how.geometry(), how.groups(), parallelism, tile -> {
        Elements from = input.fork();
        Elements dy = gradient.fork();
        Elements v = direction.fork();
        Elements toX = outX.fork();
        Elements toUpstream = outUpstream.fork();
        GroupSums live = new GroupSums(tile);
        SecondPass pass = new SecondPass(tile);
        Mixture[] mixtures = new Mixture[tile.features];
        SecondSlopes[] slopes = new SecondSlopes[tile.features];
        for (long group = 0; group < how.groups(); group++) {
          if (!alone) {
            live.take(from, group);
          }
          for (int i = 0; i < tile.features; i++) {
            mixtures[i] = given.mix(how, tile.firstFeature + i, live.mean[i], live.variance[i]);
          }
          SecondSums[] sums = pass.sums(from, dy, v, group, mixtures);
          for (int i = 0; i < tile.features; i++) {
            int feature = tile.firstFeature + i;
            slopes[i] = how.secondSlopes(
                mixtures[i], given.gamma[feature], sums[i], vgamma[feature], vbeta[feature]);
            ofGamma[feature] += slopes[i].gamma();
          }
          pass.write(from, dy, v, group, slopes, alone, toX, toUpstream);
        }
      });
      return new TwiceDifferentiated<>(
          resultX.deliver(),
          resultUpstream.deliver(),
          Nd4jTensors.ofFeatures(tensors.dtype(x).parameterType(), ofGamma));
    }
  }

  @Override
  public INDArray referenceGradient(
      INDArray r,
      Geometry geometry,
      Moments<INDArray> statistics,
      Moments<INDArray> gradient,
      long elements) {
    PerFeature given = PerFeature.of(geometry, statistics, null, null);
    PerFeature gradients = PerFeature.of(geometry, gradient, null, null);
    try (Dense batch = Dense.of(r);
        Dense result = Dense.result(null, r.dataType(), r.shape())) {
      Elements input = batch.elements();
      Elements out = result.elements();
      Tile.forEach(geometry, 1, parallelism, tile -> {
        Affine affine = new Affine(tile);
        for (int i = 0; i < tile.features; i++) {
          int feature = tile.firstFeature + i;
          affine.center[i] = given.mean[feature];
          affine.factor[i] = 2 * gradients.variance[feature] / elements;
          affine.constant[i] = gradients.mean[feature] / elements;
        }
        affine.apply(input.fork(), out.fork(), 0);
      });
      return result.deliver();
    }
  }

  private static Moments<INDArray> moments(double[] mean, double[] variance) {
    return new Moments<>(
        Nd4jTensors.ofFeatures(DType.FLOAT64, mean),
        Nd4jTensors.ofFeatures(DType.FLOAT64, variance));
  }

  /** What each feature is given, or what it gets, on the host. */
  private record PerFeature(double[] mean, double[] variance, double[] gamma, double[] beta) {

    static PerFeature zeros(Geometry geometry) {
      int features = Math.toIntExact(geometry.features());
      return new PerFeature(
          new double[features], new double[features], new double[features], new double[features]);
    }

    /** Statistics are 0 where there are none, gamma 1 and beta 0. */
    static PerFeature of(
        Geometry geometry,
        @Nullable Moments<INDArray> statistics,
        @Nullable INDArray gamma,
        @Nullable INDArray beta) {
      int features = Math.toIntExact(geometry.features());
      return new PerFeature(
          values(features, statistics == null ? null : statistics.mean(), 0),
          values(features, statistics == null ? null : statistics.variance(), 0),
          values(features, gamma, 1),
          values(features, beta, 0));
    }

    private static double[] values(int features, @Nullable INDArray array, double otherwise) {
      if (array != null) {
        return new Nd4jTensors().toHost(array).toDoubles();
      }
      double[] values = new double[features];
      Arrays.fill(values, otherwise);
      return values;
    }

    Mixture mix(Normalization how, int feature, double liveMean, double liveVariance) {
      return how.mix(mean[feature], variance[feature], liveMean, liveVariance);
    }
  }

  /** Nothing is held. */
  @Override
  public void close() {}
}
