package dev.vbn.cli;

import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.jspecify.annotations.Nullable;

/**
 * What {@link LayerOptions} names, read and of the type to compute in.
 *
 * @param gamma null for ones
 * @param beta null for zeros
 */
record LayerInputs(
    VbnConfig config,
    HostTensor reference,
    HostTensor x,
    @Nullable HostTensor gamma,
    @Nullable HostTensor beta) {

  VirtualBatchNorm<HostTensor> layer(VbnBackend<HostTensor> backend, VbnConfig config) {
    if (x.dtype() == DType.FLOAT64 && !backend.capabilities().contains(Capability.FLOAT64)) {
      throw new BadInputException(
          "float64 was asked for, or is the type of --input, and this backend lacks it; expected"
              + " --dtype float32, or another --backend");
    }
    return LayerOptions.accepted("", () -> {
      VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
      VirtualBatchNorm<HostTensor> scaled = gamma == null ? layer : layer.withGamma(gamma);
      return beta == null ? scaled : scaled.withBeta(beta);
    });
  }
}
