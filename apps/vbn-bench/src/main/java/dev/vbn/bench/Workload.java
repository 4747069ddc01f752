package dev.vbn.bench;

import dev.vbn.VbnConfig;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Random;

/**
 * What the contenders are to compute on.
 *
 * @param x the live batch, of 32 bits, features along axis 1
 * @param upstream gradient with respect to the output
 */
record Workload(
    VbnConfig config,
    HostTensor x,
    HostTensor reference,
    HostTensor gamma,
    HostTensor beta,
    HostTensor upstream) {
  private static final int REFERENCE_EXAMPLES = 2;
  private static final int PERIOD = 1 << 16;

  /** Normally distributed, the same for every contender and every run. */
  static Workload of(Comparison comparison) {
    Shape shape = comparison.shape();
    Random random = new Random(shape.elements());
    HostTensor x = normal(random, shape.axes());
    // The forward pass has no use for it, and it may be a gigabyte.
    HostTensor upstream = comparison.pass() == Pass.FORWARD ? x : normal(random, shape.axes());
    long[] few = shape.axes();
    few[0] = REFERENCE_EXAMPLES; // its statistics are made before the clock runs
    return new Workload(
        VbnConfig.of(shape.features()).withVariant(comparison.variant()),
        x,
        normal(random, few),
        normal(random, shape.features()),
        normal(random, shape.features()),
        upstream);
  }

  private static HostTensor normal(Random random, long... shape) {
    HostTensor tensor = HostTensor.zeros(DType.FLOAT32, shape);
    float[] elements = tensor.floats();
    for (int i = 0; i < elements.length; i++) {
      // Drawing a gigabyte would take half a minute; no time depends on a repetition.
      elements[i] = i < PERIOD ? (float) random.nextGaussian() : elements[i - PERIOD];
    }
    return tensor;
  }
}
