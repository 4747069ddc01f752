package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;
import static java.util.stream.Collectors.joining;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
import dev.vbn.conformance.Samples.Spread;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * The table of cases that every result is compared on: rows of conditions under which an optimised
 * backend may take another path, any two of which meet in some row, and any three of those that
 * choose between kernels.
 */
final class Conditions {
  private static final int LARGEST = 21_000; // elements of a batch
  private static final int SMALL_EPSILON = 4;
  private static final int SCALED = 2;

  // Places of the dimensions in a row.
  private static final int VARIANT = 0;
  private static final int LAYOUT = 1;
  private static final int FEATURE_COUNT = 2;
  private static final int POSITION_COUNT = 3;
  private static final int EXAMPLE_COUNT = 4;
  private static final int REFERENCE = 5;
  private static final int EPSILON = 6;
  private static final int GAMMA = 7;
  private static final int BETA = 8;
  private static final int ATTACHED = 9;
  private static final int OUTPUT = 10;
  private static final int DX = 11;
  private static final int SPREAD = 12;
  private static final int SOURCE = 13;
  private static final int PASSES = 14;
  private static final int UPSTREAM = 15;
  private static final int LIVE = 16;
  private static final int PADDING = 17;
  private static final int REFERENCE_PADDING = 18;
  private static final int JUNK = 19;

  private static final Variant[] VARIANTS = Variant.values();
  private static final Layout[] LAYOUTS = Layout.values();
  private static final long[] FEATURES = {1, 2, 8, 10, 12, 17, 20, 100, 4, 16};
  private static final Positions[] POSITIONS = {
    Positions.of(1),
    Positions.longestFirst(5),
    Positions.of(15),
    Positions.of(16),
    Positions.longestFirst(33),
    Positions.of(64),
    Positions.of(1025),
    Positions.alongEach(4),
    Positions.of(2),
    Positions.of(3)
  };
  private static final long[] EXAMPLES = {1, 2, 7, 33, 4, 16};
  private static final Reference[] REFERENCES = Reference.values();
  // Three with more digits than 32 bits or a text of 7 digits hold.
  private static final double[] EPSILONS = {
    1e-5, 1.000012345678e-3, 0.512345678912, 20.0000123456, 1e-10
  };
  private static final String[] GAMMAS = {
    "drawn", "absent", "negative", "0 in part", "of 1e10", "of 1e-10", "1 at both ends"
  };
  private static final String[] BETAS = {"drawn", "absent", "of 1e10", "of 1e-10", "0 at both ends"
  };
  private static final String[] UPSTREAMS = {
    "drawn",
    "0 in part",
    "0 but for one example",
    "0",
    "of 1e10",
    "of 1e-10",
    "the same at both ends and in the middle"
  };
  private static final String[] LIVES = {
    "near the reference",
    "far from the reference",
    "constant in each feature",
    "of one number",
    "near 0 where the reference is not",
    "its first example far from the others"
  };
  private static final ReferenceGradient[] GRADIENTS = {
    ReferenceGradient.DETACHED, ReferenceGradient.ATTACHED
  };
  private static final Into[] OUTPUTS = {Into.NEW, Into.SUPPLIED, Into.OVER_X};
  private static final Into[] DXS = {Into.NEW, Into.SUPPLIED, Into.OVER_X, Into.OVER_UPSTREAM};
  private static final Spread[] SPREADS = {Spread.ORDINARY, Spread.APART, Spread.SCALED, Spread.FAR
  };
  private static final Source[] SOURCES = Source.values();
  private static final Passes[] PASS_KINDS = Passes.values();
  private static final Kind[] PADDINGS = Kind.values();
  private static final Junk[] JUNKS = Junk.values();

