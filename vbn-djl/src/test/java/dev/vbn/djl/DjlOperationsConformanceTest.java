package dev.vbn.djl;

import dev.vbn.spi.VbnProvider;

/** The whole kit on PyTorch's operations: what a batch is computed with that may be part of a graph. */
class DjlOperationsConformanceTest extends DjlPyTorchConformanceTest {
  @Override
  protected VbnProvider<?> provider() {
    return DjlProvider.ofOperations();
  }
}
