package dev.vbn.mutation;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

class ReferenceVerdict {
  @Test
  void theKitPasses() {
    Verdict.assertPasses(Kit.class);
  }

  static final class Kit extends VbnConformance {
    @RegisterExtension
    final Verdict.FirstFailure firstFailure = new Verdict.FirstFailure();

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
}
