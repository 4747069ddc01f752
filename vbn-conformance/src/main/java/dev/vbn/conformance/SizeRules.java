package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.LongStream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * Batches beyond 16 bits in each direction. Their values never repeat, so that an element read from
 * the wrong place shows. They are the same for every seed, and so is the verdict.
 */
abstract class SizeRules extends Rules {
  private static final int BEYOND_18_BITS = (1 << 18) + 15;
  private static final int BEYOND_16_BITS = (1 << 16) + 5;

  /** Means, where deviations are about 1. */
  private static final double NEAR = 0.3;

  /** As far as 32 bits bear: deviations are multiples of a 16th, whose sums are exact. */
  private static final double FARTHEST = 0x1p20;

  private static final double FAR = 2e4;

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

    /** Whether the live batch is long, and not the reference alone. */
    boolean isLive() {
      return LongStream.of(live).reduce(1, (a, b) -> a * b) > BEYOND_16_BITS;
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
          "positions on both sides of the features",
          2,
          new long[] {2, 33_000, 1, 2},
          new long[] {2, 19, 1, 2},
          DType.FLOAT32,
          SCOPES),
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
      new Manner(Into.OVER_X, Into.SUPPLIED, Source.ALONE),
      new Manner(Into.NEW, Into.OVER_UPSTREAM, Source.ALONE));

  private static final Memo<String, Case> CASES = Memo.byName();

  SizeRules(VbnConformance kit) {
    super(kit);
  }

  static List<LongBatch> all() {
    return LONG;
  }

  static Case of(LongBatch size, Variant variant, Subject<?> subject) {
    boolean wide = subject.has(Capability.FLOAT64_STATISTICS);
    return CASES.get(size + variant.label() + wide, () -> make(size, variant, wide));
  }

  /** POOLED of a long batch is close to the live statistics alone: w is almost 1. */
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
        Case c = of(size, variant, subject());
        Computed computed = check(size, c, manner);
        if (variant == size.variants.get(0)) {
          assertRepeats(subject(), c, size.dtype, manner, computed);
          for (Passes passes : List.of(Passes.PARAMETERS_OF_EXAMPLES, Passes.SHARED_STATISTICS)) {
            if (size.isLive() && subject().passes(c, manner.by(passes)) == passes) {
              check(size, c, manner.by(passes));
            }
          }
        }
      }
    });
  }

  private Computed check(LongBatch size, Case c, Manner manner) {
    Computed computed = subject().run(c, size.dtype, manner);
    assertAgrees(
        subject(),
        c.describe() + ", in " + size.dtype + ", by " + manner.passes() + ", output into "
            + manner.output() + ", dx into " + manner.dx()
            + ": look at counts and indexes of 16 bits, limits of a grid, and sums that run in the"
            + " width of the elements",
        subject().expect(c, size.dtype),
        computed,
        size.dtype);
    return computed;
  }

  /**
   * With one more call of some kernel in between, so that none that alternates between two goes
   * unseen.
   */
  private static <T> void assertRepeats(
      Subject<T> subject, Case c, DType dtype, Manner manner, Computed computed) {
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm.of(subject.backend, c.config())
          .referenceStatistics(made.of(c.reference(), dtype))
          .close();
    }
    assertEqualBits(
        " of " + c.describe() + ", in " + dtype + ", computed again",
        computed,
        subject.run(c, dtype, manner),
        "Sums have one order, whatever their length.");
  }

  /** Elements of a batch of a size in between. */
  private static final int MOST = 80_000;

  private static final long[] EXAMPLES = {2, 16, 100, 256, 300};
  private static final long[] FEATURES = {1, 13, 16, 31, 64, 256, 300, 2048};
  private static final long[] POSITIONS = {1, 31, 64, 256, 1000, 1024};
  private static final int LAYOUTS = 3;
  private static final Passes[] PASSES = Passes.values();
  private static final Variant[] VARIANTS = Variant.values();

  /** Lengths between those of the table and those beyond 16 bits, any two of which meet. */
  private static final List<int[]> BETWEEN = CoveringArray.of(
      new int[] {
        EXAMPLES.length,
        FEATURES.length,
        POSITIONS.length,
        LAYOUTS,
        PASSES.length,
        VARIANTS.length,
        2
      },
      2,
      SizeRules::allowed,
      1);

  private static boolean allowed(int[] row) {
    long least = length(EXAMPLES, row[0]) * length(FEATURES, row[1]) * length(POSITIONS, row[2]);
    boolean known = row[0] >= 0 && row[1] >= 0 && row[2] >= 0;
    long examples = row[6] == 1 ? 2000 : 3;
    return least <= MOST
        && (!known || least >= 8000)
        && examples * length(FEATURES, row[1]) <= MOST;
  }

  private static long length(long[] lengths, int choice) {
    return choice < 0 ? lengths[0] : lengths[choice];
  }

  /** As real layers have them: powers of two, primes, and products beyond 16 bits of small lengths. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SIZE)
  final void resultsDoNotDependOnSizesBetween(Variant variant) {
    holds(() -> {
      for (int i = 0; i < BETWEEN.size(); i++) {
        int[] row = BETWEEN.get(i);
        if (VARIANTS[row[5]] == variant) {
          Manner manner = MANNERS.get(i % MANNERS.size()).by(PASSES[row[4]]);
          Case c = CASES.get("between " + i, () -> make(row, variant));
          Computed computed = subject().run(c, DType.FLOAT32, manner);
          assertAgrees(
              subject(),
              c.describe() + ", by " + manner.passes() + ", output into " + manner.output()
                  + ", dx into " + manner.dx() + ": look at blocks, tails and limits of a grid",
              subject().expect(c, DType.FLOAT32),
              computed,
              DType.FLOAT32);
          assertRepeats(subject(), c, DType.FLOAT32, manner, computed);
        }
      }
    });
  }

  /** In which direction a batch is long. */
  enum Direction {
    POSITIONS_BEHIND(1),
    POSITIONS_BEFORE(-1),
    POSITIONS_ON_BOTH_SIDES(2),
    EXAMPLES(1),
    FEATURES(1),
    FEATURES_LAST(-1);

    final int featureAxis;

    Direction(int featureAxis) {
      this.featureAxis = featureAxis;
    }

    /** Of one example or position more than {@code others}, where a feature had one element. */
    long[] shape(long length, long others) {
      return switch (this) {
        case POSITIONS_BEHIND -> new long[] {others, others, length};
        case POSITIONS_BEFORE -> new long[] {others, length, others};
        case POSITIONS_ON_BOTH_SIDES -> new long[] {others, length, others, 2};
        case EXAMPLES ->
          others < 3 ? new long[] {length, others} : new long[] {length, others, others};
        case FEATURES -> new long[] {others + 1, length, others};
        case FEATURES_LAST ->
          others == 1 ? new long[] {3, length} : new long[] {others, others, length};
      };
    }

    /** With another number of examples, and short where the live batch is very long. */
    long[] reference(long length, long others) {
      boolean ofFeatures = this == FEATURES || this == FEATURES_LAST;
      long[] shape = shape(ofFeatures || length < MOST / 8 ? length : 19, others);
      shape[0] += 1;
      return shape;
    }
  }

  /** All that can be left of a length after vectors of up to 16 elements, some before a block ends. */
  private static final long[] TAILS =
      LongStream.range(0, 16).map(i -> (128 << i % 4) + i).toArray();

  /** Around the lengths of blocks, tiles and tables. */
  private static final long[] BLOCKS = {
    255, 256, 257, 511, 512, 513, 1023, 1025, 2047, 2049, 4095, 4096, 4097, 8193, 16385
  };

  private static final Direction[] DIRECTIONS = Direction.values();
  private static final int[] OTHERS = {1, 2, 3};
  private static final Variant[] KERNELS = {
    Variant.LIVE_BATCH, Variant.PER_EXAMPLE, Variant.REFERENCE_ONLY
  };
  /** What does not count, and how that is said. */
  private enum Masked {
    NOTHING,
    LENGTHS,
    LENGTHS_AS_POSITIONS,
    SCATTERED
  }

  private static final Masked[] MASKS = Masked.values();

  /** Of masked batches of many examples, each may be computed by itself: that takes some engines long. */
  private static final int MOST_MASKED_EXAMPLES = 140;

  /**
   * A batch that is long in one direction.
   *
   * @param others length of its other axes
   * @param dtype which of the backend's types
   */
  private record Edge(
      Direction direction,
      long length,
      long others,
      Variant variant,
      int dtype,
      Passes passes,
      Masked masked) {

    static List<Edge> all() {
      List<Edge> edges = new ArrayList<>(of(TAILS, 3));
      edges.addAll(of(BLOCKS, 2));
      return edges;
    }

    private static List<Edge> of(long[] lengths, int strength) {
      int[] sizes = {
        DIRECTIONS.length,
        lengths.length,
        OTHERS.length,
        KERNELS.length,
        DType.values().length,
        PASSES.length,
        MASKS.length
      };
      return CoveringArray.of(sizes, strength, row -> allowed(row, lengths), 1).stream()
          .map(row -> new Edge(
              DIRECTIONS[row[0]],
              lengths[row[1]],
              OTHERS[row[2]],
              KERNELS[row[3]],
              row[4],
              PASSES[row[5]],
              MASKS[row[6]]))
          .toList();
    }

    private static boolean allowed(int[] row, long[] lengths) {
      long length = row[1] < 0 ? 1 : lengths[row[1]];
      long others = row[2] < 0 ? 1 : OTHERS[row[2]];
      boolean maskedExamples =
          row[0] >= 0 && DIRECTIONS[row[0]] == Direction.EXAMPLES && row[6] > 0;
      return length * others * others <= MOST && !(maskedExamples && length > MOST_MASKED_EXAMPLES);
    }

    Case at(double mean, int turn, boolean masks) {
      int axis = direction.featureAxis;
      long[] live = direction.shape(length, others);
      long[] reference = direction.reference(length, others);
      Case c = make(axis, live, reference, variant, mean);
      c = c.withConfig(c.config().withEpsilon(1e-3)); // 16 bits bear the slope of a variance of 0
      c = c.withParameters(turn % 4 == 3 ? null : c.gamma(), turn % 4 > 1 ? null : c.beta());
      if (masked == Masked.NOTHING || !masks) {
        return c;
      }
      Random random = new Random(3); // the same for every seed of the kit
      Kind kind = masked == Masked.SCATTERED ? Kind.SCATTERED : Kind.LENGTHS;
      Padding padding = Padding.draw(kind, live, axis, random);
      Padding ofReference = Padding.draw(kind, reference, axis, random);
      return masked == Masked.LENGTHS
          ? c.padded(padding, ofReference, Junk.NAN.value)
          : c.padded(
              padding.asPositions(live, axis),
              ofReference.asPositions(reference, axis),
              Junk.ORDINARY.value);
    }
  }

  /** Any three of what an edge is of meet for each tail, and any two for each block. */
  private static final List<Edge> EDGES = Edge.all();

  /**
   * A vector's tail, the last block, a tile that is not full: in each direction and every kernel.
   * Means are far from 0, so that a path that takes squares first shows as well.
   */
  @ParameterizedTest
  @EnumSource(Direction.class)
  @Checks(Rule.SIZE)
  final void resultsDoNotDependOnTailsAndBlocks(Direction direction) {
    holds(() -> {
      List<DType> dtypes = subject().dtypes();
      for (int i = 0; i < EDGES.size(); i++) {
        Edge edge = EDGES.get(i);
        if (edge.direction == direction) {
          DType dtype = dtypes.get(edge.dtype % dtypes.size());
          boolean far = dtype.precision() >= 24 && subject().has(Capability.FLOAT64_STATISTICS);
          Manner manner = MANNERS.get(i % MANNERS.size()).by(edge.passes);
          Case c = edge.at(far ? FAR : NEAR, i / MANNERS.size(), subject().has(Capability.MASK));
          assertAgrees(
              subject(),
              c.describe() + ", in " + dtype + ", by " + manner.passes() + ", output into "
                  + manner.output() + ", dx into " + manner.dx()
                  + ": look at tails of vectors, at the last of several blocks, and at sums of"
                  + " squares",
              subject().expect(c, dtype),
              subject().run(c, dtype, manner),
              dtype);
        }
      }
    });
  }

  private static final long[] COUNTS = {3000, 1 << 20, (1 << 24) + 1, (1L << 31) + 11, 1L << 40};

  /**
   * Statistics that were gathered elsewhere, of more than a batch can hold. The live batch is so
   * far from the reference that its small weight counts.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SIZE)
  final void resultsDoNotDependOnTheCountOfTheReference(Variant variant) {
    holds(() -> {
      for (DType dtype : subject().dtypes()) {
        if (dtype.precision() < 24) {
          continue; // 16 bits do not bear a batch so far away
        }
        for (int i = 0; i < COUNTS.length; i++) {
          Manner manner = Manner.PLAIN.by(PASSES[i % PASSES.length]);
          Case near = make(1, new long[] {4, 3, 5}, new long[] {6, 3, 5}, variant)
              .countedAs(COUNTS[i], 5 * COUNTS[i]);
          double distance = near.weight() > 0 ? Math.min(1e5, 1 / Math.sqrt(near.weight())) : 1;
          Case c = near.withLive(Layouts.mapped(near.x(), x -> x + distance), near.upstream());
          assertAgrees(
              subject(),
              c.describe() + ", in " + dtype + ", by " + manner.passes()
                  + ": look at weights and counts in the width of the elements",
              subject().expect(c, dtype),
              subject().run(c, dtype, manner),
              dtype);
        }
      }
    });
  }

  /** Lengths beyond 15 and 16 bits, along the last axis and along the first. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SIZE)
  final void resultsDoNotDependOnTheLengthsOfAMask(Variant variant) {
    holds(() -> {
      if (!subject().has(Capability.MASK)) {
        throw new DeclaredAbsent("MASK is declared absent; checked apart");
      }
      long[] lengths = {BEYOND_16_BITS, 40_000};
      for (int axis : new int[] {1, -1}) {
        long[] live = axis == 1
            ? new long[] {2, 1, BEYOND_16_BITS + 30}
            : new long[] {2, BEYOND_16_BITS + 30, 1};
        Padding padding =
            Padding.of(lengths, 1, new long[] {2, BEYOND_16_BITS + 30}, Mask.lengths(lengths));
        Case c = CASES.get(
            "lengths " + axis + variant,
            () -> make(axis, live, new long[] {2, 1, 1}, variant)
                .padded(padding, null, Junk.ORDINARY.value));
        assertAgrees(
            subject(),
            c.describe() + ": look at lengths of 16 bits",
            subject().expect(c, DType.FLOAT32),
            subject().run(c, DType.FLOAT32),
            DType.FLOAT32);
      }
    });
  }

  private static Case make(int[] row, Variant variant) {
    long n = EXAMPLES[row[0]];
    long f = FEATURES[row[1]];
    long p = POSITIONS[row[2]];
    long[] reference = {row[6] == 1 ? 2000 : 3, f};
    return switch (row[3]) {
      case 0 -> make(1, new long[] {n, f, p}, new long[] {reference[0], f, 1}, variant);
      case 1 -> make(-1, new long[] {n, p, f}, new long[] {reference[0], 1, f}, variant);
      default -> {
        long before = p % 2 == 0 ? 2 : 1;
        yield make(
            2, new long[] {n, before, f, p / before}, new long[] {reference[0], 1, f, 1}, variant);
      }
    };
  }

  /** Statistics of a scope are far from 0 too, where the backend bears it, in two of the variants. */
  private static Case make(LongBatch size, Variant variant, boolean wide) {
    boolean far = wide
        && size.dtype.precision() >= 24
        && (variant == Variant.PER_EXAMPLE || variant == Variant.BATCH);
    return make(size.featureAxis, size.live, size.reference, variant, far ? FARTHEST : NEAR);
  }

  private static Case make(int featureAxis, long[] live, long[] reference, Variant variant) {
    return make(featureAxis, live, reference, variant, NEAR);
  }

  private static Case make(
      int featureAxis, long[] live, long[] reference, Variant variant, double mean) {
    int features = (int) live[featureAxis < 0 ? live.length - 1 : featureAxis];
    VbnConfig config = VbnConfig.of(features)
        .withVariant(variant)
        .withFeatureAxis(featureAxis)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Case(
        config,
        offCenter(1, mean, live),
        offCenter(2, mean, reference),
        Case.noise(3, features),
        Case.noise(4, features),
        Case.noise(5, live),
        Case.noise(6, reference));
  }

  /**
   * Off 0, so that a running sum grows and rounds more and more. Where the mean is near, each of
   * 2^18 elements counts; where it is far, it must not be squared.
   */
  private static HostTensor offCenter(int stream, double mean, long... shape) {
    return Layouts.mapped(Case.noise(stream, shape), x -> mean + x);
  }
}
