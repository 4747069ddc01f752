package dev.vbn.reference;

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
import dev.vbn.spi.HostTensorAccess;
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
import org.jspecify.annotations.Nullable;

/** The backend on arrays: hands them to the kernels. */
final class ReferenceBackend implements Kernels<HostTensor> {
  private static final Set<Capability> CAPABILITIES = Set.of(
      Capability.FLOAT64,
      Capability.FLOAT64_STATISTICS,
      Capability.CALLER_SUPPLIED_OUTPUT,
      Capability.SUBNORMALS,
      Capability.TENSORS_OUTLIVE_BACKEND,
      Capability.MASK,
      Capability.DOUBLE_BACKWARD,
      Capability.CONDITIONAL);

  private final HostTensorAccess tensors = new HostTensorAccess();
  private final MemoryKernels kernels;

  ReferenceBackend(MemoryKernels kernels) {
    this.kernels = kernels;
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
    return scope == Scope.EXAMPLE
        ? moments(
            kernels.statistics(elements(x), geometry, scope), geometry.batch(), geometry.features())
        : moments(kernels.statistics(elements(x), geometry, scope), geometry.features());
  }

  private static Moments<HostTensor> moments(Statistics statistics, long... shape) {
    return new Moments<>(
        HostTensor.of(statistics.mean(), shape), HostTensor.of(statistics.variance(), shape));
  }

  private static Elements<?> elements(HostTensor tensor) {
    return tensor.dtype() == DType.FLOAT32
        ? Elements.of(tensor.floats())
        : Elements.of(tensor.doubles());
  }

  /** The elements of a tensor that has just been made. */
  private static Elements<?> zeros(HostTensor tensor) {
    return tensor.dtype() == DType.FLOAT32
        ? Elements.zeros(tensor.floats())
        : Elements.zeros(tensor.doubles());
  }

  private static @Nullable Elements<?> orNull(@Nullable HostTensor tensor) {
    return tensor == null ? null : elements(tensor);
  }

  @Override
  public Normalized<HostTensor> reference(
      HostTensor x, Normalization how, @Nullable HostTensor gamma, @Nullable HostTensor beta) {
    HostTensor output = HostTensor.zeros(x.dtype(), x.shape());
    Statistics statistics =
        kernels.reference(elements(x), how, orNull(gamma), orNull(beta), zeros(output));
    return new Normalized<>(output, moments(statistics, how.geometry().features()));
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
    kernels.forward(
        elements(x),
        how,
        elements(reference.mean()),
        elements(reference.variance()),
        orNull(gamma),
        orNull(beta),
        output == null ? zeros(result) : elements(result));
    return result;
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
    Gradients gradients = kernels.backward(
        elements(x),
        elements(upstream),
        how,
        elements(reference.mean()),
        elements(reference.variance()),
        orNull(gamma),
        dx == null ? zeros(result) : elements(result));
    DType parameterType = x.dtype().parameterType();
    double[] dmean = gradients.referenceMean();
    double[] dvariance = gradients.referenceVariance();
    return new Differentiated<>(
        result,
        rounded(gradients.gamma(), parameterType),
        rounded(gradients.beta(), parameterType),
        dmean == null || dvariance == null
            ? null
            : new Moments<>(rounded(dmean, DType.FLOAT64), rounded(dvariance, DType.FLOAT64)));
  }

  private static HostTensor rounded(double[] ofFeatures, DType dtype) {
    if (dtype == DType.FLOAT64) {
      return HostTensor.of(ofFeatures, ofFeatures.length);
    }
    float[] rounded = new float[ofFeatures.length];
    for (int i = 0; i < rounded.length; i++) {
      rounded[i] = (float) ofFeatures[i];
    }
    return HostTensor.of(rounded, rounded.length);
  }

  @Override
  public TwiceDifferentiated<HostTensor> doubleBackward(
      HostTensor x,
      HostTensor upstream,
      GradientUpstream<HostTensor> second,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable HostTensor gamma) {
    HostTensor ofX = HostTensor.zeros(x.dtype(), x.shape());
    HostTensor ofUpstream = HostTensor.zeros(x.dtype(), x.shape());
    double[] ofGamma = kernels.doubleBackward(
        elements(x),
        elements(upstream),
        elements(second.dx()),
        how,
        elements(reference.mean()),
        elements(reference.variance()),
        orNull(gamma),
        orNull(second.dgamma()),
        orNull(second.dbeta()),
        zeros(ofX),
        zeros(ofUpstream));
    return new TwiceDifferentiated<>(ofX, ofUpstream, rounded(ofGamma, x.dtype().parameterType()));
  }

  @Override
  public HostTensor referenceGradient(
      HostTensor r,
      Geometry geometry,
      Moments<HostTensor> statistics,
      Moments<HostTensor> gradient,
      long elements) {
    HostTensor dr = HostTensor.zeros(r.dtype(), r.shape());
    kernels.referenceGradient(
        elements(r),
        geometry,
        elements(statistics.mean()),
        elements(gradient.mean()),
        elements(gradient.variance()),
        elements,
        zeros(dr));
    return dr;
  }

  @Override
  public GroupSums sums(
      HostTensor x, HostTensor upstream, Normalization how, Moments<HostTensor> reference) {
    return kernels.sums(
        elements(x),
        elements(upstream),
        how,
        elements(reference.mean()),
        elements(reference.variance()));
  }

  @Override
  public HostTensor write(
      HostTensor x,
      @Nullable HostTensor upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable HostTensor output) {
    HostTensor result = output != null ? output : HostTensor.zeros(x.dtype(), x.shape());
    kernels.write(
        elements(x),
        orNull(upstream),
        geometry,
        scope,
        lines,
        output == null ? zeros(result) : elements(result));
    return result;
  }

  @Override
  public void close() {
    kernels.close();
  }
}
