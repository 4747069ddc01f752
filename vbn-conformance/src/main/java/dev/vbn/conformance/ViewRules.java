package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import java.util.List;
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

  private <T> void checkViews(Subject<T> subject, Argument viewed) {
    boolean supplied = viewed == Argument.OUTPUT || viewed == Argument.DX;
    if (supplied && !subject.has(Capability.CALLER_SUPPLIED_OUTPUT)) {
      throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent; checked apart");
    }
    Into into = supplied ? Into.SUPPLIED : Into.NEW;
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
      Subject<T> subject, Case c, DType dtype, Manner manner, Argument viewed) {
    int count;
    try (Views<T> views = new Views<>(kit, subject)) {
      count = views.viewsOf(c.x().to(dtype), dtype).size();
    }
    for (int number = 0; number < count; number++) {
      try (Views<T> made = new Views<>(kit, subject, viewed, number);
          Views<T> again = new Views<>(kit, subject, viewed, number)) {
        Computed first = subject.run(c, dtype, manner, made);
        // Not to the bits of a dense one: a library may well sum in another order along strides.
        assertAgrees(
            subject,
            c.describe() + ", in " + dtype + ", where " + viewed + " is view " + number
                + ": read and write elements by strides and offset",
            subject.expect(c, dtype),
            first,
            dtype);
        assertEqualBits(
            " of " + c.describe() + ", in " + dtype + ", where " + viewed + " is view " + number,
            first,
            subject.run(c, dtype, manner, again),
            "The same call computes the same bits every time.");
      }
    }
    return count;
  }
}
