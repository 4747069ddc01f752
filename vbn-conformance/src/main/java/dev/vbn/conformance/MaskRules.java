package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Batches of which not all elements count. */
abstract class MaskRules extends Rules {
  private static final Manner IN_PLACE = new Manner(Into.OVER_X, Into.OVER_UPSTREAM, Source.PASS);

  MaskRules(VbnConformance kit) {
    super(kit);
  }

  private void requireMask() {
    if (!subject().has(Capability.MASK)) {
      throw new DeclaredAbsent("MASK is declared absent; checked apart");
    }
  }

  private void agreesMasked(Quantity... quantities) {
    holds(() -> {
      requireMask();
      checkTable(subject(), Conditions.masked(), quantities);
    });
  }

  @Test
  @Checks(Rule.MASKED_STATISTICS)
  final void maskedStatistics() {
    agreesMasked(
        Quantity.MEAN,
        Quantity.VARIANCE,
        Quantity.LONE_MEAN,
        Quantity.LONE_VARIANCE,
        Quantity.LIVE_MEAN,
        Quantity.LIVE_VARIANCE);
  }

  @Test
  @Checks(Rule.MASKED_OUTPUT)
  final void maskedOutput() {
    agreesMasked(Quantity.OUTPUT, Quantity.REFERENCE_OUTPUT);
  }

  @Test
  @Checks(Rule.MASKED_GRADIENT)
  final void maskedGradients() {
    agreesMasked(
        Quantity.DX,
        Quantity.DGAMMA,
        Quantity.DBETA,
        Quantity.DREFERENCE,
        Quantity.REFERENCE_DX,
        Quantity.REFERENCE_DGAMMA,
        Quantity.REFERENCE_DBETA,
        Quantity.SECOND_X,
        Quantity.SECOND_UPSTREAM,
        Quantity.SECOND_GAMMA);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.MASKED_OUTPUT)
  final void maskedGoldenCases(Variant variant) {
    holds(() -> {
      requireMask();
      for (GoldenCase golden : GoldenCase.maskedOf(variant)) {
        for (DType dtype : subject().dtypes()) {
          if (dtype.precision() >= 24) { // golden inputs are values of 32 bits
            golden.check(subject(), dtype);
          }
        }
      }
    });
  }

