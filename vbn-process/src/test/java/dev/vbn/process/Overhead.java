package dev.vbn.process;

import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** Measures what one call of a program costs: the command is the argument. */
final class Overhead {
  private static final long[][] SHAPES = {{8, 64}, {32, 32, 128}, {64, 16, 8192}};
  private static final int CALLS = 400;

  private Overhead() {}

  public static void main(String[] arguments) {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ProcessProvider(arguments[0]))) {
      for (long[] shape : SHAPES) {
        VbnConfig config = VbnConfig.of((int) shape[1]).withVariant(Variant.REFERENCE_ONLY);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
        int size = (int) Arrays.stream(shape).reduce(1, (a, b) -> a * b);
        double[] values = new double[size];
        Arrays.setAll(values, i -> i % 7 - 3);
        HostTensor x = HostTensor.of(values, shape).to(DType.FLOAT32);
        double[] micros = new double[size > 1_000_000 ? CALLS / 10 : CALLS];
        try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(x)) {
          for (int i = 0; i < micros.length; i++) {
            long start = System.nanoTime();
            layer.forward(x, statistics).close();
            micros[i] = (System.nanoTime() - start) / 1e3;
          }
        }
        Arrays.sort(micros);
        System.out.printf(
            "%-15s %8.1f KB each way: forward %9.0f us at best, %9.0f us in the middle%n",
            Arrays.toString(shape), size * 4 / 1e3, micros[0], micros[micros.length / 2]);
      }
    }
  }
}
