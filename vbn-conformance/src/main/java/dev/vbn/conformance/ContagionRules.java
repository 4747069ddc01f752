package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.function.IntPredicate;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** How far NaN and infinity spread. */
abstract class ContagionRules extends Rules {
  private static final int MARKED_FEATURE = 1;
  private static final int MARKED_EXAMPLE = 2;

  /** Rows that a kernel takes in one go, and rows with a remainder. */
  private static final List<Shapes> SHAPES = List.of(
      new Shapes(1, new long[] {4, 3, 6}, new long[] {5, 3, 6}, Manner.PLAIN),
      new Shapes(1, new long[] {4, 3, 67}, new long[] {3, 3, 35}, Manner.PLAIN),
      new Shapes(-1, new long[] {4, 9, 3}, new long[] {5, 2, 3}, Manner.PLAIN),
      new Shapes(1, new long[] {4, 3}, new long[] {6, 3}, Manner.PLAIN));

  /** More of them, which the variants take in turn: a kernel of its own loses NaN on its own. */
  private static final List<Shapes> MORE = List.of(
      new Shapes(2, new long[] {3, 2, 17, 5}, new long[] {4, 1, 17, 5}, manner(Into.SUPPLIED)),
      new Shapes(-1, new long[] {3, 5, 1, 3, 10}, new long[] {3, 2, 1, 1, 10}, Manner.PLAIN),
      new Shapes(1, new long[] {3, 100}, new long[] {4, 100}, manner(Into.OVER_X)),
      new Shapes(1, new long[] {3, 8, 4, 4}, new long[] {3, 8, 1, 1}, manner(Into.OVER_X)),
      new Shapes(-1, new long[] {4, 33, 12}, new long[] {3, 16, 12}, manner(Into.SUPPLIED)),
      new Shapes(1, new long[] {3, 2, 1025}, new long[] {3, 2, 15}, manner(Into.SUPPLIED)),
      new Shapes(-1, new long[] {3, 1025, 2}, new long[] {3, 15, 2}, manner(Into.OVER_X)),
      new Shapes(1, new long[] {34, 20, 1, 2, 3}, new long[] {3, 20, 1, 2, 3}, Manner.PLAIN),
      new Shapes(-1, new long[] {3, 16, 8}, new long[] {3, 16, 8}, manner(Into.SUPPLIED)),
      new Shapes(1, new long[] {3, 17, 33}, new long[] {3, 17, 1}, manner(Into.OVER_X)));

  private record Shapes(int featureAxis, long[] live, long[] reference, Manner manner) {
    VbnConfig config(Variant variant) {
      int features = (int) live[featureAxis < 0 ? live.length - 1 : featureAxis];
      return VbnConfig.of(features)
          .withVariant(variant)
          .withFeatureAxis(featureAxis)
          .withReferenceGradient(ReferenceGradient.ATTACHED);
    }
  }

  private static Manner manner(Into into) {
    return new Manner(into, into, Source.PASS);
  }

  ContagionRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.NOT_A_NUMBER)
  final void notANumberStaysInItsGroup(Variant variant) {
    holds(() -> checkBatches(variant, Double.NaN));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.INFINITY)
  final void infinityStaysInItsGroup(Variant variant) {
    holds(() -> {
      checkBatches(variant, Double.POSITIVE_INFINITY);
      SHAPES.forEach(shapes -> checkBatches(variant, shapes, Double.NEGATIVE_INFINITY));
    });
  }

  private void checkBatches(Variant variant, double value) {
    SHAPES.forEach(shapes -> checkBatches(variant, shapes, value));
    List<Variant> variants = List.of(Variant.values());
    for (int i = variants.indexOf(variant); i < MORE.size(); i += variants.size()) {
      Shapes shapes = MORE.get(i);
      double epsilon = new double[] {1e-3, 0.5, 1e-10}[i % 3];
      Case drawn = drawn(shapes.config(variant).withEpsilon(epsilon), shapes);
      HostTensor gamma = requireNonNull(drawn.gamma());
      Case clean = switch (i % 4) {
        case 0 -> drawn.withParameters(null, drawn.beta());
        case 1 ->
          drawn.withParameters( // 0 times NaN is NaN
              Layouts.with(Layouts.with(gamma, 0, 0), MARKED_FEATURE, 0), drawn.beta());
        case 2 -> drawn.withParameters(Layouts.with(gamma, 0, -1), drawn.beta());
        default -> drawn.withParameters(gamma, null);
      };
      checkBatches(clean, shapes.manner.by(any(Passes.values(), i + i / variants.size())), value);
    }
  }

  private static <V> V any(V[] values, int turn) {
    return values[turn % values.length];
  }

  private void checkBatches(Variant variant, Shapes shapes, double value) {
    Case clean = drawn(shapes.config(variant), shapes);
    checkBatches(clean, shapes.manner, value);
    if (Double.isNaN(value) && subject().has(Capability.MASK)) {
      checkBatches(padded(clean, shapes), shapes.manner, value);
    }
  }

  /** With some elements left out, but not the one that is marked. */
  private static Case padded(Case clean, Shapes shapes) {
    Samples samples = new Samples(54);
    return clean.padded(
        padding(samples, shapes, shapes.live, clean.liveGeometry()),
        padding(samples, shapes, shapes.reference, clean.referenceGeometry()),
        Junk.ORDINARY.value);
  }

  private static Padding padding(Samples samples, Shapes shapes, long[] shape, Geometry geometry) {
    Padding drawn = samples.padding(Kind.SCATTERED, shape, shapes.featureAxis);
    drawn.counts()[position(geometry, marked(geometry))] = true;
    return drawn.asPositions(shape, shapes.featureAxis);
  }

  /**
   * The last element of the marked feature in the marked example: a remainder must not be
   * forgotten.
   */
  private static int marked(Geometry geometry) {
    long row = (MARKED_EXAMPLE + 1) * geometry.before() - 1;
    return (int) ((row * geometry.features() + MARKED_FEATURE + 1) * geometry.after() - 1);
  }

  /** The place of an element among those of its feature. */
  private static int position(Geometry geometry, int index) {
    long row = index / geometry.after() / geometry.features();
    return (int) (row * geometry.after() + index % geometry.after());
  }

  private static Case drawn(VbnConfig config, Shapes shapes) {
    return new Samples(53).of(config, shapes.live, shapes.reference);
  }

  private void checkBatches(Case clean, Manner manner, double value) {
    for (DType dtype : subject().dtypes()) {
      new Contagion(clean, dtype, manner, value + " in " + dtype).checkBatches(value);
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.NOT_A_NUMBER)
  final void whatIsNotFiniteInAParameterSpoilsItsFeatureOnly(Variant variant) {
    holds(() -> {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case clean = new Samples(55).of(config, new long[] {4, 3, 6}, new long[] {5, 3, 6});
      for (DType dtype : subject().dtypes()) {
        for (double mark : new double[] {Double.NaN, Double.NEGATIVE_INFINITY}) {
          new Contagion(clean, dtype, Manner.PLAIN, mark + " in " + dtype).checkParameters(mark);
        }
      }
    });
  }

  /** One clean case, and what becomes of its results where an argument is marked. */
  private final class Contagion {
    private final Case clean;
    private final DType dtype;
    private final Manner manner;
    private final String value;
    private final int features;
    private final Computed expected;
    private final Geometry live;
    private final Geometry reference;

    Contagion(Case clean, DType dtype, Manner manner, String value) {
      this.clean = clean;
      this.dtype = dtype;
      this.manner = manner;
      this.value = value;
      features = clean.config().features();
      expected = right(subject(), clean, dtype, manner);
      live = clean.liveGeometry();
      reference = clean.referenceGeometry();
    }

    private int feature(Geometry geometry, int index) {
      return (int) (index / geometry.after() % features);
    }

    private int example(Geometry geometry, int index) {
      return (int) (index / geometry.after() / features / geometry.before());
    }

    private boolean counts(Geometry geometry, @Nullable Padding padding, int index) {
      return padding == null || padding.counts()[position(geometry, index)];
    }

    private boolean inGroup(int index) {
      boolean sameFeature =
          feature(live, index) == MARKED_FEATURE && counts(live, clean.padding(), index);
      return switch (clean.config().variant().scope()) {
        case BATCH -> sameFeature;
        case EXAMPLE -> sameFeature && example(live, index) == MARKED_EXAMPLE;
        case NONE -> index == marked(live);
      };
    }

    void checkBatches(double mark) {
      boolean alone = clean.config().variant().scope() == Scope.NONE;
      IntPredicate none = i -> false;
      IntPredicate feature = i -> i % features == MARKED_FEATURE;
      IntPredicate inReference = i ->
          feature(reference, i) == MARKED_FEATURE && counts(reference, clean.referencePadding(), i);
      IntPredicate inLive =
          i -> feature(live, i) == MARKED_FEATURE && counts(live, clean.padding(), i);
      IntPredicate statistic = switch (clean.config().variant().scope()) {
        case BATCH -> feature;
        case EXAMPLE -> i -> i == features * MARKED_EXAMPLE + MARKED_FEATURE;
        case NONE -> none;
      };

      HostTensor x = Layouts.with(clean.x(), marked(live), mark);
      Marked marked = new Marked("x", clean.withLive(x, clean.upstream()));
      marked.check(Quantity.OUTPUT, this::inGroup);
      marked.check(Quantity.LIVE_MEAN, statistic);
      marked.check(Quantity.LIVE_VARIANCE, statistic);
      marked.check(Quantity.DX, alone ? none : this::inGroup);
      marked.check(Quantity.DGAMMA, feature);
      marked.check(Quantity.DBETA, none);
      marked.check(Quantity.DREFERENCE, inReference);
      marked.check(Quantity.SECOND_X, alone ? none : this::inGroup);
      marked.check(Quantity.SECOND_UPSTREAM, this::inGroup);
      marked.check(Quantity.SECOND_GAMMA, alone ? none : feature);

      HostTensor dy = Layouts.with(clean.upstream(), marked(live), mark);
      marked = new Marked("the upstream gradient", clean.withLive(clean.x(), dy));
      marked.check(Quantity.OUTPUT, none);
      marked.check(Quantity.DX, this::inGroup);
      marked.check(Quantity.DGAMMA, feature);
      marked.check(Quantity.DBETA, feature);
      marked.check(Quantity.DREFERENCE, inReference);
      marked.check(Quantity.SECOND_X, this::inGroup);
      marked.check(Quantity.SECOND_UPSTREAM, none);
      marked.check(Quantity.SECOND_GAMMA, feature);

      HostTensor v = Layouts.with(clean.second(dtype).dx(), marked(live), mark);
      marked = new Marked("v", clean.withSecond(v));
      marked.check(Quantity.OUTPUT, none);
      marked.check(Quantity.SECOND_X, alone ? none : this::inGroup);
      marked.check(Quantity.SECOND_UPSTREAM, this::inGroup);
      marked.check(Quantity.SECOND_GAMMA, feature);

      HostTensor r = Layouts.with(clean.reference(), marked(reference), mark);
      marked = new Marked("the reference", clean.withReference(r, clean.referenceUpstream()));
      marked.check(Quantity.OUTPUT, inLive);
      marked.check(Quantity.REFERENCE_OUTPUT, inReference);
      marked.check(Quantity.MEAN, feature);
      marked.check(Quantity.VARIANCE, feature);
      marked.check(Quantity.LONE_MEAN, feature);
      marked.check(Quantity.LONE_VARIANCE, feature);
      marked.check(Quantity.DX, inLive);
      marked.check(Quantity.DGAMMA, feature);
      marked.check(Quantity.DBETA, none);
      marked.check(Quantity.DREFERENCE, inReference);
      marked.check(Quantity.SECOND_X, inLive);
      marked.check(Quantity.SECOND_UPSTREAM, inLive);
      marked.check(Quantity.SECOND_GAMMA, feature);
      marked.check(Quantity.REFERENCE_DX, inReference);
      marked.check(Quantity.REFERENCE_DGAMMA, feature);
      marked.check(Quantity.REFERENCE_DBETA, none);

      HostTensor dyr = Layouts.with(clean.referenceUpstream(), marked(reference), mark);
      marked = new Marked(
          "the upstream gradient of the reference pass",
          clean.withReference(clean.reference(), dyr));
      marked.check(Quantity.REFERENCE_DX, inReference);
      marked.check(Quantity.REFERENCE_DGAMMA, feature);
      marked.check(Quantity.REFERENCE_DBETA, feature);
    }

    void checkParameters(double mark) {
      IntPredicate none = i -> false;
      IntPredicate inReference = i -> feature(reference, i) == MARKED_FEATURE;
      IntPredicate inLive = i -> feature(live, i) == MARKED_FEATURE;
      HostTensor gamma = Layouts.with(requireNonNull(clean.gamma()), MARKED_FEATURE, mark);
      HostTensor beta = Layouts.with(requireNonNull(clean.beta()), MARKED_FEATURE, mark);
      Marked marked = new Marked("gamma", clean.withParameters(gamma, clean.beta()));
      marked.check(Quantity.OUTPUT, inLive);
      marked.check(Quantity.REFERENCE_OUTPUT, inReference);
      marked.check(Quantity.DX, inLive);
      marked.check(Quantity.REFERENCE_DX, inReference);
      marked.check(Quantity.DGAMMA, none);
      marked.check(Quantity.DBETA, none);
      boolean alone = clean.config().variant().scope() == Scope.NONE;
      marked.check(Quantity.SECOND_X, alone ? none : inLive);
      marked.check(Quantity.SECOND_UPSTREAM, inLive);
      marked.check(Quantity.SECOND_GAMMA, none);
      GradientUpstream<HostTensor> v = clean.second(dtype);
      HostTensor vgamma = Layouts.with(requireNonNull(v.dgamma()), MARKED_FEATURE, mark);
      marked =
          new Marked("vgamma", clean.withSecond(new GradientUpstream<>(v.dx(), vgamma, v.dbeta())));
      marked.check(Quantity.SECOND_X, inLive);
      marked.check(Quantity.SECOND_UPSTREAM, inLive);
      marked.check(Quantity.SECOND_GAMMA, none);
      HostTensor vbeta = Layouts.with(requireNonNull(v.dbeta()), MARKED_FEATURE, mark);
      marked =
          new Marked("vbeta", clean.withSecond(new GradientUpstream<>(v.dx(), v.dgamma(), vbeta)));
      marked.check(Quantity.SECOND_X, none);
      marked.check(Quantity.SECOND_UPSTREAM, inLive);
      marked.check(Quantity.SECOND_GAMMA, none);
      marked = new Marked("beta", clean.withParameters(clean.gamma(), beta));
      marked.check(Quantity.OUTPUT, inLive);
      marked.check(Quantity.REFERENCE_OUTPUT, inReference);
      marked.check(Quantity.DX, none);
      marked.check(Quantity.REFERENCE_DX, none);
    }

    private final class Marked {
      private final String where;
      private final Computed computed;

      Marked(String argument, Case marked) {
        where = ", " + value + " in " + argument + " of " + marked.describe();
        computed = subject().run(marked, dtype, manner);
      }

      /** Outside the group the same bits as without the mark, inside it nothing finite. */
      void check(Quantity quantity, IntPredicate inGroup) {
        if (!subject().computes(quantity)) {
          return;
        }
        HostTensor without = expected.of(quantity);
        HostTensor with = computed.of(quantity);
        String what = quantity.label() + where;
        assertEquals(without.size(), with.size(), "elements of " + what);
        Check.current().compared();
        for (int i = 0; i < without.size(); i++) {
          double a = without.get(i);
          double b = with.get(i);
          if (inGroup.test(i)) {
            if (Double.isFinite(b)) {
              fail(what + "[" + i + "] is " + b
                  + "; expected NaN or infinity: its group holds one, and it must show");
            }
          } else if (Double.doubleToLongBits(a) != Double.doubleToLongBits(b)) {
            fail(what + "[" + i + "] is " + b + "; expected " + a
                + " as without it: it is in another group");
          }
        }
      }
    }
  }
}
