package dev.vbn.reference;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;

class ReferenceConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new ReferenceProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.CALLER_SUPPLIED_OUTPUT,
        Capability.SUBNORMALS,
        Capability.MASK,
        Capability.TENSORS_OUTLIVE_BACKEND,
        Capability.DOUBLE_BACKWARD,
        Capability.CONDITIONAL);
  }
}
