package dev.vbn.examples;

import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.cuda.CudaBackend;
import dev.vbn.cuda.CudaProvider;
import dev.vbn.cuda.CudaTensor;
import dev.vbn.tensor.DType;

/** Batches that lie in the memory of a GPU already, normalised in place. */
public final class DevicePointers {
  private DevicePointers() {}

  /**
   * Normalises a live batch of shape [32, 64, 1024].
   *
   * @param referencePointer device address of a reference batch of that shape, in 32 bits
   * @param pointer device address of the live batch, which the output replaces
   */
  public static void normalize(long referencePointer, long pointer) {
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(64))) {
      CudaBackend cuda = backend.unwrap(CudaBackend.class);
      CudaTensor reference = cuda.wrap(referencePointer, DType.FLOAT32, 32, 64, 1024);
      CudaTensor x = cuda.wrap(pointer, DType.FLOAT32, 32, 64, 1024); // not copied
      try (ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(reference)) {
        layer.forwardInto(x, x, statistics).close();
      }
      cuda.synchronize();
    }
  }
}
