package dev.vbn.examples;

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
    VbnConfig config = VbnConfig.of(64).withScale(false).withCenter(false);
    try (CudaBackend backend = CudaProvider.open(0); // device 0, a stream of its own
        VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config, null, null)) {
      CudaTensor reference = backend.wrap(referencePointer, DType.FLOAT32, 32, 64, 1024);
      CudaTensor x = backend.wrap(pointer, DType.FLOAT32, 32, 64, 1024); // not copied
      layer.forward(x, layer.referenceStatistics(reference), x);
      backend.synchronize();
    }
  }
}
