package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.EXACT;
import static dev.vbn.conformance.Tolerance.assertSameBits;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.DType;
import dev.vbn.Gradients;
import dev.vbn.HostTensor;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceGradient;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** State, ownership, threads and the end of things. */
abstract class LifecycleRules extends Rules {
  LifecycleRules(VbnConformance kit) {
    super(kit);
  }

  private static Case sample(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(71).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.INPUTS_UNCHANGED)
  final void inputsAreNeverChanged(Variant variant) {
    checkInputs(subject(), sample(variant));
  }

  private static <T> void checkInputs(Subject<T> subject, Case c) {
    subject.withLayer(c, DType.FLOAT32, (layer, reference) -> {
      T x = subject.tensor(c.x(), DType.FLOAT32);
      T upstream = subject.tensor(c.upstream(), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.reference(reference).statistics()) {
        double[] mean = statistics.mean();
        double[] variance = statistics.variance();
        LiveOutput<T> live = layer.forward(x, statistics);
        assertNotSame(x, live.output(), "output tensor; expected one of its own");
        Gradients<T> gradients = layer.backward(x, statistics, upstream);
        layer.referenceBackward(
            reference, statistics, subject.tensor(c.reference(), DType.FLOAT32));
        layer.referenceGradient(reference, statistics, gradients);
        String hint = "Kernels change nothing but a supplied output.";
        assertSameBits("x", c.x(), subject.backend.toHost(x), hint);
        assertSameBits("upstream", c.upstream(), subject.backend.toHost(upstream), hint);
        assertSameBits("reference", c.reference(), subject.backend.toHost(reference), hint);
        EXACT.assertClose("reference mean", mean, statistics.mean(), hint);
        EXACT.assertClose("reference variance", variance, statistics.variance(), hint);
        HostTensor gamma = subject.backend.toHost(requireNonNull(layer.gamma()));
        HostTensor beta = subject.backend.toHost(requireNonNull(layer.beta()));
        assertSameBits("gamma", requireNonNull(c.gamma()), gamma, hint);
        assertSameBits("beta", requireNonNull(c.beta()), beta, hint);
      } finally {
        subject.backend.release(x);
        subject.backend.release(upstream);
      }
      return true;
    });
  }

  /** Writing over each result, and computing anew, must leave arguments and other results alone. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OWN_OUTPUT)
  final void resultsAreTensorsOfTheirOwn(Variant variant) {
    checkOwnOutput(subject(), sample(variant));
  }

  private static <T> void checkOwnOutput(Subject<T> subject, Case c) {
    subject.withLayer(c, DType.FLOAT32, (layer, reference) -> {
      T x = subject.tensor(c.x(), DType.FLOAT32);
      T other = subject.tensor(c.upstream(), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        LiveOutput<T> live = layer.forward(x, statistics);
        assertNotSame(x, live.output(), "output tensor; expected one of its own");
        HostTensor output = subject.backend.toHost(live.output());
        HostTensor mean = live.statistics().mean();
        Gradients<T> gradients = layer.backward(x, statistics, other);
        HostTensor dx = subject.backend.toHost(gradients.input());
        subject.release(layer.forward(other, statistics));
        subject.release(layer.backward(other, statistics, x));
        String hint = "A later call wrote into an earlier result.";
        assertSameBits("output", output, subject.backend.toHost(live.output()), hint);
        assertSameBits("mixed mean", mean, live.statistics().mean(), hint);
        assertSameBits("dx", dx, subject.backend.toHost(gradients.input()), hint);
        subject.release(live);
        subject.release(gradients);
      } finally {
        subject.backend.release(x);
        subject.backend.release(other);
      }
      return true;
    });
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SAME_BITS)
  final void repeatedCallsGiveTheSameBits(Variant variant) {
    Case c = sample(variant);
    for (DType dtype : dtypes()) {
      Subject.Outcome first = subject().run(c, dtype);
      for (int i = 0; i < 3; i++) {
        assertEqualBits(first, subject().run(c, dtype), "call " + (i + 2) + " in " + dtype);
        // Another layer's reference must leave no trace.
        subject().run(c.withReference(c.x()), dtype);
      }
    }
  }

  private static void assertEqualBits(
      Subject.Outcome expected, Subject.Outcome actual, String where) {
    String hint = "Layers share no state, and sums have one order.";
    assertSameBits("output, " + where, expected.output(), actual.output(), hint);
    assertSameBits("dx, " + where, expected.dx(), actual.dx(), hint);
    assertSameBits("dgamma, " + where, expected.dgamma(), actual.dgamma(), hint);
    assertSameBits("dbeta, " + where, expected.dbeta(), actual.dbeta(), hint);
  }

  /** Large enough that a backend which splits work among threads does so. */
  @Test
  @Checks(Rule.THREADS)
  final void threadsSharingABackendGetTheSameBits() throws Exception {
    VbnConfig config = VbnConfig.of(5).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case c = new Samples(72).of(config, new long[] {8, 5, 1031}, new long[] {8, 5, 1031});
    Subject.Outcome expected = subject().run(c, DType.FLOAT32);
    ExecutorService threads = Executors.newFixedThreadPool(8);
    try {
      List<Future<Subject.Outcome>> results = new ArrayList<>();
      for (int i = 0; i < 32; i++) {
        results.add(threads.submit(() -> subject().run(c, DType.FLOAT32)));
      }
      for (Future<Subject.Outcome> result : results) {
        assertEqualBits(expected, get(result), "from one of 8 threads");
      }
    } finally {
      threads.shutdownNow();
    }
  }

