package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.TensorAccess;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The end of a backend, and others next to it. */
abstract class ClosingRules extends Rules {
  /** More than a table of 2^6 has room for. */
  private static final int OPENED = 70;

  ClosingRules(VbnConformance kit) {
    super(kit);
  }

  private static Case sample(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(71).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
  }

  /** What is large may lie where another backend has some too. */
  private static HostTensor large() {
    return new Samples(74).normal(0, 1, 40, 160, 13);
  }

  /** By whichever thread. The handle refuses then; the backend is to see that nothing is harmed. */
  @Test
  @Checks(Rule.CLOSED)
  final void whatIsFreedAfterItsBackendDoesNoHarm() {
    holds(() -> {
      try (Subject<?> subject = kit.openSubject()) {
        checkFreedAfterClose(subject, DType.FLOAT32, subject::close);
      }
      checkNextTensors(subject(), DType.FLOAT32);
      List<DType> dtypes = subject().dtypes();
      DType last = dtypes.get(dtypes.size() - 1);
      try (Subject<?> subject = kit.openSubject()) {
        checkFreedAfterClose(
            subject, last, () -> CallingThread.WITHOUT_CLASS_LOADER.run(subject::close));
      }
      checkNextTensors(subject(), last);
    });
  }

  private static <T> void checkFreedAfterClose(Subject<T> subject, DType dtype, Runnable close) {
    Case c = sample(Variant.LIVE_BATCH).roundedTo(dtype);
    Tensors<T> made = subject.tensors();
    VirtualBatchNorm<T> layer = made.layer(c, dtype);
    T x = made.of(c.x(), dtype);
    T large = made.of(large(), dtype);
    TensorAccess<T> access = subject.access();
    ReferenceOutput<T> pass = layer.reference(x);
    ReferenceStatistics<T> alone = layer.referenceStatistics(x);
    Output<T> live = layer.forward(x, alone);
    Gradients<T> gradients = layer.backward(x, alone, x);
    VirtualBatchNorm<T> initialized =
        VirtualBatchNorm.of(subject.backend, c.config()).initialized(dtype, 1);
    close.run();
    subject.close();
    for (AutoCloseable each : List.of(live, gradients, pass, alone, initialized, made)) {
      Check.current().compared();
      try {
        each.close();
      } catch (Exception e) {
        throw new AssertionError(
            "closing " + each.getClass().getSimpleName() + " after its backend threw " + e
                + "; expected it to be harmless",
            e);
      }
    }
    assertThrows(
        IllegalStateException.class,
        () -> subject.backend.shape(x),
        "shape of a closed backend; expected IllegalStateException");
    for (int i = 0; i < 2; i++) {
      access.release(x);
      access.release(large);
    }
  }

  /** Memory that a closed backend has been asked to free twice is not handed out twice. */
  private static <T> void checkNextTensors(Subject<T> subject, DType dtype) {
    try (Tensors<T> made = subject.tensors()) {
      for (HostTensor host : List.of(sample(Variant.LIVE_BATCH).x(), large())) {
        HostTensor zeros = Layouts.filled(host, 0);
        T first = made.of(host, dtype);
        T second = made.of(zeros, dtype);
        String hint = "Releasing again after close frees nothing else.";
        Tolerance.assertSameBits("tensor made next", host.to(dtype), subject.host(first), hint);
        Tolerance.assertSameBits("and one more", zeros, subject.host(second), hint);
      }
    }
  }

  /** In turn on both, so that what one keeps where the other finds it shows. */
  @Test
  @Checks(Rule.APART)
  final void backendsOfOneProviderAreApart() {
    holds(() -> {
      try (Subject<?> first = kit.openSubject();
          Subject<?> second = kit.openSubject()) {
        String hint = "Backends share nothing that a call writes.";
        for (Variant variant : Variant.values()) {
          Case c = sample(variant);
          Case other = new Samples(72)
              .of(c.config().withEpsilon(0.5), c.x().shape(), c.reference().shape());
          for (DType dtype : subject().dtypes()) {
            Computed known = right(first, c, dtype);
            right(second, other, dtype);
            assertEqualBits(", after a call on another", known, first.run(c, dtype), hint);
            assertEqualBits(", on the other backend", known, second.run(c, dtype), hint);
          }
        }
        checkInterleaved(first, second);
        checkAfterOtherCloses(second, first);
        Case c = sample(Variant.LIVE_BATCH);
        assertEqualBits(
            ", on a backend opened before another was closed",
            right(subject(), c, DType.FLOAT32),
            second.run(c, DType.FLOAT32),
            "Closing one backend leaves the others as they are.");
      }
      try (Subject<?> third = kit.openSubject()) {
        Case c = sample(Variant.PER_EXAMPLE);
        assertEqualBits(
            ", on a backend opened after others were closed",
            right(subject(), c, DType.FLOAT32),
            third.run(c, DType.FLOAT32),
            "Closing one backend leaves the others as they are.");
      }
    });
  }

