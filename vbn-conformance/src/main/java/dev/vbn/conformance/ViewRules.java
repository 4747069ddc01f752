package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Tensors whose elements are not contiguous. */
abstract class ViewRules extends Rules {
  ViewRules(VbnConformance kit) {
    super(kit);
  }

  /** One argument at a time, so that none is read with the strides of another. */
  @ParameterizedTest
  @EnumSource(Argument.class)
  @Checks(Rule.STRIDES)
  final void otherLayoutsAreReadAsTheElementsTheyShow(Argument viewed) {
    holds(() -> checkViews(subject(), viewed));
  }

  /** All arguments at once, in different layouts where there are several. */
  @Test
  @Checks(Rule.STRIDES)
  final void eachArgumentMayHaveALayoutOfItsOwn() {
    holds(() -> {
      boolean supplied = subject().has(Capability.CALLER_SUPPLIED_OUTPUT);
      checkViews(
          subject(),
          supplied
              ? EnumSet.allOf(Argument.class)
              : EnumSet.complementOf(EnumSet.of(Argument.OUTPUT, Argument.DX)),
          supplied ? Into.SUPPLIED : Into.NEW);
    });
  }

  private <T> void checkViews(Subject<T> subject, Argument viewed) {
    boolean output = viewed == Argument.OUTPUT || viewed == Argument.DX;
    boolean supplied = subject.has(Capability.CALLER_SUPPLIED_OUTPUT);
    if (output && !supplied) {
      throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent; checked apart");
    }
    if (!output) {
      checkViews(subject, Set.of(viewed), Into.NEW);
    }
    // What is given for a result may lie otherwise than what the result is computed from.
    if (output || (supplied && (viewed == Argument.X || viewed == Argument.UPSTREAM))) {
      checkViews(subject, Set.of(viewed), Into.SUPPLIED);
    }
  }

  private <T> void checkViews(Subject<T> subject, Set<Argument> viewed, Into into) {
    Manner manner = new Manner(into, into, Source.MOMENTS);
    VbnConfig config = VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);
    Samples samples = new Samples(84);
    int views = 0;
    for (Variant variant :
        List.of(Variant.LIVE_BATCH, Variant.PER_EXAMPLE, Variant.REFERENCE_ONLY)) {
      VbnConfig c = config.withVariant(variant);
      List<Case> cases = List.of(
          samples.of(c, new long[] {5, 3}, new long[] {4, 3}),
          samples.of(c, new long[] {5, 3, 33}, new long[] {2, 3, 7}),
          samples.of(c, new long[] {4, 3, 1, 7}, new long[] {2, 3, 1, 5}),
          samples.of(c.withFeatureAxis(-1), new long[] {5, 16, 3}, new long[] {2, 7, 3}),
          samples.of(c.withFeatureAxis(2), new long[] {3, 2, 3, 5}, new long[] {2, 4, 3, 5}));
      for (Case each : cases) {
        for (DType dtype : subject.dtypes()) {
          views += checkView(subject, each, dtype, manner, viewed);
        }
      }
    }
    if (views == 0) {
      throw new DeclaredAbsent("the kit was given no tensors in other layouts");
    }
  }

  /** The number of views that the test gives, which may make none of some type. */
  private <T> int checkView(
      Subject<T> subject, Case c, DType dtype, Manner manner, Set<Argument> viewed) {
    int count;
    try (Views<T> views = new Views<>(kit, subject)) {
      count = views.viewsOf(c.x().to(dtype), dtype).size();
    }
    for (int number = 0; number < count; number++) {
      String where = ", in " + dtype + ", output and dx into " + manner.output() + ", where "
          + (viewed.size() == 1
              ? viewed.iterator().next() + " is view " + number
              : "all are views");
      try (Views<T> made = new Views<>(kit, subject, viewed, number);
          Views<T> again = new Views<>(kit, subject, viewed, number)) {
        Computed first = subject.run(c, dtype, manner, made);
        // Not to the bits of a dense one: a library may well sum in another order along strides.
        assertAgrees(
            subject,
            c.describe() + where + ": read and write elements by strides and offset",
            subject.expect(c, dtype),
            first,
            dtype);
        assertEqualBits(
            " of " + c.describe() + where,
            first,
            subject.run(c, dtype, manner, again),
            "The same call computes the same bits every time.");
      }
    }
    return count;
  }
}