  /** Axes before the features, axes after them, and the sign of the feature axis. */
  private enum Layout {
    NC(0, 0, false),
    NCL(0, 1, false),
    NLC(1, 0, false),
    NLC_FROM_THE_END(1, 0, true),
    NCHW(0, 2, false),
    NHCW(1, 1, false),
    NHWC(2, 0, true),
    NCDHW(0, 3, false),
    NDCHW(1, 2, false),
    NDHWC(3, 0, false);

    final int before;
    final int behind;
    final boolean fromTheEnd;

    Layout(int before, int behind, boolean fromTheEnd) {
      this.before = before;
      this.behind = behind;
      this.fromTheEnd = fromTheEnd;
    }

    int axis() {
      return fromTheEnd ? -1 - behind : 1 + before;
    }

    long[] shape(long examples, long features, Positions positions) {
      // In the middle the features split the positions: 3 before, the rest after.
      boolean middle = before > 0 && behind > 0;
      long[] first = (middle ? positions.orElse(3) : positions).along(before);
      long[] last = positions.along(behind);
      return IntStream.range(0, 2 + before + behind)
          .mapToLong(i -> i == 0
              ? examples
              : i <= before ? first[i - 1] : i == before + 1 ? features : last[i - before - 2])
          .toArray();
    }

    long elements(long examples, long features, Positions positions) {
      return Arrays.stream(shape(examples, features, positions)).reduce(1, (a, b) -> a * b);
    }
  }

  /**
   * Positions of an example.
   *
   * @param count all together, or along each axis
   */
  private record Positions(String label, long count, boolean longestFirst, boolean alongEach) {
    static Positions of(long count) {
      return new Positions(Long.toString(count), count, false, false);
    }

    static Positions longestFirst(long count) {
      return new Positions(count + ", the longest axis first", count, true, false);
    }

    static Positions alongEach(long count) {
      return new Positions(count + " along each axis", count, false, true);
    }

    Positions orElse(long other) {
      return alongEach ? this : of(other);
    }

    /** Lengths of that many axes. */
    long[] along(int axes) {
      long[] lengths = new long[axes];
      long rest = count;
      for (int i = 0; i < axes; i++) {
        long length = alongEach || i == axes - 1 ? rest : (long) Math.sqrt((double) rest);
        while (rest % length != 0) {
          length--;
        }
        lengths[longestFirst ? axes - 1 - i : i] = length;
        rest = alongEach ? rest : rest / length;
      }
      return lengths;
    }

    @Override
    public String toString() {
      return label;
    }
  }

  private enum Reference {
    SAME_SHAPE,
    ONE_EXAMPLE,
    MORE_EXAMPLES,
    OTHER_POSITIONS;

    long[] shape(Layout layout, long examples, long features, Positions positions) {
      return switch (this) {
        case SAME_SHAPE -> layout.shape(examples, features, positions);
        case ONE_EXAMPLE -> layout.shape(1, features, positions);
        case MORE_EXAMPLES ->
          layout.shape(9, features, positions.count > 100 ? Positions.of(3) : positions);
        case OTHER_POSITIONS ->
          layout.shape(examples + 1, features, Positions.of(positions.count == 1 ? 1 : 7));
      };
    }
  }

  private record Dimension(String name, List<String> labels) {
    static Dimension of(String name, Object... values) {
      return new Dimension(name, Arrays.stream(values).map(String::valueOf).toList());
    }

    static Dimension of(String name, long... values) {
      return new Dimension(name, Arrays.stream(values).mapToObj(Long::toString).toList());
    }
  }

