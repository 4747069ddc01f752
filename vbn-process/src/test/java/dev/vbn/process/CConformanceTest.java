package dev.vbn.process;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;

/** The kit against the adapter in C, where there is a gcc to compile it with. */
class CConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new ProcessProvider(Adapters.c());
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.CALLER_SUPPLIED_OUTPUT,
        Capability.SUBNORMALS,
        Capability.MASK,
        Capability.TENSORS_OUTLIVE_BACKEND);
  }
}