  private static <T> void checkAfterOtherCloses(Subject<T> subject, Subject<?> other) {
    HostTensor host = large().to(DType.FLOAT32);
    try (Tensors<T> made = subject.tensors()) {
      T tensor = made.of(host, DType.FLOAT32);
      other.backend.close();
      Tolerance.assertSameBits(
          "a tensor, after another backend was closed",
          host,
          subject.host(tensor),
          "Closing one backend leaves the others as they are.");
    }
  }

  /** More than a pool of two or eight has room for, and again and again. */
  @Test
  @Checks(Rule.APART)
  final void manyBackendsOfOneProviderAreApart() {
    holds(() -> {
      Case c = sample(Variant.BATCH);
      Computed expected = right(subject(), c, DType.FLOAT32);
      List<Subject<?>> open = new ArrayList<>();
      try {
        for (int i = 0; i < 10; i++) {
          open.add(kit.openSubject());
        }
        for (Subject<?> each : open) {
          assertEqualBits(
              ", on one of 10 backends that are open",
              expected,
              each.run(c, DType.FLOAT32),
              "Backends share nothing that a call writes.");
        }
      } finally {
        open.forEach(Subject::close);
      }
    });
  }

  /** Tensors of the one as arguments of the other, on each device: refused, or right. */
  @Test
  @Checks(Rule.APART)
  final void tensorsOfAnotherBackendAreRefusedOrRight() {
    holds(() -> {
      List<BackendOptions> siblings = new ArrayList<>(List.of(BackendOptions.defaults()));
      onEachDevice().forEach(siblings::add);
      for (BackendOptions options : siblings) {
        try (Subject<?> sibling = kit.openSubject(options)) {
          for (DType dtype : subject().dtypes()) {
            checkForeign(subject(), sibling, dtype);
          }
        }
      }
    });
  }

  private Stream<BackendOptions> onEachDevice() {
    return kit.provider().probe().devices().stream().map(BackendOptions.defaults()::withDevice);
  }

  @SuppressWarnings("unchecked") // both are of one provider
  private static <T> void checkForeign(Subject<T> subject, Subject<?> other, DType dtype) {
    Subject<T> sibling = (Subject<T>) other;
    Case c = sample(Variant.BATCH).roundedTo(dtype);
    Computed expected = right(subject, c, dtype);
    try (Tensors<T> made = subject.tensors();
        Tensors<T> foreign = sibling.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      T foreignX = foreign.of(c.x(), dtype);
      T foreignUpstream = foreign.of(c.upstream(), dtype);
      T foreignReference = foreign.of(c.reference(), dtype);
      T foreignGamma = foreign.of(requireNonNull(c.gamma()), dtype.parameterType());
      T foreignBeta = foreign.of(requireNonNull(c.beta()), dtype.parameterType());
      try (ReferenceOutput<T> pass = layer.reference(made.of(c.reference(), dtype))) {
        ReferenceStatistics<T> statistics = pass.statistics();
        refusedOrRight(
            expected, Quantity.OUTPUT, () -> subject.output(layer, foreignX, statistics));
        refusedOrRight(
            expected,
            Quantity.OUTPUT,
            () -> subject.output(layer.withGamma(foreignGamma), x, statistics));
        refusedOrRight(
            expected,
            Quantity.OUTPUT,
            () -> subject.output(layer.withBeta(foreignBeta), x, statistics));
        refusedOrRight(expected, Quantity.DX, () -> {
          try (Gradients<T> gradients = layer.backward(x, statistics, foreignUpstream)) {
            return subject.host(gradients.dx());
          }
        });
        refusedOrRight(expected, Quantity.DX, () -> {
          try (Gradients<T> gradients = layer.backward(foreignX, statistics, upstream)) {
            return subject.host(gradients.dx());
          }
        });
        refusedOrRight(expected, Quantity.REFERENCE_OUTPUT, () -> {
          try (ReferenceOutput<T> again = layer.reference(foreignReference)) {
            return subject.host(again.output());
          }
        });
        refusedOrRight(expected, Quantity.LONE_MEAN, () -> {
          try (ReferenceStatistics<T> alone = layer.referenceStatistics(foreignReference)) {
            return subject.host(alone.mean());
          }
        });
      }
    }
    String hint = "Tensors of another backend leave nothing behind.";
    String after = ", after tensors of another backend";
    assertEqualBits(after, expected, subject.run(c, dtype), hint);
    CallingThread.WITHOUT_CLASS_LOADER.run(() ->
        assertEqualBits(after + ", in another thread", expected, subject.run(c, dtype), hint));
  }