  private static Subject.Outcome get(Future<Subject.Outcome> result) throws Exception {
    try {
      return result.get();
    } catch (ExecutionException e) {
      throw new AssertionError("a call beside others failed: " + e.getCause(), e.getCause());
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SUPPLIED_OUTPUT)
  final void aSuppliedOutputTakesTheSameBits(Variant variant) {
    if (!subject().has(Capability.CALLER_SUPPLIED_OUTPUT)) {
      throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent; checked apart");
    }
    Case c = sample(variant);
    for (DType dtype : dtypes()) {
      checkSuppliedOutput(subject(), c, dtype, subject().output(c, dtype));
    }
  }

  private static <T> void checkSuppliedOutput(
      Subject<T> subject, Case c, DType dtype, HostTensor expected) {
    subject.withLayer(c, dtype, (layer, reference) -> {
      T x = subject.tensor(c.x(), dtype);
      T output = subject.tensor(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        T returned = layer.forward(x, statistics, output).output();
        Assertions.assertSame(output, returned, "returned tensor; expected the supplied one");
        assertSameBits(
            "supplied output",
            expected,
            subject.backend.toHost(output),
            "Every element is written.");
        layer.forward(x, statistics, x);
        assertSameBits(
            "output in place",
            expected,
            subject.backend.toHost(x),
            "Statistics are complete before the first element is overwritten.");
      } finally {
        subject.backend.release(x);
        subject.backend.release(output);
      }
      return true;
    });
  }

  @Test
  @Checks(Rule.CLOSED)
  final void aClosedBackendRefuses() {
    checkClosed(kit.openSubject());
  }

  private static <T> void checkClosed(Subject<T> subject) {
    HostTensor host = HostTensor.zeros(DType.FLOAT32, 2, 3);
    T tensor = subject.tensor(host, DType.FLOAT32);
    subject.backend.close();
    subject.backend.close();
    assertThrows(
        IllegalStateException.class,
        () -> subject.backend.fromHost(host, DType.FLOAT32),
        "a closed backend made a tensor; expected IllegalStateException");
    assertThrows(
        IllegalStateException.class,
        () -> subject.backend.statistics(tensor, Geometry.of(new long[] {2, 3}, 1)),
        "a closed backend computed; expected IllegalStateException");
  }

  @Test
  @Checks(Rule.CLOSED)
  final void backendsOfOneProviderCloseApart() {
    Subject<?> first = kit.openSubject();
    try (Subject<?> second = kit.openSubject()) {
      first.close();
      Case c = sample(Variant.LIVE_BATCH);
      assertEqualBits(
          subject().run(c, DType.FLOAT32),
          second.run(c, DType.FLOAT32),
          "on a backend opened before another was closed");
    }
  }

  @Test
  @Checks(Rule.STRIDES)
  final void otherLayoutsAreReadAsTheElementsTheyShow() {
    checkViews(subject());
  }

  private <T> void checkViews(Subject<T> subject) {
    for (Shapes shapes : Shapes.LAYOUTS) {
      VbnConfig config = shapes.config().withReferenceGradient(ReferenceGradient.ATTACHED);
      Case c = new Samples(73).of(config, shapes.live(), shapes.reference());
      List<T> xs = views(subject, c.x());
      List<T> upstreams = views(subject, c.upstream());
      List<T> references = views(subject, c.reference());
      if (xs.isEmpty()) {
        throw new DeclaredAbsent("the kit was given no tensors in other layouts");
      }
      Subject.Outcome expected = subject.run(c, DType.FLOAT32);
      for (int i = 0; i < xs.size(); i++) {
        Subject.Outcome actual =
            subject.run(c, DType.FLOAT32, xs.get(i), references.get(i), upstreams.get(i));
        assertEqualBits(expected, actual, "of view " + i + " of " + shapes);
      }
      for (List<T> views : List.of(xs, upstreams, references)) {
        views.forEach(subject.backend::release);
      }
    }
  }

  private <T> List<T> views(Subject<T> subject, HostTensor host) {
    List<T> views = new ArrayList<>();
    for (Object view : kit.views(subject.backend, host)) {
      T tensor = subject.backend.tensorType().cast(view);
      assertSameBits(
          "view " + views.size(), host, subject.backend.toHost(tensor), "toHost reads strides.");
      views.add(tensor);
    }
    return views;
  }
}
