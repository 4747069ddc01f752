package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Calls that differ in one thing from those before. Plans, graphs, uploads and statistics that a
 * backend keeps must be known by all that they follow from.
 */
abstract class DifferenceRules extends Rules {
  private static final int FEATURES = 40;
  private static final int ONE = 21; // neither an end nor even

  /** More than it takes to warm up, to capture a graph or to fill a cache of 16. */
  private static final int MANY = 17;

  /** More than it takes to keep what is derived from statistics in use. */
  private static final int FROZEN = 9;

  private static final String HINT =
      "Calls before were alike but for this: what is kept for later calls is to be known by it.";

  DifferenceRules(VbnConformance kit) {
    super(kit);
  }

  /** What is another in the second of two cases. */
  enum Difference {
    EPSILON,
    VARIANT,
    REFERENCE_GRADIENT,
    NO_GAMMA,
    NO_BETA,
    ONE_GAMMA,
    ONE_BETA,
    BETA_NO_LONGER_0,
    ONE_X,
    ONE_UPSTREAM,
    ONE_OF_THE_REFERENCE,
    COUNT,
    EXAMPLES_OF_THE_REFERENCE,
    FEATURE_AXIS,
    SIDE_OF_THE_POSITIONS,
    EXAMPLES_FOR_POSITIONS,
    /** Lengths whose hash, as that of an array or a list, is the same. */
    HASH_OF_POSITIONS,
    HASH_OF_FEATURES,
    LENGTHS,
    LENGTHS_OF_ANOTHER_AXIS,
    COUNTED_POSITIONS,
    TYPE;

    boolean needsMask() {
      return this == LENGTHS || this == LENGTHS_OF_ANOTHER_AXIS || this == COUNTED_POSITIONS;
    }

    Case first(Variant variant) {
      return switch (this) {
        case BETA_NO_LONGER_0 -> {
          Case c = plain(variant);
          yield c.withParameters(c.gamma(), Layouts.filled(requireNonNull(c.beta()), 0));
        }
        case COUNT -> plain(Variant.POOLED).countedAs(1000, 6000);
        case FEATURE_AXIS -> shaped(variant, 1, 3, 5, 5, 2);
        case HASH_OF_POSITIONS -> shaped(variant, 1, 3, 4, 2, 33);
        case HASH_OF_FEATURES -> shaped(variant, 1, 3, 2, 33);
        case LENGTHS, LENGTHS_OF_ANOTHER_AXIS -> masked(variant, Mask.lengths(4, 1, 2), 1, 4, 1, 2);
        case COUNTED_POSITIONS -> scattered(variant, 0);
        default -> plain(variant);
      };
    }

    Case second(Case c) {
      VbnConfig config = c.config();
      return switch (this) {
        case EPSILON -> c.withConfig(config.withEpsilon(1.5 * config.epsilon()));
        case VARIANT ->
          c.withConfig(config.withVariant(
              config.variant() == Variant.POOLED ? Variant.BATCH : Variant.POOLED));
        case REFERENCE_GRADIENT ->
          c.withConfig(config.withReferenceGradient(ReferenceGradient.DETACHED));
        case NO_GAMMA -> c.withParameters(null, c.beta());
        case NO_BETA -> c.withParameters(c.gamma(), null);
        case ONE_GAMMA -> c.withParameters(withOneOther(requireNonNull(c.gamma())), c.beta());
        case ONE_BETA, BETA_NO_LONGER_0 ->
          c.withParameters(c.gamma(), withOneOther(requireNonNull(c.beta())));
        case ONE_X -> c.withLive(withOneOther(c.x()), c.upstream());
        case ONE_UPSTREAM -> c.withLive(c.x(), withOneOther(c.upstream()));
        case ONE_OF_THE_REFERENCE ->
          c.withReference(withOneOther(c.reference()), c.referenceUpstream());
        case COUNT -> c.countedAs(1001, 6006);
        case EXAMPLES_OF_THE_REFERENCE ->
          c.withReference(
              Layouts.examples(c.reference(), 0, 1, 2),
              Layouts.examples(c.referenceUpstream(), 0, 1, 2));
        case FEATURE_AXIS -> c.withConfig(config.withFeatureAxis(2));
        case SIDE_OF_THE_POSITIONS -> shaped(config.variant(), -1, 4, 6, FEATURES);
        case EXAMPLES_FOR_POSITIONS -> shaped(config.variant(), 1, 6, FEATURES, 4);
        case HASH_OF_POSITIONS -> shaped(config.variant(), 1, 3, 4, 3, 2);
        case HASH_OF_FEATURES -> shaped(config.variant(), 1, 3, 3, 2);
        case LENGTHS -> masked(config.variant(), Mask.lengths(1, 4, 2), 1, 1, 4, 2);
        case LENGTHS_OF_ANOTHER_AXIS ->
          masked(config.variant(), Mask.lengths(4, 1, 2).along(3), 2, 4, 1, 2);
        case COUNTED_POSITIONS -> scattered(config.variant(), 1);
        case TYPE -> c;
      };
    }
  }

