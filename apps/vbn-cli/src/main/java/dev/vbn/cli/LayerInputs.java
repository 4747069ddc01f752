package dev.vbn.cli;

import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.jspecify.annotations.Nullable;

/**
 * What {@link LayerOptions} names, read.
 *
 * @param dtype type to compute in
 * @param gamma null for ones
 * @param beta null for zeros
 */
record LayerInputs(
    VbnConfig config,
    DType dtype,
    HostTensor reference,
    HostTensor x,
    @Nullable HostTensor gamma,
    @Nullable HostTensor beta) {

  /** The layer, with its parameters in {@code scope}. */
  <T> VirtualBatchNorm<T> layer(VbnBackend<T> backend, VbnConfig config, TensorScope<T> scope) {
    if (dtype == DType.FLOAT64 && !backend.capabilities().contains(Capability.FLOAT64)) {
      throw new BadInputException(
          "float64 was asked for, or is the type of --input, and this backend lacks it; expected"
              + " --dtype float32, or another --backend");
    }
    T scale = gamma == null ? null : scope.add(backend.fromHost(gamma, dtype));
    T offset = beta == null ? null : scope.add(backend.fromHost(beta, dtype));
    return LayerOptions.accepted("", () -> VirtualBatchNorm.of(backend, config, scale, offset));
  }
}
