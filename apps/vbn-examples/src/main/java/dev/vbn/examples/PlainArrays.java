package dev.vbn.examples;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** Plain arrays in and out, over whatever backend is on the class path. */
public final class PlainArrays {
  private PlainArrays() {}

  /** Normalises one live example of two features and prints it. */
  public static void main(String[] args) {
    System.out.println(Arrays.toString(normalize()));
  }

  static float[] normalize() {
    HostTensor reference = HostTensor.of(new float[] {1, 10, 3, 30}, 2, 2); // 2 examples
    HostTensor live = HostTensor.of(new float[] {5, 20}, 1, 2);
    VbnConfig config = VbnConfig.of(2).withVariant(Variant.PER_EXAMPLE);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
        ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(reference);
        Output<HostTensor> normalized = layer.forward(live, statistics)) {
      return normalized.output().floats(); // 1.2247, 0
    }
  }
}