  private static Case plain(Variant variant) {
    return shaped(variant, 1, 4, FEATURES, 6);
  }

  private static Case shaped(Variant variant, int featureAxis, long... live) {
    int features = (int) live[featureAxis < 0 ? live.length - 1 : featureAxis];
    long[] reference = live.clone();
    reference[0] += 1;
    VbnConfig config = VbnConfig.of(features)
        .withVariant(variant)
        .withFeatureAxis(featureAxis)
        .withEpsilon(1e-3)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(89).of(config, live, reference);
  }

  private static Case masked(Variant variant, Mask mask, int along, long... lengths) {
    Case c = shaped(variant, 1, 3, 5, 4, 4);
    return c.masked(Padding.of(lengths, along, new long[] {3, 4, 4}, mask), null);
  }

  /** As much of each example counts, wherever it begins. */
  private static Case scattered(Variant variant, int begin) {
    boolean[] counts = new boolean[3 * 4 * 4];
    for (int i = 0; i < counts.length; i++) {
      counts[i] = (i + begin) % 4 < 2;
    }
    return shaped(variant, 1, 3, 5, 4, 4).masked(Padding.of(counts, 3, 4, 4), null);
  }

  private static HostTensor withOneOther(HostTensor tensor) {
    int place = tensor.size() == FEATURES ? ONE : tensor.size() / 2 + ONE;
    return Layouts.with(tensor, place, tensor.get(place) + 0.5);
  }

  /** With new tensors, and with tensors that are kept and overwritten where they can be. */
  @ParameterizedTest
  @EnumSource(Difference.class)
  @Checks(Rule.SAME_BITS)
  final void callsThatDifferInOneThingGiveTheirOwn(Difference difference) {
    holds(() -> {
      if (difference.needsMask() && !subject().has(Capability.MASK)) {
        throw new DeclaredAbsent("MASK is declared absent; its refusal is checked apart");
      }
      List<DType> dtypes = subject().dtypes();
      boolean ofTypes = difference == Difference.TYPE;
      for (int i = 0; i < (ofTypes ? dtypes.size() : 1); i++) {
        DType dtype = dtypes.get(i);
        DType next = ofTypes ? dtypes.get((i + 1) % dtypes.size()) : dtype;
        Variant[] variants = {Variant.LIVE_BATCH, Variant.PER_EXAMPLE, Variant.REFERENCE_ONLY};
        Variant often =
            variants[List.of(Difference.values()).indexOf(difference) % variants.length];
        check(subject(), difference, often, dtype, next, Passes.WHOLE, MANY);
        check(subject(), difference, Variant.LIVE_BATCH, dtype, next, Passes.SHARED_STATISTICS, 3);
        check(
            subject(),
            difference,
            Variant.PER_EXAMPLE,
            dtype,
            next,
            Passes.PARAMETERS_OF_EXAMPLES,
            3);
        check(subject(), difference, Variant.REFERENCE_ONLY, dtype, next, Passes.WHOLE, 3);
      }
    });
  }

