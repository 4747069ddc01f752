package dev.vbn.mutation;

import com.example.nio.NioProvider;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;

class NioVerdict {
  @Test
  void theKitPasses() {
    Verdict.assertPasses(Kit.class);
  }

  static final class Kit extends VbnConformance {
    @RegisterExtension
    final Verdict.FirstFailure firstFailure = new Verdict.FirstFailure();

    @Override
    protected VbnProvider<?> provider() {
      return new NioProvider();
    }

    @Override
    protected Set<Capability> capabilities() {
      return Set.of(
          Capability.FLOAT64,
          Capability.FLOAT64_STATISTICS,
          Capability.SUBNORMALS,
          Capability.TENSORS_OUTLIVE_BACKEND);
    }
  }
}
