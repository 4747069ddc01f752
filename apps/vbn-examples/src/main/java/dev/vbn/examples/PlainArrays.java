package dev.vbn.examples;

import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** Virtual batch normalization of plain arrays. */
public final class PlainArrays {
  private PlainArrays() {}

  /** Normalises one live example of two features and prints it. */
  public static void main(String[] args) {
    System.out.println(Arrays.toString(normalize(42)));
  }

  static float[] normalize(long seed) {
    VbnConfig config = VbnConfig.of(2).withVariant(Variant.PER_EXAMPLE);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer =
            VirtualBatchNorm.initialized(backend, config, DType.FLOAT32, seed)) {
      HostTensor reference = HostTensor.of(new float[] {1, 10, 3, 30}, 2, 2); // 2 examples
      HostTensor live = HostTensor.of(new float[] {5, 20}, 1, 2); // 1 example
      ReferenceStatistics<HostTensor> statistics = layer.reference(reference).statistics();
      LiveOutput<HostTensor> normalized = layer.forward(live, statistics);
      return normalized.output().floats();
    }
  }
}
