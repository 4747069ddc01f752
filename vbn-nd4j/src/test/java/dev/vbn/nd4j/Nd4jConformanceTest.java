package dev.vbn.nd4j;

import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Set;
import org.nd4j.linalg.api.ndarray.INDArray;

/** The whole kit on ND4J's CPU backend. */
class Nd4jConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider provider() {
    return new Nd4jProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT16,
        Capability.BFLOAT16,
        Capability.CALLER_SUPPLIED_OUTPUT);
  }

  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host) {
    return Views.of((INDArray) backend.fromHost(host, DType.FLOAT32));
  }
}
