package dev.vbn.process;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;

/** The kit against the adapter in NumPy, where python3 and NumPy are installed. */
class NumpyConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new ProcessProvider("python3 adapters/numpy_backend.py");
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
