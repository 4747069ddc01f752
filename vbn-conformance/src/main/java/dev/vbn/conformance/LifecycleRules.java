package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.EXACT;
import static dev.vbn.conformance.Tolerance.assertSameBits;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.Gradients;
import dev.vbn.LiveOutput;
import dev.vbn.MixedStatistics;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Assertions;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** State, ownership, threads and the end of things. */
abstract class LifecycleRules extends Rules {
  private static final String NO_MEMORY =
      "A result follows from its arguments: keep nothing of a call for the next.";

  LifecycleRules(VbnConformance kit) {
    super(kit);
  }

  private static Case sample(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(71)
        .of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5})
        .roundedTo(DType.FLOAT32);
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
        layer.forward(x, statistics);
        Gradients<T> gradients = layer.backward(x, statistics, upstream);
        layer.referenceBackward(
            reference, statistics, subject.tensor(c.reference(), DType.FLOAT32));
        layer.referenceGradient(reference, statistics, gradients);
        String hint = "Kernels change nothing but a tensor supplied for a result.";
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
      ReferenceOutput<T> pass = layer.reference(reference);
      try (ReferenceStatistics<T> statistics = pass.statistics();
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference)) {
        LiveOutput<T> live = layer.forward(x, statistics);
        Gradients<T> gradients = layer.backward(x, statistics, other);
        T dr = layer.referenceGradient(reference, statistics, gradients);
        Map<String, T> results = new LinkedHashMap<>();
        results.put("output", live.output());
        results.put("mixed mean", live.statistics().moments().mean());
        results.put("mixed variance", live.statistics().moments().variance());
        results.put("dx", gradients.input());
        results.put("dgamma", gradients.gamma());
        results.put("dbeta", gradients.beta());
        Moments<T> toReference = requireNonNull(gradients.reference());
        results.put("gradient of the reference mean", toReference.mean());
        results.put("gradient of the reference variance", toReference.variance());
        results.put("gradient of the reference batch", dr);
        results.put("reference output", pass.output());
        Map<String, T> arguments = new LinkedHashMap<>();
        arguments.put("x", x);
        arguments.put("upstream", other);
        arguments.put("the reference batch", reference);
        arguments.put("gamma", requireNonNull(layer.gamma()));
        arguments.put("beta", requireNonNull(layer.beta()));
        arguments.put("the reference mean", statistics.moments().mean());
        arguments.put("the reference variance", statistics.moments().variance());
        arguments.put("the mean taken alone", alone.moments().mean());
        arguments.put("the variance taken alone", alone.moments().variance());
        checkApart(results, arguments);

        Map<String, HostTensor> before = new LinkedHashMap<>();
        results.forEach((name, tensor) -> before.put(name, subject.backend.toHost(tensor)));
        double[] mean = alone.mean();
        double[] variance = alone.variance();
        subject.backend.release(layer.reference(other).output());
        subject.release(layer.forward(other, statistics));
        Gradients<T> later = layer.backward(other, statistics, x);
        subject.backend.release(layer.referenceGradient(x, statistics, later));
        subject.release(later);
        layer.referenceStatistics(other).close();
        String hint = "A later call wrote into an earlier result.";
        EXACT.assertClose("mean taken alone", mean, alone.mean(), hint);
        EXACT.assertClose("variance taken alone", variance, alone.variance(), hint);
        // One after the other is freed, the last one first: the rest must still be there.
        List<String> names = new ArrayList<>(results.keySet());
        while (!names.isEmpty()) {
          for (String name : names) {
            HostTensor now = subject.backend.toHost(requireNonNull(results.get(name)));
            assertSameBits(name, requireNonNull(before.get(name)), now, hint);
          }
          subject.backend.release(requireNonNull(results.get(names.remove(names.size() - 1))));
        }
      } finally {
        subject.backend.release(x);
        subject.backend.release(other);
      }
      return true;
    });
  }

  private static <T> void checkApart(Map<String, T> results, Map<String, T> arguments) {
    Map<String, T> known = new LinkedHashMap<>(arguments);
    results.forEach((name, tensor) -> {
      known.forEach((otherName, other) -> assertNotSame(
          other, tensor, name + " is the tensor of " + otherName + "; expected one of its own"));
      known.put(name, tensor);
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
      // Nor must whatever was computed since other rules had these: they are the large ones.
      for (Case large : LayoutCases.of(variant)) {
        if (large.x().size() > LayoutCases.BARE_SIZE) {
          assertEqualBits(
              subject().outcome(large, dtype),
              subject().run(large.roundedTo(dtype), dtype),
              "later, of " + large.describe() + ", in " + dtype);
        }
      }
    }
  }

  /**
   * Calls of two layers in turn, on the same tensors: whatever a backend keeps of a call, by the
   * shape or the identity of a tensor or of the last call made, gives itself away.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SAME_BITS)
  final void callsInTurnGiveTheSameBits(Variant variant) {
    Variant next = variant == Variant.PER_EXAMPLE ? Variant.LIVE_BATCH : Variant.PER_EXAMPLE;
    Case c = sample(variant);
    VbnConfig config = c.config().withVariant(next).withEpsilon(0.5);
    Case other =
        new Samples(74).of(config, c.x().shape(), c.reference().shape()).roundedTo(DType.FLOAT32);
    for (DType dtype : dtypes()) {
      checkInTurn(subject(), c, other, dtype);
    }
  }

  private static <T> void checkInTurn(Subject<T> subject, Case c, Case other, DType dtype) {
    Subject.Outcome one = subject.run(c, dtype);
    Subject.Outcome two = subject.run(other, dtype);
    Subject.Outcome oneInTwo = subject.run(other.withLive(c.x(), c.upstream()), dtype);
    Subject.Outcome mixed = subject.run(c.withLive(c.x(), other.upstream()), dtype);
    T x = subject.tensor(c.x(), dtype);
    T dy = subject.tensor(c.upstream(), dtype);
    T otherX = subject.tensor(other.x(), dtype);
    T otherDy = subject.tensor(other.upstream(), dtype);
    subject.withLayer(
        c,
        dtype,
        (layer, reference) -> subject.withLayer(other, dtype, (otherLayer, otherReference) -> {
          ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceOutput<T> otherPass = otherLayer.reference(otherReference);
          subject.backend.release(pass.output());
          subject.backend.release(otherPass.output());
          try (ReferenceStatistics<T> statistics = pass.statistics();
              ReferenceStatistics<T> others = otherPass.statistics()) {
            checkOutput("first layer", subject, one, layer.forward(x, statistics));
            checkOutput("second layer", subject, two, otherLayer.forward(otherX, others));
            checkOutput("second layer, same x", subject, oneInTwo, otherLayer.forward(x, others));
            checkGradients("first layer", subject, one, layer.backward(x, statistics, dy));
            checkGradients(
                "first layer, other upstream",
                subject,
                mixed,
                layer.backward(x, statistics, otherDy));
            checkGradients(
                "second layer", subject, two, otherLayer.backward(otherX, others, otherDy));
            checkOutput("first layer again", subject, one, layer.forward(x, statistics));
          }
          return true;
        }));
    for (T tensor : List.of(x, dy, otherX, otherDy)) {
      subject.backend.release(tensor);
    }
  }

  private static <T> void checkOutput(
      String where, Subject<T> subject, Subject.Outcome expected, LiveOutput<T> live) {
    HostTensor output = subject.backend.toHost(live.output());
    assertSameBits("output of the " + where, expected.output(), output, NO_MEMORY);
    HostTensor mean = live.statistics().mean();
    assertSameBits("mixed mean of the " + where, expected.mixedMean(), mean, NO_MEMORY);
    subject.release(live);
  }

  private static <T> void checkGradients(
      String where, Subject<T> subject, Subject.Outcome expected, Gradients<T> gradients) {
    HostTensor dx = subject.backend.toHost(gradients.input());
    HostTensor dgamma = subject.backend.toHost(gradients.gamma());
    assertSameBits("dx of the " + where, expected.dx(), dx, NO_MEMORY);
    assertSameBits("dgamma of the " + where, expected.dgamma(), dgamma, NO_MEMORY);
    subject.release(gradients);
  }

  private static void assertEqualBits(
      Subject.Outcome expected, Subject.Outcome actual, String where) {
    String hint = "Layers share no state, and sums have one order.";
    assertSameBits("output, " + where, expected.output(), actual.output(), hint);
    assertSameBits(
        "reference output, " + where, expected.referenceOutput(), actual.referenceOutput(), hint);
    assertSameBits("mixed mean, " + where, expected.mixedMean(), actual.mixedMean(), hint);
    assertSameBits(
        "mixed variance, " + where, expected.mixedVariance(), actual.mixedVariance(), hint);
    assertSameBits("dx, " + where, expected.dx(), actual.dx(), hint);
    assertSameBits("dgamma, " + where, expected.dgamma(), actual.dgamma(), hint);
    assertSameBits("dbeta, " + where, expected.dbeta(), actual.dbeta(), hint);
    assertSameBits(
        "gradient of the reference batch, " + where,
        requireNonNull(expected.dreference()),
        requireNonNull(actual.dreference()),
        hint);
  }

  /** Different cases at once, so that what one call writes into another's buffer is not the same. */
  @Test
  @Checks(Rule.THREADS)
  final void threadsSharingABackendGetTheSameBits() throws Exception {
    List<Case> cases = List.of(
        threaded(Variant.LIVE_BATCH, 75, 8, 5, 1031),
        threaded(Variant.PER_EXAMPLE, 76, 8, 5, 1031),
        threaded(Variant.POOLED, 77, 64, 129),
        threaded(Variant.BATCH, 78, 16, 33, 17));
    List<Subject.Outcome> expected = new ArrayList<>();
    for (Case c : cases) {
      expected.add(subject().run(c, DType.FLOAT32));
    }
    ExecutorService threads = Executors.newFixedThreadPool(8);
    CountDownLatch start = new CountDownLatch(1);
    try {
      List<Future<Subject.Outcome>> results = new ArrayList<>();
      for (int i = 0; i < 48; i++) {
        Case c = cases.get(i % cases.size());
        results.add(threads.submit(() -> {
          start.await();
          return subject().run(c, DType.FLOAT32);
        }));
      }
      start.countDown();
      for (int i = 0; i < results.size(); i++) {
        assertEqualBits(
            expected.get(i % cases.size()), get(results.get(i)), "from one of 8 threads");
      }
    } finally {
      stop(threads);
    }
  }

  private static Case threaded(Variant variant, long stream, long... shape) {
    VbnConfig config = VbnConfig.of((int) shape[1])
        .withVariant(variant)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(stream).of(config, shape, shape).roundedTo(DType.FLOAT32);
  }

  /**
   * Large enough that a backend which splits its work does so. Parallel streams and other tasks
   * of the fork-join framework stay in the pool that they are started from.
   */
  @Test
  @Checks(Rule.THREADS)
  final void theNumberOfThreadsChangesNoBit() throws Exception {
    Case c = threaded(Variant.LIVE_BATCH, 79, 8, 5, 4099);
    Subject.Outcome expected = subject().run(c, DType.FLOAT32);
    for (int parallelism : new int[] {1, 2, 3, 7}) {
      ForkJoinPool pool = new ForkJoinPool(parallelism);
      try {
        assertEqualBits(
            expected,
            get(pool.submit(() -> subject().run(c, DType.FLOAT32))),
            "with " + parallelism + " threads to work on it");
      } finally {
        stop(pool);
      }
    }
  }

  /** Waits for calls that are still running: they must not meet those of another test. */
  private static void stop(ExecutorService threads) throws InterruptedException {
    threads.shutdown();
    Assertions.assertTrue(
        threads.awaitTermination(5, TimeUnit.MINUTES), "calls beside others do not end");
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
    requireSuppliedOutput();
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case large = new Samples(80)
        .of(config, new long[] {5, 3, 1031}, new long[] {2, 3, 7})
        .roundedTo(DType.FLOAT32);
    for (Case c : List.of(sample(variant), large)) {
      for (DType dtype : dtypes()) {
        checkSuppliedOutput(subject(), c, dtype);
      }
    }
  }

  private void requireSuppliedOutput() {
    if (!subject().has(Capability.CALLER_SUPPLIED_OUTPUT)) {
      throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent; checked apart");
    }
  }

  private static <T> void checkSuppliedOutput(Subject<T> subject, Case c, DType dtype) {
    subject.withLayer(c, dtype, (layer, reference) -> {
      T x = subject.tensor(c.x(), dtype);
      T output = subject.tensor(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        LiveOutput<T> fresh = layer.forward(x, statistics);
        LiveOutput<T> again = layer.forward(fresh.output(), statistics);
        HostTensor input = subject.backend.toHost(x);
        HostTensor expected = subject.backend.toHost(fresh.output());
        HostTensor ofOutput = subject.backend.toHost(again.output());

        LiveOutput<T> supplied = layer.forward(x, statistics, output);
        Assertions.assertSame(
            output, supplied.output(), "returned tensor; expected the supplied one");
        assertSameBits(
            "supplied output",
            expected,
            subject.backend.toHost(output),
            "Every element is written.");
        assertSameBits(
            "x beside a supplied output", input, subject.backend.toHost(x), "Only the output is.");
        LiveOutput<T> inPlace = layer.forward(x, statistics, x);
        assertSameBits(
            "output in place",
            expected,
            subject.backend.toHost(x),
            "Statistics are complete before the first element is overwritten.");
        for (LiveOutput<T> written : List.of(supplied, inPlace)) {
          String hint = "They are the same wherever the output goes.";
          MixedStatistics<T> mixed = written.statistics();
          assertSameBits("mixed mean", fresh.statistics().mean(), mixed.mean(), hint);
          assertSameBits("mixed variance", fresh.statistics().variance(), mixed.variance(), hint);
          subject.release(mixed.moments());
        }
        subject.release(layer.forward(x, statistics, x).statistics().moments());
        assertSameBits(
            "output in place, a second time",
            ofOutput,
            subject.backend.toHost(x),
            "A tensor's elements change, and with them its statistics: keep none by identity.");
        subject.release(fresh);
        subject.release(again);
      } finally {
        subject.backend.release(x);
        subject.backend.release(output);
      }
      return true;
    });
  }

  /** With features on the second axis and on the last: kernels often have a way for each. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SUPPLIED_DX)
  final void aTensorSuppliedForDxTakesTheSameBits(Variant variant) {
    requireSuppliedOutput();
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Samples samples = new Samples(81);
    Case second = samples.of(config, new long[] {5, 3, 1031}, new long[] {2, 3, 7});
    Case last =
        samples.of(config.withFeatureAxis(-1), new long[] {5, 1031, 3}, new long[] {2, 7, 3});
    for (DType dtype : dtypes()) {
      checkSuppliedDx(subject(), sample(variant), dtype);
      for (Case c : List.of(second, last)) {
        Case large = dtype.precision() >= 24 ? withALargeFeature(c) : c;
        checkSuppliedDx(subject(), large.roundedTo(dtype), dtype);
      }
    }
  }

  /** The first feature is so large that 32 bits may not do for it, and a kernel goes another way. */
  private static Case withALargeFeature(Case c) {
    double[] x = c.x().toDoubles();
    for (int i = 0; i < x.length; i++) {
      x[i] *= i / c.liveGeometry().after() % c.config().features() == 0 ? 0x1p110 : 1;
    }
    return c.withLive(HostTensor.of(x, c.x().shape()), c.upstream());
  }

  private static <T> void checkSuppliedDx(Subject<T> subject, Case c, DType dtype) {
    subject.withLayer(c, dtype, (layer, reference) -> {
      VbnBackend<T> backend = subject.backend;
      T x = subject.tensor(c.x(), dtype);
      T upstream = subject.tensor(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        HostTensor input = backend.toHost(x);
        HostTensor dy = backend.toHost(upstream);
        Gradients<T> fresh = layer.backward(x, statistics, upstream);
        Gradients<T> again = layer.backward(fresh.input(), statistics, upstream);
        HostTensor expectedAgain = backend.toHost(again.input());
        T dx = subject.tensor(c.x(), dtype);
        String hint = "Only dx is.";
        checkGiven(
            "supplied dx",
            subject,
            fresh,
            dx,
            layer.backward(x, statistics, upstream, dx),
            "Every element is written.");
        assertSameBits("x beside a supplied dx", input, backend.toHost(x), hint);
        assertSameBits("upstream beside a supplied dx", dy, backend.toHost(upstream), hint);

        String complete = "Sums are complete before the first element is overwritten, and each"
            + " element is read before.";
        T over = subject.tensor(c.upstream(), dtype);
        checkGiven(
            "dx over the upstream gradient",
            subject,
            fresh,
            over,
            layer.backward(x, statistics, over, over),
            complete);
        assertSameBits("x beside dx over the upstream gradient", input, backend.toHost(x), hint);

        checkGiven(
            "dx over x", subject, fresh, x, layer.backward(x, statistics, upstream, x), complete);
        assertSameBits("upstream beside dx over x", dy, backend.toHost(upstream), hint);
        releaseAllButDx(subject, layer.backward(x, statistics, upstream, x));
        assertSameBits(
            "dx over x, a second time",
            expectedAgain,
            backend.toHost(x),
            "A tensor's elements change, and with them its statistics: keep none by identity.");
        subject.release(fresh);
        subject.release(again);
        backend.release(dx);
        backend.release(over);
      } finally {
        backend.release(x);
        backend.release(upstream);
      }
      return true;
    });
  }

  /** Fails unless {@code actual} has the bits of {@code fresh}, and {@code dx} is its dx. */
  private static <T> void checkGiven(
      String what, Subject<T> subject, Gradients<T> fresh, T dx, Gradients<T> actual, String hint) {
    VbnBackend<T> backend = subject.backend;
    Assertions.assertSame(
        dx, actual.input(), "tensor returned as " + what + "; expected the supplied one");
    assertSameBits(what, backend.toHost(fresh.input()), backend.toHost(dx), hint);
    String same = "They are the same wherever dx goes.";
    Moments<T> expected = requireNonNull(fresh.reference());
    Moments<T> reached = requireNonNull(actual.reference());
    Map<String, List<T>> others = Map.of(
        "dgamma", List.of(fresh.gamma(), actual.gamma()),
        "dbeta", List.of(fresh.beta(), actual.beta()),
        "gradient of the reference mean", List.of(expected.mean(), reached.mean()),
        "gradient of the reference variance", List.of(expected.variance(), reached.variance()));
    others.forEach((name, pair) -> assertSameBits(
        name + ", " + what, backend.toHost(pair.get(0)), backend.toHost(pair.get(1)), same));
    releaseAllButDx(subject, actual);
  }

  private static <T> void releaseAllButDx(Subject<T> subject, Gradients<T> gradients) {
    subject.backend.release(gradients.gamma());
    subject.backend.release(gradients.beta());
    subject.release(gradients.reference());
  }

  @Test
  @Checks(Rule.CLOSED)
  final void aClosedBackendRefuses() {
    checkClosed(kit.openSubject());
  }

  private static <T> void checkClosed(Subject<T> subject) {
    VbnBackend<T> backend = subject.backend;
    HostTensor host = HostTensor.zeros(DType.FLOAT32, 2, 3);
    T x = subject.tensor(host, DType.FLOAT32);
    Geometry geometry = Geometry.of(host.shape(), 1);
    Normalization pass =
        new Normalization(geometry, Scope.BATCH, 1, 1e-5, ReferenceGradient.DETACHED);
    Moments<T> moments = backend.statistics(x, geometry);
    backend.close();
    backend.close();
    Map<String, Executable> calls = new LinkedHashMap<>();
    calls.put("shape", () -> backend.shape(x));
    calls.put("dtype", () -> backend.dtype(x));
    calls.put("fromHost", () -> backend.fromHost(host, DType.FLOAT32));
    calls.put("toHost", () -> backend.toHost(x));
    calls.put("statistics", () -> backend.statistics(x, geometry));
    calls.put("forward", () -> backend.forward(x, pass, null, null, null, null));
    calls.put("backward", () -> backend.backward(x, x, pass, null, null, null));
    calls.put(
        "referenceGradient", () -> backend.referenceGradient(x, geometry, moments, moments, 2));
    calls.forEach((name, call) -> assertThrows(
        IllegalStateException.class,
        call,
        name + " of a closed backend; expected IllegalStateException"));
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
    try (Subject<?> third = kit.openSubject()) {
      Case c = sample(Variant.PER_EXAMPLE);
      assertEqualBits(
          subject().run(c, DType.FLOAT32),
          third.run(c, DType.FLOAT32),
          "on a backend opened after others were closed");
    }
  }

  @Test
  @Checks(Rule.STRIDES)
  final void otherLayoutsAreReadAsTheElementsTheyShow() {
    checkViews(subject());
  }

  private <T> void checkViews(Subject<T> subject) {
    for (Case drawn : LayoutCases.of(Variant.LIVE_BATCH)) {
      Case c = drawn.roundedTo(DType.FLOAT32);
      List<T> xs = views(subject, c.x());
      List<T> upstreams = views(subject, c.upstream());
      List<T> references = views(subject, c.reference());
      if (xs.isEmpty()) {
        throw new DeclaredAbsent("the kit was given no tensors in other layouts");
      }
      Subject.Outcome dense = subject.outcome(drawn, DType.FLOAT32);
      for (int i = 0; i < xs.size(); i++) {
        Subject.Outcome actual =
            subject.run(c, DType.FLOAT32, xs.get(i), references.get(i), upstreams.get(i));
        // Not to the same bits: a library may well sum in another order along other strides.
        String hint = "It is the other on a dense tensor: read elements by strides and offset.";
        Agreement.ofLaw(
                dense, Oracle.expect(drawn, DType.FLOAT32), actual, c, DType.FLOAT32, "view " + i)
            .output(hint)
            .referenceOutput(hint)
            .inputGradient(hint)
            .gammaGradient(hint)
            .betaGradient(hint)
            .referenceGradient(hint);
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
