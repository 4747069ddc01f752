package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Batches beyond 16 bits in each direction. Their values never repeat, so that whatever reads an
 * element of another place shows, and are the same for every seed, as is then the verdict.
 */
abstract class SizeRules extends Rules {
  private static final int BEYOND_18_BITS = (1 << 18) + 15;
  private static final int BEYOND_16_BITS = (1 << 16) + 5;

  /** One direction at a time; the others are as short as they can be. */
  record LongBatch(
      String name,
      int featureAxis,
      long[] live,
      long[] reference,
      DType dtype,
      List<Variant> variants) {
    LongBatch(
        String name,
        int featureAxis,
        long[] live,
        long[] reference,
        DType dtype,
        Variant... variants) {
      this(name, featureAxis, live, reference, dtype, List.of(variants));
    }

    @Override
    public String toString() {
      return name;
    }
  }

  private static final Variant[] SCOPES = {
    Variant.POOLED, Variant.PER_EXAMPLE, Variant.REFERENCE_ONLY
  };

  private static final List<LongBatch> LONG = List.of(
      new LongBatch(
          "positions behind the features",
          1,
          new long[] {1, 2, BEYOND_18_BITS},
          new long[] {2, 2, 19},
          DType.FLOAT32,
          SCOPES),
      new LongBatch(
          "positions before the features",
          -1,
          new long[] {1, BEYOND_18_BITS, 2},
          new long[] {2, 19, 2},
          DType.FLOAT32,
          SCOPES),
      new LongBatch(
          "positions of 64 bits",
          1,
          new long[] {1, 1, BEYOND_18_BITS},
          new long[] {1, 1, BEYOND_18_BITS},
          DType.FLOAT64,
          Variant.LIVE_BATCH),
      new LongBatch(
          "positions of 16 bits",
          1,
          new long[] {1, 2, BEYOND_16_BITS},
          new long[] {2, 2, 19},
          DType.FLOAT16,
          Variant.PER_EXAMPLE),
      new LongBatch(
          "positions of 16 bits before the features",
          -1,
          new long[] {1, BEYOND_16_BITS, 2},
          new long[] {2, 19, 2},
          DType.BFLOAT16,
          Variant.REFERENCE_ONLY),
      new LongBatch(
          "positions of the reference behind the features",
          1,
          new long[] {2, 2, 19},
          new long[] {1, 2, BEYOND_18_BITS},
          DType.FLOAT32,
          Variant.REFERENCE_ONLY),
      new LongBatch(
          "positions of the reference before the features",
          -1,
          new long[] {2, 19, 2},
          new long[] {1, BEYOND_18_BITS, 2},
          DType.FLOAT32,
          Variant.BATCH),
      new LongBatch(
          "examples", 1, new long[] {BEYOND_16_BITS, 3}, new long[] {4, 3}, DType.FLOAT32, SCOPES),
      new LongBatch(
          "examples with positions",
          1,
          new long[] {BEYOND_16_BITS, 2, 3},
          new long[] {4, 2, 3},
          DType.FLOAT32,
          Variant.PER_EXAMPLE),
      new LongBatch(
          "examples of the reference",
          1,
          new long[] {4, 3},
          new long[] {BEYOND_16_BITS, 3},
          DType.FLOAT32,
          Variant.LIVE_BATCH),
      new LongBatch(
          "features",
          1,
          new long[] {2, BEYOND_16_BITS},
          new long[] {3, BEYOND_16_BITS},
          DType.FLOAT32,
          Variant.POOLED,
          Variant.REFERENCE_ONLY),
      new LongBatch(
          "features with positions",
          1,
          new long[] {2, BEYOND_16_BITS, 2},
          new long[] {1, BEYOND_16_BITS, 3},
          DType.FLOAT32,
          Variant.PER_EXAMPLE),
      new LongBatch(
          "features last",
          -1,
          new long[] {2, 2, BEYOND_16_BITS},
          new long[] {1, 3, BEYOND_16_BITS},
          DType.FLOAT32,
          Variant.PER_EXAMPLE,
          Variant.BATCH));

  /** By turns, so that each meets each direction. */
  private static final List<Manner> MANNERS = List.of(
      Manner.PLAIN,
      new Manner(Into.SUPPLIED, Into.OVER_X, Source.PASS),
      new Manner(Into.OVER_X, Into.SUPPLIED, Source.PASS),
      new Manner(Into.NEW, Into.OVER_UPSTREAM, Source.PASS));

  private static final Map<String, Case> CASES = new ConcurrentHashMap<>();

  SizeRules(VbnConformance kit) {
    super(kit);
  }

  static List<LongBatch> all() {
    return LONG;
  }

  /** POOLED of a long batch is next to the live statistics alone: w is almost 1. */
  @ParameterizedTest
  @MethodSource("all")
  @Checks(Rule.SIZE)
  final void resultsDoNotDependOnSize(LongBatch size) {
    holds(() -> {
      if (!subject().dtypes().contains(size.dtype)) {
        throw new DeclaredAbsent(size.dtype + " is declared absent; its refusal is checked apart");
      }
      int turn = LONG.indexOf(size);
      for (Variant variant : size.variants) {
        Manner manner = MANNERS.get(turn++ % MANNERS.size());
        Case c = CASES.computeIfAbsent(size + variant.label(), first -> make(size, variant));
        assertAgrees(
            subject(),
            c.describe() + ", in " + size.dtype + ", output into " + manner.output() + ", dx into "
                + manner.dx() + ": look at counts and indexes of 16 bits, limits"
                + " of a grid, and sums that run in the width of the elements",
            subject().expect(c, size.dtype),
            subject().run(c, size.dtype, manner),
            size.dtype);
      }
    });
  }

  private static Case make(LongBatch size, Variant variant) {
    int axis = size.featureAxis == 1 ? 1 : size.live.length - 1;
    int features = (int) size.live[axis];
    VbnConfig config = VbnConfig.of(features)
        .withVariant(variant)
        .withFeatureAxis(size.featureAxis)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Case(
        config,
        offCenter(1, size.live),
        offCenter(2, size.reference),
        Case.noise(3, features),
        Case.noise(4, features),
        Case.noise(5, size.live),
        Case.noise(6, size.reference));
  }

  /**
   * Off 0, so that a running sum grows and rounds more and more; but not by a deviation, for that
   * would cover that one of 2^18 elements too few is counted.
   */
  private static HostTensor offCenter(int stream, long... shape) {
    HostTensor tensor = Case.noise(stream, shape);
    double[] values = tensor.doubles();
    Arrays.setAll(values, i -> 0.3 + values[i]);
    return tensor;
  }
}