  private <T> void check(
      Subject<T> subject,
      Difference difference,
      Variant variant,
      DType dtype,
      DType next,
      Passes passes,
      int calls) {
    Case one = difference.first(variant);
    Case other = difference.second(one);
    Manner manner = new Manner(Into.NEW, Into.NEW, Source.MOMENTS, passes);
    Computed first = right(subject, one, dtype, manner);
    String where = " of " + one.describe() + ", in " + dtype + ", by " + passes;
    try (KeptTensors<T> kept = new KeptTensors<>(kit, subject)) {
      for (int i = 0; i < calls; i++) {
        assertEqualBits(where, first, subject.run(one, dtype, manner, kept), HINT);
      }
      Computed second = subject.run(other, next, manner, kept);
      assertAgrees(
          subject,
          other.describe() + ", in " + next + ", by " + passes + ", after " + calls
              + " calls with another " + difference + ". " + HINT,
          subject.expect(other, next),
          second,
          next);
      assertEqualBits(where + " again", first, subject.run(one, dtype, manner, kept), HINT);
      assertEqualBits(
          ", of new tensors, " + other.describe(), second, subject.run(other, next, manner), HINT);
      assertEqualBits(where + " of new tensors", first, subject.run(one, dtype, manner), HINT);
    }
  }

  /** One tensor for each argument, overwritten where a call needs other elements. */
  private static final class KeptTensors<T> extends Tensors<T> {
    private record Key(Argument argument, DType dtype, List<Long> shape) {}

    private record Kept<V>(V tensor, HostTensor content) {}

    private final VbnConformance kit;
    private final Subject<T> subject;
    private final Map<Key, Kept<T>> all = new HashMap<>();

    KeptTensors(VbnConformance kit, Subject<T> subject) {
      super(subject.backend);
      this.kit = kit;
      this.subject = subject;
    }

    @Override
    T as(Argument argument, HostTensor host, DType dtype) {
      Key key = new Key(argument, dtype, Arrays.stream(host.shape()).boxed().toList());
      HostTensor content = host.to(dtype);
      Kept<T> kept = all.get(key);
      boolean stays = kept != null && Arrays.equals(kept.content.toDoubles(), content.toDoubles());
      if (kept == null || !(stays || kit.overwrite(subject.backend, kept.tensor, content))) {
        kept = new Kept<>(of(host, dtype), content);
      }
      all.put(key, new Kept<>(kept.tensor, content));
      return kept.tensor;
    }
  }

  /** A refreshed reference: what is derived from statistics goes with them. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SAME_BITS)
  final void statisticsThatWereReplacedAreForgotten(Variant variant) {
    holds(() -> {
      for (DType dtype : subject().dtypes()) {
        checkReplaced(subject(), plain(variant), dtype);
      }
    });
  }

  private static <T> void checkReplaced(Subject<T> subject, Case drawn, DType dtype) {
    Case c = drawn.roundedTo(dtype);
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      for (int refreshed = 0; refreshed < 3; refreshed++) {
        double factor = 1 + refreshed;
        HostTensor reference = Layouts.mapped(c.reference(), each -> factor * each);
        Case now = c.withReference(reference, c.referenceUpstream());
        Expected expected = subject.expect(now, dtype);
        try (ReferenceStatistics<T> statistics =
            layer.referenceStatistics(made.of(reference, dtype))) {
          for (int call = 0; call < FROZEN; call++) {
            subject.tolerance.assertClose(
                Quantity.OUTPUT.label() + " with statistics refreshed " + refreshed + " times, "
                    + now.describe(),
                expected.of(Quantity.OUTPUT),
                subject.output(layer, x, statistics),
                dtype,
                HINT);
          }
        }
      }
    }
  }
}