  private static final List<Dimension> DIMENSIONS = List.of(
      Dimension.of("variant", (Object[]) VARIANTS),
      Dimension.of("layout", (Object[]) LAYOUTS),
      Dimension.of("features", FEATURES),
      Dimension.of("positions", (Object[]) POSITIONS),
      Dimension.of("examples", EXAMPLES),
      Dimension.of("reference of", (Object[]) REFERENCES),
      Dimension.of("epsilon", Arrays.stream(EPSILONS).boxed().toArray()),
      Dimension.of("gamma", (Object[]) GAMMAS),
      Dimension.of("beta", (Object[]) BETAS),
      Dimension.of("statistics", (Object[]) GRADIENTS),
      Dimension.of("output into", (Object[]) OUTPUTS),
      Dimension.of("dx into", (Object[]) DXS),
      Dimension.of("features spread", (Object[]) SPREADS),
      Dimension.of("statistics from", (Object[]) SOURCES),
      Dimension.of("computed by", (Object[]) PASS_KINDS),
      Dimension.of("upstream gradient", (Object[]) UPSTREAMS),
      Dimension.of("live batch", (Object[]) LIVES));

  /** The last value stands for a batch of which everything counts. */
  private static final List<Dimension> MASKED_DIMENSIONS = Stream.concat(
          DIMENSIONS.stream(),
          Stream.of(
              Dimension.of("live mask", withNone(PADDINGS)),
              Dimension.of("reference mask", withNone(PADDINGS)),
              Dimension.of("masked elements", (Object[]) JUNKS)))
      .toList();

  private static Object[] withNone(Kind[] kinds) {
    Object[] all = Arrays.copyOf(kinds, kinds.length + 1, Object[].class);
    all[kinds.length] = "none";
    return all;
  }

  /** Choices any three of which meet too, in batches that are all small. */
  private static final int[][] FEW = {
    {0, 1, 2, 3, 4}, // variant
    {0, 1, 2, 5}, // layout
    {0, 5}, // features
    {0, 1, 4}, // positions
    {0, 2}, // examples
    {0}, // reference of
    {1}, // epsilon
    {0, 1, 3}, // gamma
    {0, 1}, // beta
    {0, 1}, // statistics
    {0, 1, 2}, // output into
    {0, 1, 2, 3}, // dx into
    {0}, // features spread
    {0, 1, 2, 3}, // statistics from
    {0, 1, 2}, // computed by
    {0}, // upstream gradient
    {0}, // live batch
    {0, 2, 5, 8}, // live mask
    {0, 2, 8}, // reference mask
    {0, 3} // masked elements
  };

  /**
   * Any four, or any three under masks, in batches with axes of one length, which can be taken for
   * each other.
   */
  private static final int[][] ALIKE = {
    {0, 2, 4}, // variant
    {0, 1, 2, 4, 5, 6, 8}, // layout
    {0, 8}, // features
    {0, 7}, // positions
    {4}, // examples
    {0}, // reference of
    {1}, // epsilon
    {0}, // gamma
    {0}, // beta
    {1}, // statistics
    {0, 1}, // output into
    {0, 1}, // dx into
    {0}, // features spread
    {0, 2}, // statistics from
    {0, 1, 2}, // computed by
    {0}, // upstream gradient
    {0}, // live batch
    {0, 1, 2, 8}, // live mask
    {0, 1, 2, 8}, // reference mask
    {0} // masked elements
  };

  /** Any two, where that length is one of vectors, and not so short that a batch is small. */
  private static final int[][] LONGER_ALIKE = changed(
      ALIKE,
      Map.of(
          LAYOUT, new int[] {0, 1, 2},
          FEATURE_COUNT, new int[] {0, 9},
          POSITION_COUNT, new int[] {0, 3},
          EXAMPLE_COUNT, new int[] {5}));

  /** Any three, where positions are so few that a kernel may take those of several features at once. */
  private static final int[][] SHORT_RUNS = changed(
      ALIKE,
      Map.of(
          LAYOUT, new int[] {1, 2},
          FEATURE_COUNT, new int[] {0, 1, 5, 9},
          POSITION_COUNT, new int[] {8, 9},
          EXAMPLE_COUNT, new int[] {3, 5},
          SOURCE, new int[] {0},
          PASSES, new int[] {0},
          PADDING, new int[] {2, 8},
          REFERENCE_PADDING, new int[] {2, 8}));

