package dev.vbn.conformance;

import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.jspecify.annotations.Nullable;

/**
 * One input of the whole system.
 *
 * @param gamma shape {@code [features]}; null of a layer that does not scale
 * @param beta shape {@code [features]}; null of a layer that does not center
 * @param upstream gradient with respect to the live output
 * @param referenceUpstream gradient with respect to the reference output
 * @param padding what counts of the live batch; null where all does
 * @param referencePadding what counts of the reference batch; null where all does
 * @param v upstream gradient of dx; null for numbers between -1 and 1
 */
record Case(
    VbnConfig config,
    HostTensor x,
    HostTensor reference,
    @Nullable HostTensor gamma,
    @Nullable HostTensor beta,
    HostTensor upstream,
    HostTensor referenceUpstream,
    @Nullable Padding padding,
    @Nullable Padding referencePadding,
    @Nullable HostTensor v) {

  Case(
      VbnConfig config,
      HostTensor x,
      HostTensor reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      HostTensor upstream,
      HostTensor referenceUpstream) {
    this(config, x, reference, gamma, beta, upstream, referenceUpstream, null, null, null);
  }

  Geometry liveGeometry() {
    return Geometry.of(x.shape(), config.featureAxis());
  }

  Geometry referenceGeometry() {
    return Geometry.of(reference.shape(), config.featureAxis());
  }

  boolean attached() {
    return config.referenceGradient() == ReferenceGradient.ATTACHED;
  }

  Case withConfig(VbnConfig other) {
    return new Case(
        other,
        x,
        reference,
        gamma,
        beta,
        upstream,
        referenceUpstream,
        padding,
        referencePadding,
        v);
  }

  Case withParameters(@Nullable HostTensor otherGamma, @Nullable HostTensor otherBeta) {
    return new Case(
        config,
        x,
        reference,
        otherGamma,
        otherBeta,
        upstream,
        referenceUpstream,
        padding,
        referencePadding,
        v);
  }

  /** Without gamma and beta. */
  Case bare() {
    return withParameters(null, null);
  }

  Case withLive(HostTensor otherX, HostTensor otherUpstream) {
    return new Case(
        config,
        otherX,
        reference,
        gamma,
        beta,
        otherUpstream,
        referenceUpstream,
        padding,
        referencePadding,
        null);
  }

  Case withReference(HostTensor otherReference, HostTensor otherUpstream) {
    return new Case(
        config,
        x,
        otherReference,
        gamma,
        beta,
        upstream,
        otherUpstream,
        padding,
        referencePadding,
        v);
  }

  /** With some elements left out, of either batch or both, and junk in all four tensors there. */
  Case padded(@Nullable Padding live, @Nullable Padding ofReference, double junk) {
    int axis = config.featureAxis();
    return new Case(
        config,
        live == null ? x : live.over(x, axis, junk),
        ofReference == null ? reference : ofReference.over(reference, axis, junk),
        gamma,
        beta,
        live == null ? upstream : live.over(upstream, axis, junk),
        ofReference == null ? referenceUpstream : ofReference.over(referenceUpstream, axis, junk),
        live,
        ofReference,
        live == null ? v : live.over(v == null ? noise(7, x.shape()) : v, axis, junk));
  }

  /** With another upstream gradient of dx. */
  Case withSecond(HostTensor other) {
    return new Case(
        config,
        x,
        reference,
        gamma,
        beta,
        upstream,
        referenceUpstream,
        padding,
        referencePadding,
        other);
  }

  /** With an upstream gradient of dx of that magnitude. */
  Case withSecond(double magnitude) {
    double[] values = noise(7, x.shape()).doubles();
    Arrays.setAll(values, i -> magnitude * values[i]);
    return withSecond(HostTensor.of(values, x.shape()));
  }

  @Nullable
  Mask mask() {
    return padding == null ? null : padding.mask();
  }

  @Nullable
  Mask referenceMask() {
    return referencePadding == null ? null : referencePadding.mask();
  }

  /** Weight of the live statistics, by the kit's own count. */
  double weight() {
    Geometry live = liveGeometry();
    Geometry of = referenceGeometry();
    return config
        .variant()
        .weight(
            padding == null ? live.batch() : padding.countedExamples(),
            padding == null ? live.elementsPerFeature() : padding.countedElements(),
            referencePadding == null ? of.batch() : referencePadding.countedExamples(),
            referencePadding == null
                ? of.elementsPerFeature()
                : referencePadding.countedElements());
  }

  /**
   * Upstream gradients of the gradients, rounded to what {@code dtype} holds: those of dgamma and
   * dbeta follow from the shapes. That of dgamma is absent together with beta, and that of dbeta
   * with gamma.
   */
  GradientUpstream<HostTensor> second(DType dtype) {
    DType type = dtype.parameterType();
    int features = config.features();
    return new GradientUpstream<>(
        (v == null ? noise(7, x.shape()) : v).to(dtype),
        beta == null ? null : noise(8, features).to(type),
        gamma == null ? null : noise(9, features).to(type));
  }

  /** Between -1 and 1, drawn by a generator that is the same in every JDK. */
  static HostTensor noise(int stream, long... shape) {
    SplittableRandom random = new SplittableRandom(stream);
    double[] values = new double[(int) Arrays.stream(shape).reduce(1, (a, b) -> a * b)];
    Arrays.setAll(values, i -> 2 * random.nextDouble() - 1);
    return HostTensor.of(values, shape);
  }

  /** Variant, shapes and what else a message needs. */
  String describe() {
    return config.variant().label() + " of live " + Arrays.toString(x.shape()) + ", reference "
        + Arrays.toString(reference.shape()) + ", feature axis " + config.featureAxis()
        + (gamma != null ? "" : ", no gamma") + (beta != null ? "" : ", no beta")
        + ", epsilon " + config.epsilon() + (attached() ? ", attached" : "")
        + (padding == null ? "" : ", " + padding.mask() + " of live")
        + (referencePadding == null ? "" : ", " + referencePadding.mask() + " of reference");
  }

  /** With every value rounded to what {@code dtype} holds, as the backend will see it. */
  Case roundedTo(DType dtype) {
    return new Case(
        config,
        x.to(dtype),
        reference.to(dtype),
        gamma == null ? null : gamma.to(dtype.parameterType()),
        beta == null ? null : beta.to(dtype.parameterType()),
        upstream.to(dtype),
        referenceUpstream.to(dtype),
        padding,
        referencePadding,
        v == null ? null : v.to(dtype));
  }
}
