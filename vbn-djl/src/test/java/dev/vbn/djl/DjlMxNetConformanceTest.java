package dev.vbn.djl;

import dev.vbn.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;

/** On MXNet. */
class DjlMxNetConformanceTest extends DjlConformance {
  /** DJL has no operation on MXNet that makes an array of 16 bits. */
  @Override
  protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
    return dtype == DType.FLOAT16 ? List.of() : super.views(backend, host, dtype);
  }
}
