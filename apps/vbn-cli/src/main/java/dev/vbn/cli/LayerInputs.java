package dev.vbn.cli;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import org.jspecify.annotations.Nullable;

/**
 * What {@link LayerOptions} names, read.
 *
 * @param layer its arrays in the types of their files
 * @param gamma that is not one number for each feature, in place of the layer's; else null
 * @param beta likewise
 * @param reference of the type to compute in; null where the layer has the statistics already
 * @param x of the type to compute in
 * @param referenceMask what counts of the reference batch; null if all does
 * @param mask what counts of the live batch; null if all does
 */
record LayerInputs(
    LayerState layer,
    @Nullable HostTensor gamma,
    @Nullable HostTensor beta,
    @Nullable HostTensor reference,
    HostTensor x,
    @Nullable Mask referenceMask,
    @Nullable Mask mask) {

  /** The layer on a backend, in the type to compute in. */
  VirtualBatchNorm<HostTensor> open(VbnBackend<HostTensor> backend, VbnConfig config) {
    if (x.dtype() == DType.FLOAT64 && !backend.capabilities().contains(Capability.FLOAT64)) {
      throw new BadInputException(
          "float64 was asked for, or is the type of --input, and this backend lacks it; expected"
              + " --dtype float32, or another --backend");
    }
    LayerState typed = new LayerState(config, typed(layer.gamma()), typed(layer.beta()), null);
    VirtualBatchNorm<HostTensor> opened = LayerOptions.accepted("", () -> typed.layer(backend));
    try {
      HostTensor ownGamma = typed(gamma);
      if (ownGamma != null) {
        LayerOptions.accepted("--gamma: ", () -> set(() -> opened.setGamma(ownGamma)));
      }
      HostTensor ownBeta = typed(beta);
      if (ownBeta != null) {
        LayerOptions.accepted("--beta: ", () -> set(() -> opened.setBeta(ownBeta)));
      }
      return opened;
    } catch (RuntimeException e) {
      opened.close();
      throw e;
    }
  }

  private static boolean set(Runnable setting) {
    setting.run();
    return true;
  }

  /** Refuses what is only for layers with one number for each feature. */
  void requirePlain(String option) {
    if (gamma != null || beta != null) {
      throw new BadInputException(option + ": given with a " + (gamma != null ? "gamma" : "beta")
          + " that is not one number for each feature; expected one that is, or no " + option);
    }
  }

  /** The layer for the reference batch. */
  VirtualBatchNorm<HostTensor> forReference(VirtualBatchNorm<HostTensor> opened) {
    return LayerOptions.accepted("", () -> opened.withMask(referenceMask));
  }

  /** The layer for the live batch. */
  VirtualBatchNorm<HostTensor> forInput(VirtualBatchNorm<HostTensor> opened) {
    return LayerOptions.accepted("", () -> opened.withMask(mask));
  }

  private @Nullable HostTensor typed(@Nullable HostTensor parameter) {
    return parameter == null ? null : LayerOptions.as(x.dtype(), parameter);
  }

  /** The statistics of the reference batch, taken now where the layer does not have them. */
  ReferenceStatistics<HostTensor> statistics(VirtualBatchNorm<HostTensor> opened) {
    HostTensor batch = reference;
    return batch == null
        ? layer.statistics(opened.backend())
        : LayerOptions.accepted(
            "--reference: ", () -> forReference(opened).referenceStatistics(batch));
  }

  /** The layer with the statistics of the reference batch; as read where it has them. */
  LayerState with(ReferenceMoments moments) {
    return reference == null ? layer : layer.withReference(moments);
  }
}
