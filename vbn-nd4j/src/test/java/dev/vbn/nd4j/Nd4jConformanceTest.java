package dev.vbn.nd4j;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Set;
import org.nd4j.linalg.api.ndarray.INDArray;

/** The whole kit on ND4J's CPU backend. */
class Nd4jConformanceTest extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new Nd4jProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.FLOAT16,
        Capability.BFLOAT16,
        Capability.CALLER_SUPPLIED_OUTPUT,
        Capability.SUBNORMALS,
        Capability.MASK,
        Capability.TENSORS_OUTLIVE_BACKEND,
        Capability.DOUBLE_BACKWARD,
        Capability.CONDITIONAL);
  }

  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    @SuppressWarnings("unchecked") // the provider's own
    VbnBackend<INDArray> own = (VbnBackend<INDArray>) backend;
    INDArray plain = own.fromHost(host, dtype);
    List<INDArray> views = Views.of(plain);
    own.release(plain);
    return views;
  }

  @Override
  protected List<?> parts(VbnBackend<?> backend, HostTensor host, DType dtype, int axis) {
    @SuppressWarnings("unchecked") // the provider's own
    VbnBackend<INDArray> own = (VbnBackend<INDArray>) backend;
    INDArray plain = own.fromHost(host, dtype);
    List<INDArray> parts = Views.parts(plain.dup('c'), axis);
    own.release(plain);
    return parts;
  }

  @Override
  protected boolean overwrite(VbnBackend<?> backend, Object tensor, HostTensor host) {
    @SuppressWarnings("unchecked") // the provider's own
    VbnBackend<INDArray> own = (VbnBackend<INDArray>) backend;
    INDArray array = (INDArray) tensor;
    INDArray next = own.fromHost(host, own.dtype(array));
    array.assign(next);
    own.release(next);
    return true;
  }
}