  private static int[][] changed(int[][] part, Map<Integer, int[]> choices) {
    int[][] other = part.clone();
    choices.forEach((dimension, some) -> other[dimension] = some);
    return other;
  }

  private static final List<Conditions> ROWS = rows(DIMENSIONS, Conditions::allowed);
  private static final List<Conditions> MASKED_ROWS =
      rows(MASKED_DIMENSIONS, row -> allowed(row) && masked(row));

  private final int number;
  private final int[] row;
  private final Memo<Boolean, Case> cases = Memo.byName();

  private Conditions(int number, int[] row) {
    this.number = number;
    this.row = row;
  }

  /** All rows. They are the same for every seed, which draws the numbers in them. */
  static List<Conditions> all() {
    return ROWS;
  }

  /** As {@link #all}, with a mask of the live or the reference batch or of both. */
  static List<Conditions> masked() {
    return MASKED_ROWS;
  }

  private static List<Conditions> rows(List<Dimension> dimensions, Predicate<int[]> allowed) {
    boolean masked = dimensions.size() > DIMENSIONS.size();
    int[] all = dimensions.stream().mapToInt(d -> d.labels.size()).toArray();
    List<int[]> rows = new ArrayList<>(CoveringArray.of(all, 2, allowed, 1));
    rows.addAll(part(FEW, 3, all.length, allowed));
    rows.addAll(part(ALIKE, masked ? 3 : 4, all.length, row -> allowed.test(row) && alike(row)));
    rows.addAll(part(SHORT_RUNS, 3, all.length, allowed));
    rows.addAll(part(LONGER_ALIKE, 2, all.length, row -> allowed.test(row) && alike(row)));
    return IntStream.range(0, rows.size())
        .mapToObj(i -> new Conditions(i, rows.get(i)))
        .toList();
  }

  private static List<int[]> part(
      int[][] part, int strength, int dimensions, Predicate<int[]> allowed) {
    int[] sizes =
        Arrays.stream(part, 0, dimensions).mapToInt(choices -> choices.length).toArray();
    return CoveringArray.of(sizes, strength, row -> allowed.test(of(part, row)), 1).stream()
        .map(row -> of(part, row))
        .toList();
  }

  /** Without an axis for positions there is one position; else there are as many along each. */
  private static boolean alike(int[] row) {
    return row[LAYOUT] < 1 || row[POSITION_COUNT] != 0;
  }

  private static int[] of(int[][] part, int[] row) {
    int[] choices = new int[row.length];
    Arrays.setAll(
        choices, i -> row[i] == CoveringArray.OPEN ? CoveringArray.OPEN : part[i][row[i]]);
    return choices;
  }

  private static boolean masked(int[] row) {
    return row[PADDING] != PADDINGS.length || row[REFERENCE_PADDING] != PADDINGS.length;
  }

  /** Only what is chosen already can be refused. */
  private static boolean allowed(int[] row) {
    if (row[LAYOUT] == 0 && row[POSITION_COUNT] > 0) {
      return false; // without an axis for positions there is one
    }
    boolean extreme =
        isOf1e10(row[GAMMA], 4) || isOf1e10(row[BETA], 2) || isOf1e10(row[UPSTREAM], 4);
    if (extreme && (row[SPREAD] == SCALED || row[EPSILON] == SMALL_EPSILON)) {
      return false; // gradients of the statistics leave 32 bits
    }
    Layout layout = LAYOUTS[Math.max(row[LAYOUT], 0)];
    return layout.elements(
            EXAMPLES[Math.max(row[EXAMPLE_COUNT], 0)],
            FEATURES[Math.max(row[FEATURE_COUNT], 0)],
            POSITIONS[Math.max(row[POSITION_COUNT], 0)])
        <= LARGEST;
  }

  /** Whether a choice is this one, of 1e10, or the next, of 1e-10. */
  private static boolean isOf1e10(int choice, int first) {
    return choice == first || choice == first + 1;
  }

