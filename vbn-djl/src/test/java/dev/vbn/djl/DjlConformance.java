package dev.vbn.djl;

import ai.djl.ndarray.NDArray;
import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.Set;

/** The whole kit on the engine that the build names for this JVM. */
abstract class DjlConformance extends VbnConformance {
  @Override
  protected VbnProvider<?> provider() {
    return new DjlProvider();
  }

  @Override
  protected Set<Capability> capabilities() {
    return Set.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.FLOAT16,
        Capability.SUBNORMALS,
        Capability.MASK,
        Capability.DOUBLE_BACKWARD,
        Capability.CONDITIONAL);
  }

  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    @SuppressWarnings("unchecked") // the provider's own
    VbnBackend<NDArray> own = (VbnBackend<NDArray>) backend;
    NDArray plain = own.fromHost(host, dtype);
    List<NDArray> views = Views.of(plain);
    own.release(plain);
    return views;
  }

  @Override
  protected boolean overwrite(VbnBackend<?> backend, Object tensor, HostTensor host) {
    @SuppressWarnings("unchecked") // the provider's own
    VbnBackend<NDArray> own = (VbnBackend<NDArray>) backend;
    NDArray array = (NDArray) tensor;
    NDArray next = own.fromHost(host, own.dtype(array));
    next.copyTo(array);
    own.release(next);
    return true;
  }
}
