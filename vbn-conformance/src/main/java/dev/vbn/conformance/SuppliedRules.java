package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.SizeRules.LongBatch;
import dev.vbn.spi.Capability;
import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import java.util.function.BiConsumer;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Results that go into the caller's tensors. */
abstract class SuppliedRules extends Rules {
  SuppliedRules(VbnConformance kit) {
    super(kit);
  }

  private void requireSuppliedOutput() {
    if (!subject().has(Capability.CALLER_SUPPLIED_OUTPUT)) {
      throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent; checked apart");
    }
  }

  /**
   * Features on the second axis, on the last and in the middle: kernels often have a path for each.
   */
  private static List<Case> cases(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Samples samples = new Samples(81);
    return List.of(
        samples.of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5}),
        samples.of(config, new long[] {5, 3, 1031}, new long[] {2, 3, 7}),
        samples.of(config.withFeatureAxis(-1), new long[] {5, 1031, 3}, new long[] {2, 7, 3}),
        samples.of(config.withFeatureAxis(2), new long[] {3, 2, 3, 67}, new long[] {2, 2, 3, 5}));
  }

  /**
   * The first feature is so large that 32 bits may not suffice, and a kernel takes another path.
   */
  private static Case withALargeFeature(Case c) {
    double[] x = c.x().toDoubles();
    for (int i = 0; i < x.length; i++) {
      x[i] *= i / c.liveGeometry().after() % c.config().features() == 0 ? 0x1p50 : 1;
    }
    return c.withLive(HostTensor.of(x, c.x().shape()), c.upstream());
  }

  /** Small ones in every type, and long ones, which are written while they are still read. */
  private void eachCase(Variant variant, BiConsumer<Case, DType> check) {
    requireSuppliedOutput();
    for (DType dtype : subject().dtypes()) {
      for (Case c : cases(variant)) {
        Case large = dtype.precision() >= 24 ? withALargeFeature(c) : c;
        check.accept(large.roundedTo(dtype), dtype);
      }
    }
    for (LongBatch size : SizeRules.all()) {
      if (size.isLive()
          && size.variants().get(0) == variant
          && subject().dtypes().contains(size.dtype())) {
        check.accept(SizeRules.of(size, variant, subject()).roundedTo(size.dtype()), size.dtype());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SUPPLIED_OUTPUT)
  final void aSuppliedOutputTakesTheSameBits(Variant variant) {
    holds(() -> eachCase(variant, (c, dtype) -> checkSuppliedOutput(subject(), c, dtype)));
  }

  private static <T> void checkSuppliedOutput(Subject<T> subject, Case c, DType dtype) {
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T output = made.of(Layouts.filled(c.x(), Double.NaN), dtype);
      try (ReferenceStatistics<T> statistics =
          layer.referenceStatistics(made.of(c.reference(), dtype))) {
        HostTensor expected;
        HostTensor ofOutput;
        try (Output<T> fresh = layer.forward(x, statistics);
            Output<T> again = layer.forward(fresh.output(), statistics)) {
          expected = subject.host(fresh.output());
          ofOutput = subject.host(again.output());
        }
        String where = " of " + c.describe() + ", in " + dtype;
        try (Output<T> supplied = layer.forwardInto(output, x, statistics)) {
          assertSame(output, supplied.output(), "returned tensor; expected the supplied one");
        }
        assertSameBits(
            "supplied output" + where,
            expected,
            subject.host(output),
            "Every element is written, and what was there before is not read.");
        assertSameBits(
            "x next to a supplied output" + where, c.x(), subject.host(x), "Only the output is.");
        layer.forwardInto(x, x, statistics).close();
        assertSameBits(
            "output in place" + where,
            expected,
            subject.host(x),
            "Statistics are complete before the first element is overwritten.");
        layer.forwardInto(x, x, statistics).close();
        assertSameBits(
            "output in place, a second time" + where,
            ofOutput,
            subject.host(x),
            "A tensor's elements change, and with them its statistics: keep none by identity.");
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SUPPLIED_DX)
  final void aTensorSuppliedForDxTakesTheSameBits(Variant variant) {
    holds(() -> eachCase(variant, (c, dtype) -> checkSuppliedDx(subject(), c, dtype)));
  }

  private static <T> void checkSuppliedDx(Subject<T> subject, Case c, DType dtype) {
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      T reference = made.of(c.reference(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference);
          Gradients<T> fresh = layer.backward(x, statistics, upstream);
          Gradients<T> again = layer.backward(fresh.dx(), statistics, upstream)) {
        String where = " of " + c.describe() + ", in " + dtype;
        Written<T> written = new Written<>(subject, layer, reference, statistics, fresh, where);
        T dx = made.of(Layouts.filled(c.x(), Double.NaN), dtype);
        written.check(
            "supplied dx",
            dx,
            layer.backwardInto(dx, x, statistics, upstream),
            "Every element is written, and what was there before is not read.");
        String hint = "Only dx is written.";
        assertSameBits("x next to a supplied dx" + where, c.x(), subject.host(x), hint);
        assertSameBits(
            "upstream next to a supplied dx" + where, c.upstream(), subject.host(upstream), hint);

        String complete = "Sums are complete before the first element is overwritten, and each"
            + " element is read before.";
        T over = made.of(c.upstream(), dtype);
        written.check(
            "dx over the upstream gradient",
            over,
            layer.backwardInto(over, x, statistics, over),
            complete);
        assertSameBits(
            "x next to dx over the upstream gradient" + where, c.x(), subject.host(x), hint);

        written.check("dx over x", x, layer.backwardInto(x, x, statistics, upstream), complete);
        assertSameBits(
            "upstream next to dx over x" + where, c.upstream(), subject.host(upstream), hint);
        layer.backwardInto(x, x, statistics, upstream).close();
        assertSameBits(
            "dx over x, a second time" + where,
            subject.host(again.dx()),
            subject.host(x),
            "A tensor's elements change, and with them its statistics: keep none by identity.");
      }
    }
  }

  /** What a backward into a given tensor is compared with. */
  private record Written<T>(
      Subject<T> subject,
      VirtualBatchNorm<T> layer,
      T reference,
      ReferenceStatistics<T> statistics,
      Gradients<T> fresh,
      String where) {

    /** Fails unless {@code actual} has the bits of the fresh gradients, and {@code dx} is its dx. */
    void check(String what, T dx, Gradients<T> actual, String hint) {
      try (actual) {
        assertSame(dx, actual.dx(), "tensor returned as " + what + "; expected the supplied one");
        assertSameBits(what + where, subject.host(fresh.dx()), subject.host(dx), hint);
        same("dgamma, " + what, fresh.dgamma(), actual.dgamma());
        same("dbeta, " + what, fresh.dbeta(), actual.dbeta());
        try (Output<T> expected = layer.referenceGradient(reference, statistics, fresh);
            Output<T> reached = layer.referenceGradient(reference, statistics, actual)) {
          same("gradient of the reference batch, " + what, expected.output(), reached.output());
        }
      }
    }

    private void same(String what, T expected, T actual) {
      assertSameBits(
          what + where,
          subject.host(expected),
          subject.host(actual),
          "They are the same wherever dx goes.");
    }
  }

  private static final String WITHOUT_MEMORY =
      "Where memory() tells nothing, overlapping outputs are computed right.";

  /** Parts of one tensor along each axis, of which neither may be spoilt unseen. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OVERLAP)
  final void overlappingMemoryIsRefusedOrRight(Variant variant) {
    holds(() -> checkParts(variant, 5));
  }

  /** Parts that lie next to each other, or between each other's elements. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OVERLAP)
  final void partsOfOneTensorThatDoNotOverlapAreApart(Variant variant) {
    holds(() -> checkParts(variant, 2));
  }

  /** All but the last of so many places, and all but the first. */
  private void checkParts(Variant variant, int places) {
    requireSuppliedOutput();
    boolean given = false;
    for (DType dtype : subject().dtypes()) {
      for (int axis = 0; axis < 3; axis++) {
        given |= checkParts(subject(), variant, dtype, axis, places);
      }
    }
    if (!given) {
      throw new DeclaredAbsent("the kit was given no parts of one tensor");
    }
  }

  /** Whether the test gives tensors of that type, cut along that axis. */
  private <T> boolean checkParts(
      Subject<T> subject, Variant variant, DType dtype, int axis, int places) {
    long[] shape = {5, 4, 7};
    shape[axis] = places;
    HostTensor host = new Samples(82).normal(0, 1, shape).to(dtype);
    HostTensor first = Layouts.places(host, axis, IntStream.range(0, places - 1).toArray());
    HostTensor last = Layouts.places(host, axis, IntStream.range(1, places).toArray());
    VbnConfig config = VbnConfig.of((int) first.shape()[1]).withVariant(variant);
    Case drawn = new Samples(83).of(config, first.shape(), new long[] {4, first.shape()[1], 7});
    boolean apart = places == 2;
    return check(subject, host, drawn.withLive(first, first), dtype, axis, apart, true)
        && check(subject, host, drawn.withLive(last, last), dtype, axis, apart, false);
  }

  private <T> boolean check(
      Subject<T> subject,
      HostTensor host,
      Case drawn,
      DType dtype,
      int axis,
      boolean apart,
      boolean forwards) {
    Case c = drawn.roundedTo(dtype);
    String where = c.describe() + ", in " + dtype + ", where x and output are parts of one tensor"
        + " along axis " + axis;
    try (Views<T> views = new Views<>(kit, subject);
        Tensors<T> made = subject.tensors()) {
      List<T> parts = views.parts(host, dtype, axis);
      if (parts.isEmpty()) {
        return false;
      }
      T x = parts.get(forwards ? 0 : 1);
      T into = parts.get(forwards ? 1 : 0);
      HostTensor before = subject.host(into);
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      MemoryRange range = subject.access().memory(x);
      try (ReferenceOutput<T> pass = layer.reference(made.of(c.reference(), dtype))) {
        try (Output<T> live = layer.forwardInto(into, x, pass.statistics())) {
          Assertions.assertTrue(
              apart || range == null,
              "an output that overlaps x by memory() was not refused; expected it to be, for "
                  + where);
          Computed computed = new Computed();
          computed.put(Quantity.OUTPUT, subject.host(live.output()));
          if (!apart && axis == 0) { // dense, and so of the same bits
            assertSameBits(
                "output that overlaps x",
                right(subject, c, dtype).of(Quantity.OUTPUT),
                computed.of(Quantity.OUTPUT),
                WITHOUT_MEMORY);
          }
          assertAgrees(
              subject,
              apart ? where : where + ": " + WITHOUT_MEMORY,
              subject.expect(c, dtype),
              computed,
              dtype,
              Quantity.OUTPUT);
          if (apart) {
            assertSameBits("x", c.x(), subject.host(x), "It has no element of the output's.");
          }
        } catch (IllegalArgumentException e) {
          assertSameBits(
              "refused output", before, subject.host(into), "A refusal changes nothing.");
          if (apart) {
            throw e;
          }
        }
        HostTensor kept = subject.host(into);
        views.release(x);
        assertSameBits(
            "output whose neighbour was released",
            kept,
            subject.host(into),
            "Memory is freed with the last tensor in it.");
      }
    }
    return true;
  }
}
