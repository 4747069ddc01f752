package dev.vbn.nd4j;

import dev.vbn.Gradients;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.lang.ref.Reference;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * The kernels in plain Java on the arrays' native memory, in 64-bit arithmetic: ND4J's own
 * reductions of floats add up in 32 bits. Arrays that are not dense and row-major are copied first.
 * Results belong to no workspace.
 */
@SuppressWarnings({
  "ReachabilityFenceUsage", // where an exception skips a fence, the memory is used no more
  "ReferenceEquality" // identity is meant: is it a copy?
})
final class Nd4jBackend implements VbnBackend<INDArray> {
  private volatile boolean closed;

  @Override
  public Class<INDArray> tensorType() {
    return INDArray.class;
  }

  @Override
  public Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT16,
        Capability.BFLOAT16,
        Capability.CALLER_SUPPLIED_OUTPUT);
  }

  @Override
  public long[] shape(INDArray tensor) {
    requireOpen();
    return tensor.shape().clone();
  }

  @Override
  public DType dtype(INDArray tensor) {
    requireOpen();
    return switch (tensor.dataType()) {
      case FLOAT -> DType.FLOAT32;
      case DOUBLE -> DType.FLOAT64;
      case HALF -> DType.FLOAT16;
      case BFLOAT16 -> DType.BFLOAT16;
      default ->
        throw new IllegalArgumentException(
            "array is " + tensor.dataType() + "; expected FLOAT, DOUBLE, HALF or BFLOAT16");
    };
  }

  private static DataType dataType(DType dtype) {
    return switch (dtype) {
      case FLOAT32 -> DataType.FLOAT;
      case FLOAT64 -> DataType.DOUBLE;
      case FLOAT16 -> DataType.FLOAT16;
      case BFLOAT16 -> DataType.BFLOAT16;
    };
  }

  @Override
  public INDArray fromHost(HostTensor host, DType dtype) {
    requireOpen();
    // Rounded here, from the original value: rounding to 32 and then to 16 bits may err.
    return filled(dtype, host.to(dtype).toDoubles(), host.shape());
  }

  private static INDArray filled(DType dtype, double[] values, long... shape) {
    INDArray array = empty(dataType(dtype), shape);
    if (values.length > 0) {
      Elements elements = Elements.of(array);
      double[] strip = new double[Elements.STRIP];
      for (int at = 0; at < values.length; at += strip.length) {
        int count = Math.min(strip.length, values.length - at);
        System.arraycopy(values, at, strip, 0, count);
        elements.write(at, count, strip);
      }
      Reference.reachabilityFence(array);
    }
    return array;
  }

  /** A new array that no workspace of the caller ends. */
  private static INDArray empty(DataType type, long... shape) {
    return Nd4j.createUninitializedDetached(type, 'c', shape);
  }

  @Override
  public HostTensor toHost(INDArray tensor) {
    requireOpen();
    return HostTensor.of(doubles(tensor), tensor.shape()).to(dtype(tensor).hostType());
  }

  private static double[] doubles(INDArray array) {
    double[] values = new double[Math.toIntExact(array.length())];
    if (values.length > 0) {
      INDArray dense = dense(array);
      Elements elements = Elements.of(dense);
      double[] strip = new double[Elements.STRIP];
      for (int at = 0; at < values.length; at += strip.length) {
        int count = Math.min(strip.length, values.length - at);
        elements.read(at, count, strip);
        System.arraycopy(strip, 0, values, at, count);
      }
      Reference.reachabilityFence(array);
      closeCopy(dense, array);
    }
    return values;
  }

  /** The array itself if its elements lie row-major without gaps, or else a copy. */
  private static INDArray dense(INDArray array) {
    return isDense(array) ? array : empty(array.dataType(), array.shape()).assign(array);
  }

  private static boolean isDense(INDArray array) {
    long stride = 1;
    for (int axis = array.rank() - 1; axis >= 0; axis--) {
      if (array.size(axis) != 1 && array.stride(axis) != stride) {
        return false;
      }
      stride *= array.size(axis);
    }
    return true;
  }

  private static void closeCopy(INDArray dense, INDArray original) {
    Reference.reachabilityFence(dense);
    if (dense != original) {
      dense.close();
    }
  }

  @Override
  public void release(INDArray tensor) {
    if (tensor.closeable()) {
      tensor.close();
    }
  }

  @Override
  public Moments<INDArray> statistics(INDArray x, Geometry geometry) {
    requireOpen();
    int features = (int) geometry.features();
    double[] mean = new double[features];
    double[] variance = new double[features];
    INDArray dense = dense(x);
    Elements elements = Elements.of(dense);
    Tile.forEach(geometry, geometry.batch() * geometry.before(), tile -> {
      GroupSums sums = new GroupSums(tile);
      sums.take(elements.fork(), 0);
      System.arraycopy(sums.mean, 0, mean, tile.firstFeature, tile.features);
      System.arraycopy(sums.variance, 0, variance, tile.firstFeature, tile.features);
    });
    closeCopy(dense, x);
    return moments(mean, variance, features);
  }

  private static Moments<INDArray> moments(double[] mean, double[] variance, long... shape) {
    return new Moments<>(
        filled(DType.FLOAT64, mean, shape), filled(DType.FLOAT64, variance, shape));
  }

  @Override
  public Normalized<INDArray> forward(
      INDArray x,
      Normalization how,
      @Nullable Moments<INDArray> reference,
      @Nullable INDArray gamma,
      @Nullable INDArray beta,
      @Nullable INDArray output) {
    requireOpen();
    PerFeature parameters = PerFeature.of(reference, gamma, beta);
    int features = (int) how.geometry().features();
    int groups = groups(how);
    double[] mean = new double[groups * features];
    double[] variance = new double[groups * features];
    INDArray dense = dense(x);
    INDArray result = denseResult(output, x);
    Elements input = Elements.of(dense);
    Elements out = Elements.of(result);
    Tile.forEach(how.geometry(), rowsOfGroup(how), tile -> {
      Elements from = input.fork();
      Elements to = out.fork();
      GroupSums sums = new GroupSums(tile);
      Affine affine = new Affine(tile);
      for (int group = 0; group < groups; group++) {
        if (how.scope() != Scope.NONE) {
          sums.take(from, group);
        }
        for (int i = 0; i < tile.features; i++) {
          int feature = tile.firstFeature + i;
          Mixture mixture = parameters.mix(feature, sums.mean[i], sums.variance[i], how);
          mean[group * features + feature] = mixture.mean();
          variance[group * features + feature] = mixture.variance();
          affine.center[i] = mixture.mean();
          affine.factor[i] = parameters.scale(feature) / mixture.deviation();
          affine.offset[i] = parameters.offset(feature);
        }
        affine.normalize(from, to, group);
      }
    });
    closeCopy(dense, x);
    long[] shape =
        how.scope() == Scope.EXAMPLE ? new long[] {groups, features} : new long[] {features};
    return new Normalized<>(delivered(result, output), moments(mean, variance, shape));
  }

  /** The given array if its elements lie row-major without gaps, or else a new one like {@code x}. */
  private static INDArray denseResult(@Nullable INDArray given, INDArray x) {
    return given != null && isDense(given) ? given : empty(x.dataType(), x.shape());
  }

  /** The result, once it is written, in the array that was given for it, if one was. */
  private static INDArray delivered(INDArray result, @Nullable INDArray given) {
    Reference.reachabilityFence(result);
    if (given == null || given == result) {
      return result;
    }
    given.assign(result);
    result.close();
    return given;
  }

  /** What each feature is given, on the host. */
  private record PerFeature(
      double @Nullable [] mean,
      double @Nullable [] variance,
      double @Nullable [] gamma,
      double @Nullable [] beta) {

    static PerFeature of(
        @Nullable Moments<INDArray> reference, @Nullable INDArray gamma, @Nullable INDArray beta) {
      return new PerFeature(
          reference == null ? null : doubles(reference.mean()),
          reference == null ? null : doubles(reference.variance()),
          gamma == null ? null : doubles(gamma),
          beta == null ? null : doubles(beta));
    }

    Mixture mix(int feature, double liveMean, double liveVariance, Normalization how) {
      return mean == null || variance == null
          ? Mixture.ofOwn(liveMean, liveVariance, how)
          : Mixture.of(mean[feature], variance[feature], liveMean, liveVariance, how);
    }

    double scale(int feature) {
      return gamma == null ? 1 : gamma[feature];
    }

    double offset(int feature) {
      return beta == null ? 0 : beta[feature];
    }
  }

  @Override
  public Gradients<INDArray> backward(
      INDArray x,
      INDArray upstream,
      Normalization how,
      @Nullable Moments<INDArray> reference,
      @Nullable INDArray gamma,
      @Nullable INDArray dx) {
    requireOpen();
    PerFeature parameters = PerFeature.of(reference, gamma, null);
    int features = (int) how.geometry().features();
    int groups = groups(how);
    double n = how.geometry().elementsPerFeature() / (double) groups;
    double w = how.weight();
    double[] dgamma = new double[features];
    double[] dbeta = new double[features];
    double[] dMean = new double[features];
    double[] dVariance = new double[features];
    INDArray denseX = dense(x);
    INDArray denseUpstream = dense(upstream);
    INDArray result = denseResult(dx, x);
    Elements input = Elements.of(denseX);
    Elements gradient = Elements.of(denseUpstream);
    Elements out = Elements.of(result);
    Tile.forEach(how.geometry(), rowsOfGroup(how), tile -> {
      Elements from = input.fork();
      Elements dy = gradient.fork();
      Elements to = out.fork();
      GroupSums sums = new GroupSums(tile);
      Affine affine = new Affine(tile);
      for (int group = 0; group < groups; group++) {
        sums.take(from, dy, group);
        for (int i = 0; i < tile.features; i++) {
          int feature = tile.firstFeature + i;
          Mixture mixture = parameters.mix(feature, sums.mean[i], sums.variance[i], how);
          double s = mixture.deviation();
          double factor = parameters.scale(feature) / s;
          double a = sums.upstream[i];
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
          affine.scaleUpstream(dy, to, group);
        } else {
          affine.differentiate(from, dy, to, group);
        }
      }
    });
    closeCopy(denseX, x);
    closeCopy(denseUpstream, upstream);
    DType parameterType = dtype(x).parameterType();
    return new Gradients<>(
        delivered(result, dx),
        filled(parameterType, dgamma, features),
        filled(parameterType, dbeta, features),
        reference == null || how.referenceGradient() == ReferenceGradient.DETACHED
            ? null
            : moments(dMean, dVariance, features));
  }

  @Override
  public INDArray referenceGradient(
      INDArray r,
      Geometry geometry,
      Moments<INDArray> statistics,
      Moments<INDArray> gradient,
      long elements) {
    requireOpen();
    double[] mean = doubles(statistics.mean());
    double[] dMean = doubles(gradient.mean());
    double[] dVariance = doubles(gradient.variance());
    INDArray dense = dense(r);
    INDArray dr = empty(r.dataType(), r.shape());
    Elements input = Elements.of(dense);
    Elements out = Elements.of(dr);
    Tile.forEach(geometry, geometry.batch() * geometry.before(), tile -> {
      Affine affine = new Affine(tile);
      for (int i = 0; i < tile.features; i++) {
        int feature = tile.firstFeature + i;
        affine.center[i] = mean[feature];
        affine.factor[i] = 2 * dVariance[feature] / elements;
        affine.offset[i] = dMean[feature] / elements;
      }
      affine.normalize(input.fork(), out.fork(), 0);
    });
    closeCopy(dense, r);
    Reference.reachabilityFence(dr);
    return dr;
  }

  private static int groups(Normalization how) {
    return how.scope() == Scope.EXAMPLE ? Math.toIntExact(how.geometry().batch()) : 1;
  }

  private static long rowsOfGroup(Normalization how) {
    return how.geometry().batch() * how.geometry().before() / groups(how);
  }

  private void requireOpen() {
    if (closed) {
      throw new IllegalStateException("nd4j backend used after close; expected an open one");
    }
  }

  @Override
  public void close() {
    closed = true;
  }
}
