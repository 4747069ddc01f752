package dev.vbn.conformance;

import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * One input of the whole system.
 *
 * @param gamma shape {@code [features]}; null of a layer that does not scale
 * @param beta shape {@code [features]}; null of a layer that does not center
 * @param upstream gradient with respect to the live output; also serves, in part, the reference's
 */
record Case(
    VbnConfig config,
    HostTensor x,
    HostTensor reference,
    @Nullable HostTensor gamma,
    @Nullable HostTensor beta,
    HostTensor upstream) {

  Geometry liveGeometry() {
    return Geometry.of(x.shape(), config.featureAxis());
  }

  Geometry referenceGeometry() {
    return Geometry.of(reference.shape(), config.featureAxis());
  }

  Case withConfig(VbnConfig other) {
    return new Case(other, x, reference, gamma, beta, upstream);
  }

  Case withParameters(@Nullable HostTensor otherGamma, @Nullable HostTensor otherBeta) {
    return new Case(config, x, reference, otherGamma, otherBeta, upstream);
  }

  /** Without gamma and beta. */
  Case bare() {
    return withParameters(null, null);
  }

  Case withLive(HostTensor otherX, HostTensor otherUpstream) {
    return new Case(config, otherX, reference, gamma, beta, otherUpstream);
  }

  Case withReference(HostTensor otherReference) {
    return new Case(config, x, otherReference, gamma, beta, upstream);
  }

  /** Variant, shapes and what else a message needs. */
  String describe() {
    return config.variant().label() + " of live " + Arrays.toString(x.shape()) + ", reference "
        + Arrays.toString(reference.shape()) + ", feature axis " + config.featureAxis()
        + (gamma != null ? "" : ", no gamma") + (beta != null ? "" : ", no beta")
        + ", epsilon " + config.epsilon();
  }

  /** With every value rounded to what {@code dtype} holds, as the backend will see it. */
  Case roundedTo(DType dtype) {
    return new Case(
        config,
        x.to(dtype),
        reference.to(dtype),
        gamma == null ? null : gamma.to(dtype.parameterType()),
        beta == null ? null : beta.to(dtype.parameterType()),
        upstream.to(dtype));
  }
}
