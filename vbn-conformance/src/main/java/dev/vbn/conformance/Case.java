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
 * @param gamma shape {@code [features]}; null for a layer that does not scale
 * @param beta shape {@code [features]}; null for a layer that does not center
 * @param upstream gradient with respect to the live output
 * @param referenceUpstream gradient with respect to the reference output
 * @param padding what counts of the live batch; null where all does
 * @param referencePadding what counts of the reference batch; null where all does
 * @param v upstream gradients of the gradients; null, or one of them, for numbers between -1 and 1
 * @param counted what the reference statistics are said to be of; null for the reference batch
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
    @Nullable GradientUpstream<HostTensor> v,
    @Nullable Counted counted) {

  /** Examples, and elements of one feature. */
  record Counted(long examples, long elements) {}

  Case(
      VbnConfig config,
      HostTensor x,
      HostTensor reference,
      @Nullable HostTensor gamma,
      @Nullable HostTensor beta,
      HostTensor upstream,
      HostTensor referenceUpstream) {
    this(config, x, reference, gamma, beta, upstream, referenceUpstream, null, null, null, null);
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
    return of(other, x, reference, gamma, beta, upstream, referenceUpstream);
  }

  Case withParameters(@Nullable HostTensor otherGamma, @Nullable HostTensor otherBeta) {
    return of(config, x, reference, otherGamma, otherBeta, upstream, referenceUpstream);
  }

  /** Without gamma and beta. */
  Case bare() {
    return withParameters(null, null);
  }

  Case withLive(HostTensor otherX, HostTensor otherUpstream) {
    return of(config, otherX, reference, gamma, beta, otherUpstream, referenceUpstream)
        .with(padding, referencePadding, null, counted);
  }

  Case withReference(HostTensor otherReference, HostTensor otherUpstream) {
    return of(config, x, otherReference, gamma, beta, upstream, otherUpstream);
  }

  /** With some elements left out, of either batch or both, whatever lies there. */
  Case masked(@Nullable Padding live, @Nullable Padding ofReference) {
    return with(live, ofReference, v, counted);
  }

  /** As above, with junk there in all tensors. */
  Case padded(@Nullable Padding live, @Nullable Padding ofReference, double junk) {
    int axis = config.featureAxis();
    Case c = this;
    if (live != null) {
      c = c.withLive(live.over(x, axis, junk), live.over(upstream, axis, junk))
          .withSecond(withDx(live.over(dxUpstream(), axis, junk)));
    }
    if (ofReference != null) {
      c = c.withReference(
          ofReference.over(reference, axis, junk), ofReference.over(referenceUpstream, axis, junk));
    }
    return c.masked(live, ofReference);
  }

  /** With other upstream gradients of the gradients. */
  Case withSecond(GradientUpstream<HostTensor> other) {
    return with(padding, referencePadding, other, counted);
  }

  /** With another upstream gradient of dx. */
  Case withSecond(HostTensor other) {
    return withSecond(withDx(other));
  }

  private GradientUpstream<HostTensor> withDx(HostTensor other) {
    return v == null
        ? GradientUpstream.ofDx(other)
        : new GradientUpstream<>(other, v.dgamma(), v.dbeta());
  }

  private HostTensor dxUpstream() {
    return v == null ? noise(7, x.shape()) : v.dx();
  }

  /** With an upstream gradient of dx of that magnitude. */
  Case withSecond(double magnitude) {
    return withSecond(Layouts.mapped(noise(7, x.shape()), each -> magnitude * each));
  }

  /** With statistics that are said to be of that many examples, and elements per feature. */
  Case countedAs(long examples, long elements) {
    return with(padding, referencePadding, v, new Counted(examples, elements));
  }

  /** Of other tensors; what counts and all else stays. */
  private Case of(
      VbnConfig otherConfig,
      HostTensor otherX,
      HostTensor otherReference,
      @Nullable HostTensor otherGamma,
      @Nullable HostTensor otherBeta,
      HostTensor dy,
      HostTensor referenceDy) {
    return new Case(otherConfig, otherX, otherReference, otherGamma, otherBeta, dy, referenceDy)
        .with(padding, referencePadding, v, counted);
  }

  /** Of the same tensors. */
  private Case with(
      @Nullable Padding live,
      @Nullable Padding ofReference,
      @Nullable GradientUpstream<HostTensor> second,
      @Nullable Counted of) {
    return new Case(
        config,
        x,
        reference,
        gamma,
        beta,
        upstream,
        referenceUpstream,
        live,
        ofReference,
        second,
        of);
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
    Counted of = ofReference();
    return config
        .variant()
        .weight(
            padding == null ? live.batch() : padding.countedExamples(),
            padding == null ? live.elementsPerFeature() : padding.countedElements(),
            of.examples(),
            of.elements());
  }

  /** What the reference statistics are of. */
  Counted ofReference() {
    if (counted != null) {
      return counted;
    }
    Geometry of = referenceGeometry();
    return referencePadding == null
        ? new Counted(of.batch(), of.elementsPerFeature())
        : new Counted(referencePadding.countedExamples(), referencePadding.countedElements());
  }

  /**
   * Upstream gradients of the gradients, rounded to what {@code dtype} holds: those of dgamma and
   * dbeta follow from the shapes. That of dgamma is absent together with beta, and that of dbeta
   * with gamma.
   */
  GradientUpstream<HostTensor> second(DType dtype) {
    DType type = dtype.parameterType();
    int features = config.features();
    HostTensor ofGamma = v == null || v.dgamma() == null ? noise(8, features) : v.dgamma();
    HostTensor ofBeta = v == null || v.dbeta() == null ? noise(9, features) : v.dbeta();
    return new GradientUpstream<>(
        dxUpstream().to(dtype),
        beta == null ? null : ofGamma.to(type),
        gamma == null ? null : ofBeta.to(type));
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
        + (referencePadding == null ? "" : ", " + referencePadding.mask() + " of reference")
        + (counted == null ? "" : ", statistics of " + counted);
  }

  /** With every value rounded to what {@code dtype} holds, as the backend will see it. */
  Case roundedTo(DType dtype) {
    DType type = dtype.parameterType();
    return of(
            config,
            x.to(dtype),
            reference.to(dtype),
            gamma == null ? null : gamma.to(type),
            beta == null ? null : beta.to(type),
            upstream.to(dtype),
            referenceUpstream.to(dtype))
        .with(padding, referencePadding, v == null ? null : rounded(v, dtype), counted);
  }

  private static GradientUpstream<HostTensor> rounded(GradientUpstream<HostTensor> v, DType dtype) {
    DType type = dtype.parameterType();
    return new GradientUpstream<>(
        v.dx().to(dtype),
        v.dgamma() == null ? null : v.dgamma().to(type),
        v.dbeta() == null ? null : v.dbeta().to(type));
  }
}