  /** The case of this row, with values that batches of {@code dtype} can hold. */
  Case of(DType dtype) {
    boolean wide = dtype.precision() >= 24;
    return cases.get(wide, () -> draw(wide));
  }

  private Case draw(boolean wide) {
    Layout layout = LAYOUTS[row[LAYOUT]];
    long features = FEATURES[row[FEATURE_COUNT]];
    Positions positions = POSITIONS[row[POSITION_COUNT]];
    long examples = EXAMPLES[row[EXAMPLE_COUNT]];
    double epsilon = EPSILONS[row[EPSILON]];
    long[] live = layout.shape(examples, features, positions);
    long[] reference = REFERENCES[row[REFERENCE]].shape(layout, examples, features, positions);
    boolean ofOne = product(reference) == features || row.length > DIMENSIONS.size();
    // The variance of one element is 0, as is that of a constant: 16 bits do not bear its root of
    // 1e-5.
    VbnConfig config = VbnConfig.of((int) features)
        .withVariant(VARIANTS[row[VARIANT]])
        .withFeatureAxis(layout.axis())
        .withEpsilon(wide || !ofOne ? epsilon : Math.max(epsilon, 1e-3))
        .withReferenceGradient(GRADIENTS[row[ATTACHED]]);
    Spread spread = wide || row[SPREAD] == 0 ? SPREADS[row[SPREAD]] : Spread.NEAR;
    Samples samples = new Samples(1000 + number);
    Case drawn = samples.of(config, live, reference, spread);
    HostTensor gamma = requireNonNull(drawn.gamma());
    HostTensor beta = requireNonNull(drawn.beta());
    int ofGamma = row[GAMMA];
    int ofBeta = row[BETA];
    Case c = drawn.withParameters(
        switch (ofGamma) {
          case 1 -> null;
          case 2 -> Layouts.mapped(gamma, each -> -each);
          case 3 -> zeroedInPart(gamma);
          case 4, 5 ->
            wide ? Layouts.mapped(gamma, each -> each * (ofGamma == 4 ? 1e10 : 1e-10)) : gamma;
          case 6 -> withEnds(gamma, 1);
          default -> gamma;
        },
        switch (ofBeta) {
          case 1 -> null;
          case 2, 3 ->
            wide ? Layouts.mapped(beta, each -> each * (ofBeta == 2 ? 1e10 : 1e-10)) : beta;
          case 4 -> withEnds(beta, 0);
          default -> beta;
        });
    c = c.withLive(live(c, wide), upstream(c.upstream(), wide));
    if (row[LIVE] == 4 && wide) {
      c = c.withReference(Layouts.mapped(c.reference(), each -> each + 1e5), c.referenceUpstream());
    }
    return row.length == DIMENSIONS.size() ? c : padded(c);
  }

  private HostTensor live(Case c, boolean wide) {
    HostTensor x = c.x();
    double[] values = x.toDoubles();
    Geometry geometry = c.liveGeometry();
    return switch (row[LIVE]) {
      case 1 -> wide ? Layouts.mapped(x, each -> each + 1000) : x;
      case 2 -> {
        for (int i = 0; i < values.length; i++) {
          int feature = (int) (i / geometry.after() % geometry.features());
          values[i] = values[(int) (feature * geometry.after())]; // the first of the feature
        }
        yield HostTensor.of(values, x.shape());
      }
      case 3 -> Layouts.filled(x, x.get(0));
      case 5 -> {
        int ofExample = values.length / (int) x.shape()[0];
        for (int i = 0; i < ofExample; i++) {
          values[i] += wide ? 1e4 : 8;
        }
        yield HostTensor.of(values, x.shape());
      }
      default -> x;
    };
  }

