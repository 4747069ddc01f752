package dev.vbn.nd4j;

import dev.vbn.kernels.Elements;
import dev.vbn.kernels.MemoryKernels;
import dev.vbn.kernels.MemoryKernels.Gradients;
import dev.vbn.kernels.MemoryKernels.Statistics;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Set;
import java.util.concurrent.ForkJoinPool;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The kernels in plain Java on the arrays' native memory: ND4J's own reductions of floats add up in
 * 32 bits. Arrays that are not dense and row-major are copied first. Results belong to no workspace.
 */
final class Nd4jKernels implements Kernels<INDArray> {
  private final Nd4jTensors tensors = new Nd4jTensors();
  private final MemoryKernels kernels;

  /** On at most {@code parallelism} threads a call, the calling one included. */
  Nd4jKernels(int parallelism) {
    kernels = new MemoryKernels(ForkJoinPool.commonPool(), parallelism);
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
        Capability.MASK,
        Capability.DOUBLE_BACKWARD,
        Capability.CONDITIONAL);
  }

  @Override
  public Moments<INDArray> statistics(INDArray x, Geometry geometry, Scope scope) {
    try (Dense batch = Dense.of(x)) {
      Statistics statistics = kernels.statistics(batch.elements(), geometry, scope);
      return scope == Scope.EXAMPLE
          ? moments(statistics, geometry.batch(), geometry.features())
          : moments(statistics, geometry.features());
    }
  }

  private static Moments<INDArray> moments(Statistics statistics, long... shape) {
    return new Moments<>(
        array(DType.FLOAT64, statistics.mean(), shape),
        array(DType.FLOAT64, statistics.variance(), shape));
  }

  private static INDArray array(DType dtype, double[] values, long... shape) {
    return new Nd4jTensors().fromHost(HostTensor.of(values, shape), dtype);
  }

  @Override
  public Normalized<INDArray> reference(
      INDArray x, Normalization how, @Nullable INDArray gamma, @Nullable INDArray beta) {
    try (Dense batch = Dense.of(x);
        Dense result = Dense.result(null, x.dataType(), x.shape())) {
      Statistics statistics =
          kernels.reference(batch.elements(), how, values(gamma), values(beta), result.elements());
      return new Normalized<>(
          result.deliver(), moments(statistics, how.geometry().features()));
    }
  }

  private static @Nullable Elements<?> values(@Nullable INDArray array) {
    return array == null ? null : numbers(array);
  }

  /** The elements of an array with one number for each feature. */
  private static Elements<?> numbers(INDArray array) {
    Nd4jTensors.requireLive(array);
    return Dense.isDense(array)
        ? NativeElements.of(array)
        : Elements.of(new Nd4jTensors().toHost(array).toDoubles());
  }

  @Override
  public INDArray forward(
      INDArray x,
      Normalization how,
      Moments<INDArray> reference,
      @Nullable INDArray gamma,
      @Nullable INDArray beta,
      @Nullable INDArray output) {
    try (Dense batch = Dense.of(x);
        Dense result = Dense.result(output, x.dataType(), x.shape())) {
      kernels.forward(
          batch.elements(),
          how,
          numbers(reference.mean()),
          numbers(reference.variance()),
          values(gamma),
          values(beta),
          result.elements());
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
    try (Dense batch = Dense.of(x);
        Dense incoming = Dense.of(upstream);
        Dense result = Dense.result(dx, x.dataType(), x.shape())) {
      Gradients gradients = kernels.backward(
          batch.elements(),
          incoming.elements(),
          how,
          numbers(reference.mean()),
          numbers(reference.variance()),
          values(gamma),
          result.elements());
      DType type = tensors.dtype(x).parameterType();
      long features = how.geometry().features();
      double[] dmean = gradients.referenceMean();
      double[] dvariance = gradients.referenceVariance();
      return new Differentiated<>(
          result.deliver(),
          array(type, gradients.gamma(), features),
          array(type, gradients.beta(), features),
          dmean == null || dvariance == null
              ? null
              : moments(new Statistics(dmean, dvariance), features));
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
    try (Dense batch = Dense.of(x);
        Dense incoming = Dense.of(upstream);
        Dense directions = Dense.of(second.dx());
        Dense ofX = Dense.result(null, x.dataType(), x.shape());
        Dense ofUpstream = Dense.result(null, x.dataType(), x.shape())) {
      double[] ofGamma = kernels.doubleBackward(
          batch.elements(),
          incoming.elements(),
          directions.elements(),
          how,
          numbers(reference.mean()),
          numbers(reference.variance()),
          values(gamma),
          values(second.dgamma()),
          values(second.dbeta()),
          ofX.elements(),
          ofUpstream.elements());
      DType type = tensors.dtype(x).parameterType();
      return new TwiceDifferentiated<>(
          ofX.deliver(), ofUpstream.deliver(), array(type, ofGamma, ofGamma.length));
    }
  }

  @Override
  public INDArray referenceGradient(
      INDArray r,
      Geometry geometry,
      Moments<INDArray> statistics,
      Moments<INDArray> gradient,
      long elements) {
    try (Dense batch = Dense.of(r);
        Dense result = Dense.result(null, r.dataType(), r.shape())) {
      kernels.referenceGradient(
          batch.elements(),
          geometry,
          numbers(statistics.mean()),
          numbers(gradient.mean()),
          numbers(gradient.variance()),
          elements,
          result.elements());
      return result.deliver();
    }
  }

  @Override
  public GroupSums sums(
      INDArray x, INDArray upstream, Normalization how, Moments<INDArray> reference) {
    try (Dense batch = Dense.of(x);
        Dense incoming = Dense.of(upstream)) {
      return kernels.sums(
          batch.elements(),
          incoming.elements(),
          how,
          numbers(reference.mean()),
          numbers(reference.variance()));
    }
  }

  @Override
  public INDArray write(
      INDArray x,
      @Nullable INDArray upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable INDArray output) {
    try (Dense batch = Dense.of(x);
        Dense incoming = upstream == null ? null : Dense.of(upstream);
        Dense result = Dense.result(output, x.dataType(), x.shape())) {
      kernels.write(
          batch.elements(),
          incoming == null ? null : incoming.elements(),
          geometry,
          scope,
          lines,
          result.elements());
      return result.deliver();
    }
  }

  @Override
  public void close() {
    kernels.close();
  }
}
