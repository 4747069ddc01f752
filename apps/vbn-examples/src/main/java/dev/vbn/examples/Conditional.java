package dev.vbn.examples;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** Scale and offset by the label of each example. */
public final class Conditional {
  private Conditional() {}

  /** Normalises three examples of two labels and prints them. */
  public static void main(String[] args) {
    System.out.println(Arrays.toString(normalize()));
  }

  static float[] normalize() {
    float[][] gammaOfLabel = {{1, 1}, {2, 4}};
    int[] labels = {0, 1, 1};
    float[] rows = new float[labels.length * 2];
    for (int i = 0; i < labels.length; i++) {
      System.arraycopy(gammaOfLabel[labels[i]], 0, rows, 2 * i, 2);
    }
    HostTensor reference = HostTensor.of(new float[] {1, 10, 3, 30}, 2, 2);
    HostTensor x = HostTensor.of(new float[] {3, 30, 3, 30, 1, 10}, 3, 2);
    HostTensor gamma = HostTensor.of(rows, labels.length, 2); // [examples, features]
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(2));
        ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(reference);
        Output<HostTensor> output = layer.withGamma(gamma).forward(x, statistics)) {
      return output.output().floats();
    }
  }
}