  private HostTensor upstream(HostTensor drawn, boolean wide) {
    double[] values = drawn.toDoubles();
    int ofExample = values.length / (int) drawn.shape()[0];
    int kind = row[UPSTREAM];
    for (int i = 0; i < values.length; i++) {
      values[i] *= switch (kind) {
        case 1 -> values[i] > 0 ? 1 : 0; // as a rectifier leaves it
        case 2 -> i < ofExample ? 1 : 0;
        case 3 -> 0;
        case 4, 5 -> wide ? (kind == 4 ? 1e10 : 1e-10) : 1;
        default -> 1;
      };
    }
    if (kind == 6) {
      values[values.length / 2] = values[0];
      values[values.length - 1] = values[0];
    }
    return HostTensor.of(values, drawn.shape());
  }

  private static long product(long[] shape) {
    return Arrays.stream(shape).reduce(1, Math::multiplyExact);
  }

  private Case padded(Case c) {
    Samples samples = new Samples(3000 + number);
    int axis = c.config().featureAxis();
    return c.padded(
        row[PADDING] == PADDINGS.length
            ? null
            : samples.padding(PADDINGS[row[PADDING]], c.x().shape(), axis),
        row[REFERENCE_PADDING] == PADDINGS.length
            ? null
            : samples.padding(PADDINGS[row[REFERENCE_PADDING]], c.reference().shape(), axis),
        JUNKS[row[JUNK]].value);
  }

  /** What takes samples of a parameter takes those. */
  private static HostTensor withEnds(HostTensor parameter, double end) {
    double[] values = parameter.toDoubles();
    values[0] = end;
    values[values.length - 1] = end;
    return HostTensor.of(values, parameter.shape());
  }

  private static HostTensor zeroedInPart(HostTensor gamma) {
    double[] values = gamma.toDoubles();
    Arrays.setAll(values, i -> i % 2 == 0 ? 0 : values[i]);
    return HostTensor.of(values, gamma.shape());
  }

  /** How the layer is called in this row. */
  Manner manner() {
    return new Manner(
        OUTPUTS[row[OUTPUT]], DXS[row[DX]], SOURCES[row[SOURCE]], PASS_KINDS[row[PASSES]]);
  }

  /** This row in words. */
  String describe(DType dtype) {
    return of(dtype).describe() + ", in " + dtype + ", output into " + OUTPUTS[row[OUTPUT]]
        + ", dx into " + DXS[row[DX]] + ", statistics from " + SOURCES[row[SOURCE]]
        + ", by " + PASS_KINDS[row[PASSES]] + ", features spread " + SPREADS[row[SPREAD]]
        + ", gamma " + GAMMAS[row[GAMMA]] + ", beta " + BETAS[row[BETA]] + ", upstream gradient "
        + UPSTREAMS[row[UPSTREAM]] + ", live batch " + LIVES[row[LIVE]]
        + (row.length == DIMENSIONS.size() ? "" : ", masked elements " + JUNKS[row[JUNK]]);
  }

  /**
   * What the rows that failed have in common, in words, the narrowest first; empty where that says
   * nothing.
   */
  static String common(List<Conditions> failed) {
    if (failed.size() < 3) {
      return ""; // few rows agree in much by chance
    }
    Map<String, Double> common = new LinkedHashMap<>(); // with the share of the choices that failed
    List<Dimension> dimensions =
        failed.get(0).row.length == DIMENSIONS.size() ? DIMENSIONS : MASKED_DIMENSIONS;
    for (int i = 0; i < dimensions.size(); i++) {
      int place = i;
      Dimension dimension = dimensions.get(i);
      int[] values =
          failed.stream().mapToInt(each -> each.row[place]).distinct().sorted().toArray();
      double share = (double) values.length / dimension.labels.size();
      if (share <= 0.5) {
        common.put(
            dimension.name + " "
                + Arrays.stream(values).mapToObj(dimension.labels::get).collect(joining(" or ")),
            share);
      }
    }
    return common.isEmpty()
        ? ""
        : common.entrySet().stream()
            .sorted(Map.Entry.comparingByValue())
            .map(Map.Entry::getKey)
            .collect(joining("; ", " All of these have ", "."));
  }
}