  /**
   * Each path of an optimised kernel: short and long runs, features first, in the middle and last.
   */
  private static List<Case> cases(Variant variant, Kind kind) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Samples samples = new Samples(90);
    List<Case> cases = new ArrayList<>();
    for (Case each : List.of(
        samples.of(config, new long[] {5, 3}, new long[] {6, 3}),
        samples.of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5}),
        samples.of(config, new long[] {3, 3, 1031}, new long[] {2, 3, 70}),
        samples.of(config.withFeatureAxis(-1), new long[] {5, 131, 3}, new long[] {2, 7, 3}),
        samples.of(config.withFeatureAxis(2), new long[] {3, 2, 3, 67}, new long[] {2, 2, 3, 5}))) {
      int axis = each.config().featureAxis();
      cases.add(each.padded(
          samples.padding(kind, each.x().shape(), axis),
          samples.padding(kind, each.reference().shape(), axis),
          Junk.ORDINARY.value));
    }
    return cases;
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.MASKED_LEAVE_NO_TRACE)
  final void whatIsMaskedLeavesNoTrace(Variant variant) {
    holds(() -> {
      requireMask();
      for (Kind kind : List.of(Kind.LENGTHS, Kind.SCATTERED)) {
        for (Case c : cases(variant, kind)) {
          for (DType dtype : subject().dtypes()) {
            for (Manner manner : List.of(Manner.PLAIN, IN_PLACE)) {
              Computed ordinary = subject().run(c, dtype, manner);
              for (Junk junk : List.of(Junk.NAN, Junk.INFINITY, Junk.LARGE)) {
                Case other = c.padded(c.padding(), c.referencePadding(), junk.value);
                assertEqualBits(
                    " of " + c.describe() + ", in " + dtype + ", " + junk + " where masked",
                    ordinary,
                    subject().run(other, dtype, manner),
                    "Skip what is masked: 0 times NaN is NaN, and a large number rounds.");
              }
            }
          }
        }
      }
    });
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.MASKED_LEAVE_NO_TRACE)
  final void aMaskOfEverythingLeavesNoTrace(Variant variant) {
    holds(() -> {
      requireMask();
      for (Case c : cases(variant, Kind.MOST)) {
        Case whole = c.padded(null, null, 0);
        Case masked = c.padded(
            everything(c.x().shape(), c.config()),
            everything(c.reference().shape(), c.config()),
            0);
        for (DType dtype : subject().dtypes()) {
          assertEqualBits(
              " of " + masked.describe() + ", where everything counts, in " + dtype,
              subject().run(whole, dtype),
              subject().run(masked, dtype),
              "Nothing is left out.");
        }
      }
    });
  }

  private static Padding everything(long[] shape, VbnConfig config) {
    int features = config.features();
    boolean[] counts =
        new boolean[(int) (Arrays.stream(shape).reduce(1, Math::multiplyExact) / features)];
    Arrays.fill(counts, true);
    return Padding.of(counts, counts.length).asPositions(shape, config.featureAxis());
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.LENGTHS)
  final void lengthsAreTheMaskOfTheSamePositions(Variant variant) {
    holds(() -> {
      requireMask();
      for (Kind kind : List.of(Kind.LENGTHS, Kind.LENGTHS_ALONG_THE_LAST_AXIS)) {
        for (Case c : cases(variant, kind)) {
          int axis = c.config().featureAxis();
          Padding live = c.padding();
          Padding reference = c.referencePadding();
          if (live == null || reference == null) {
            continue;
          }
          Case positions = c.padded(
              live.asPositions(c.x().shape(), axis),
              reference.asPositions(c.reference().shape(), axis),
              Junk.ORDINARY.value);
          for (DType dtype : subject().dtypes()) {
            Expected expected = subject().expect(c, dtype);
            for (Case each : List.of(positions, c)) {
              assertAgrees(
                  subject(),
                  each.describe() + ", in " + dtype
                      + ": lengths are another way to say which positions count, and nothing else",
                  expected,
                  subject().run(each, dtype),
                  dtype);
            }
          }
        }
      }
    });
  }

  @Test
  @Checks(Rule.MASK_REFUSED)
  final void whatNoMaskIsForTheBatchIsRefused() {
    holds(() -> {
      requireMask();
      checkRefusals(subject());
    });
  }

  private static <T> void checkRefusals(Subject<T> subject) {
    Case c = new Samples(97).of(VbnConfig.of(3), new long[] {4, 3, 5}, new long[] {2, 3, 5});
    Map<String, Mask> wrong = Map.of(
        "4 lengths of 0", Mask.lengths(0, 0, 0, 0),
        "3 lengths", Mask.lengths(1, 1, 1),
        "length of example 3 is 6", Mask.lengths(5, 5, 5, 6),
        "[5, 4]", Mask.of(new boolean[20], 5, 4),
        "leaves nothing", Mask.of(new boolean[20], 4, 5));
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      HostTensor before = subject.host(x);
      try (ReferenceStatistics<T> statistics =
          layer.referenceStatistics(made.of(c.reference(), DType.FLOAT32))) {
        wrong.forEach((given, mask) -> {
          VirtualBatchNorm<T> masked = layer.withMask(mask);
          Check.current().compared();
          IllegalArgumentException refusal = assertThrows(
              IllegalArgumentException.class,
              () -> {
                try (Output<T> output = masked.forward(x, statistics)) {
                  subject.host(output.output());
                }
              },
              () -> mask + " of " + Arrays.toString(c.x().shape()) + " (" + given + ")");
          String message = String.valueOf(refusal.getMessage());
          assertTrue(message.contains("expected"), message);
        });
      }
      assertSameBits("x", before, subject.host(x), "A refusal changes nothing.");
    }
  }
}