  private static void refusedOrRight(
      Computed expected, Quantity quantity, Supplier<HostTensor> call) {
    Check.current().compared();
    HostTensor computed;
    try {
      computed = call.get();
    } catch (RuntimeException e) {
      return;
    }
    Tolerance.assertSameBits(
        quantity.label() + ", of a tensor of another backend",
        expected.of(quantity),
        computed,
        "Refuse what is not yours, or compute with it.");
  }

  /**
   * By any number of threads, and on any device that the provider names. What they compute first is
   * of each type once.
   */
  @Test
  @Checks(Rule.APART)
  final void backendsGiveTheSameHoweverTheyAreOpened() {
    holds(() -> {
      Case[] cases = {
        sample(Variant.BATCH),
        large(Variant.PER_EXAMPLE, -1, 8, 1031, 13),
        large(Variant.REFERENCE_ONLY, 1, 8, 13, 1031)
      };
      List<DType> dtypes = subject().dtypes();
      int turn = 0;
      for (int parallelism : new int[] {64, 1, 2, 3, 7}) {
        DType dtype = dtypes.get(turn++ % dtypes.size());
        checkOpened(BackendOptions.defaults().withParallelism(parallelism), dtype, true, cases);
      }
      Case beyond19Bits = large(Variant.BATCH, 1, 8, 13, 5201);
      for (int parallelism : new int[] {3, 7}) {
        BackendOptions options = BackendOptions.defaults().withParallelism(parallelism);
        checkOpened(options, DType.FLOAT32, true, beyond19Bits);
      }
      List<BackendOptions> onEachDevice = onEachDevice().toList();
      for (BackendOptions options : onEachDevice) {
        for (int i = 0; onEachDevice.size() > 1 && i < OPENED; i++) {
          kit.openSubject(options).close(); // what each leaves behind runs out
        }
        checkOpened(options, DType.FLOAT32, false, cases);
      }
    });
  }

  /** Enough for threads to share, who cannot share it evenly. */
  private static Case large(Variant variant, int featureAxis, long... live) {
    VbnConfig config = VbnConfig.of(13)
        .withVariant(variant)
        .withFeatureAxis(featureAxis)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    long[] reference = live.clone();
    reference[0] = 3;
    return new Samples(73).of(config, live, reference);
  }

  /** In the same bits, or on another device within the tolerances. */
  private void checkOpened(BackendOptions options, DType dtype, boolean bits, Case... cases) {
    try (Subject<?> opened = kit.openSubject(options)) {
      for (Case c : cases) {
        Computed computed = right(opened, c, dtype);
        if (bits) {
          assertEqualBits(
              ", in " + dtype + ", opened with " + options,
              right(subject(), c, dtype),
              computed,
              "The number of threads changes no bit.");
        }
      }
    }
  }

  /** Statistics of one backend stay while another computes. */
  private static <A, B> void checkInterleaved(Subject<A> first, Subject<B> second) {
    Case c = sample(Variant.BATCH).roundedTo(DType.FLOAT32);
    Computed expected = right(first, c, DType.FLOAT32);
    try (Tensors<A> made = first.tensors()) {
      VirtualBatchNorm<A> layer = made.layer(c, DType.FLOAT32);
      A x = made.of(c.x(), DType.FLOAT32);
      try (ReferenceOutput<A> pass = layer.reference(made.of(c.reference(), DType.FLOAT32))) {
        second.run(sample(Variant.PER_EXAMPLE), DType.FLOAT32);
        Tolerance.assertSameBits(
            "output, while another backend computed",
            expected.of(Quantity.OUTPUT),
            first.output(layer, x, pass.statistics()),
            "Backends share nothing that a call writes.");
      }
    }
  }
}
