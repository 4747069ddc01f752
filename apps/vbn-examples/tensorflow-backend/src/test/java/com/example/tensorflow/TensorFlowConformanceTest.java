package com.example.tensorflow;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;

class TensorFlowConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new TensorFlowProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64, Capability.FLOAT64_STATISTICS, Capability.TENSORS_OUTLIVE_BACKEND);
  }
}
