package dev.vbn.bench;

import dev.vbn.VbnConfig;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * What the contenders are to compute on.
 *
 * @param x the live batch, of 32 or 64 bits
 * @param upstream gradient with respect to the output
 * @param counts which positions of each example count, in the order of the batch without its feature
 *     axis; null if all do
 * @param mask the same for the API
 */
record Workload(
    VbnConfig config,
    HostTensor x,
    HostTensor reference,
    HostTensor gamma,
    HostTensor beta,
    HostTensor upstream,
    boolean @Nullable [] counts,
    @Nullable Mask mask) {
  private static final int REFERENCE_EXAMPLES = 2;
  private static final int PERIOD = 1 << 16;
  private static final int LONGEST_RUN = 64;

  /** Normally distributed, the same for every contender and every run. */
  static Workload of(Comparison comparison) {
    Shape shape = comparison.shape();
    Random random = new Random(shape.elements());
    HostTensor x = normal(random, shape, shape.axes());
    // The forward pass has no use for it, and it may be a gigabyte.
    HostTensor upstream =
        comparison.pass() == Pass.FORWARD ? x : normal(random, shape, shape.axes());
    long[] few = shape.axes();
    few[0] = REFERENCE_EXAMPLES; // its statistics are made before the clock runs
    boolean[] counts = counts(comparison);
    return new Workload(
        VbnConfig.of(shape.features())
            .withFeatureAxis(shape.axis())
            .withVariant(comparison.variant()),
        x,
        normal(random, shape, few),
        normal(random, shape, shape.features()),
        normal(random, shape, shape.features()),
        upstream,
        counts,
        counts == null
            ? null
            : comparison.masking() == Masking.LENGTHS
                ? Mask.lengths(lengths(shape))
                : Mask.of(counts, withoutFeatures(shape)));
  }

  private static HostTensor normal(Random random, Shape of, long... shape) {
    HostTensor tensor = HostTensor.zeros(of.dtype(), shape);
    int size = tensor.size();
    float[] period = new float[Math.min(PERIOD, size)];
    for (int i = 0; i < period.length; i++) {
      period[i] = (float) random.nextGaussian();
    }
    // Drawing a gigabyte would take half a minute; no time depends on a repetition.
    if (of.dtype() == DType.FLOAT64) {
      double[] elements = tensor.doubles();
      for (int i = 0; i < size; i++) {
        elements[i] = period[i % PERIOD];
      }
    } else {
      float[] elements = tensor.floats();
      for (int i = 0; i < size; i++) {
        elements[i] = period[i % PERIOD];
      }
    }
    return tensor;
  }

  private static int positions(Shape shape) {
    return Math.toIntExact(shape.elements() / shape.examples() / shape.features());
  }

  /** Along the first axis of positions. */
  private static long[] lengths(Shape shape) {
    long along = withoutFeatures(shape)[1];
    long[] lengths = new long[shape.examples()];
    for (int i = 0; i < lengths.length; i++) {
      lengths[i] = Math.max(1, along - along * i / 2 / Math.max(1, lengths.length - 1));
    }
    return lengths;
  }

  private static long[] withoutFeatures(Shape shape) {
    long[] axes = shape.axes();
    long[] left = new long[axes.length - 1];
    for (int i = 0; i < left.length; i++) {
      left[i] = axes[i < shape.axis() ? i : i + 1];
    }
    return left;
  }

  private static boolean @Nullable [] counts(Comparison comparison) {
    Shape shape = comparison.shape();
    return switch (comparison.masking()) {
      case NONE -> null;
      case LENGTHS -> counts(shape, lengths(shape));
      case POSITIONS -> counts(new Random(shape.elements()), shape);
    };
  }

  private static boolean[] counts(Shape shape, long[] lengths) {
    int positions = positions(shape);
    long behind = positions / withoutFeatures(shape)[1];
    boolean[] counts = new boolean[positions * shape.examples()];
    for (int i = 0; i < counts.length; i++) {
      counts[i] = i % positions / behind < lengths[i / positions];
    }
    return counts;
  }

  private static boolean[] counts(Random random, Shape shape) {
    boolean[] counts = new boolean[positions(shape) * shape.examples()];
    boolean count = true;
    for (int i = 0; i < counts.length; count = !count) {
      for (int left = 1 + random.nextInt(LONGEST_RUN); left > 0 && i < counts.length; left--) {
        counts[i++] = count;
      }
    }
    return counts;
  }

  /** The share of elements that count. */
  static double share(Comparison comparison) {
    boolean[] counts = counts(comparison);
    if (counts == null) {
      return 1;
    }
    int counted = 0;
    for (boolean count : counts) {
      counted += count ? 1 : 0;
    }
    return (double) counted / counts.length;
  }
}
