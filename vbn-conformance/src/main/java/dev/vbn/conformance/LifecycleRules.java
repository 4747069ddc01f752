package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.TensorAccess;
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
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      T reference = made.of(c.reference(), DType.FLOAT32);
      T upstream = made.of(c.upstream(), DType.FLOAT32);
      T other = made.of(c.reference(), DType.FLOAT32);
      try (ReferenceOutput<T> pass = layer.reference(reference)) {
        ReferenceStatistics<T> statistics = pass.statistics();
        HostTensor mean = subject.host(statistics.mean());
        HostTensor variance = subject.host(statistics.variance());
        layer.forward(x, statistics).close();
        try (Gradients<T> gradients = layer.backward(x, statistics, upstream)) {
          layer.referenceBackward(reference, statistics, other).close();
          layer.referenceGradient(reference, statistics, gradients).close();
        }
        String hint = "Kernels change nothing but a tensor supplied for a result.";
        assertSameBits("x", c.x(), subject.host(x), hint);
        assertSameBits("upstream", c.upstream(), subject.host(upstream), hint);
        assertSameBits("reference", c.reference(), subject.host(reference), hint);
        assertSameBits("reference upstream", c.reference(), subject.host(other), hint);
        assertSameBits("reference mean", mean, subject.host(statistics.mean()), hint);
        assertSameBits("reference variance", variance, subject.host(statistics.variance()), hint);
        HostTensor gamma = subject.host(requireNonNull(layer.gamma()));
        HostTensor beta = subject.host(requireNonNull(layer.beta()));
        assertSameBits("gamma", requireNonNull(c.gamma()), gamma, hint);
        assertSameBits("beta", requireNonNull(c.beta()), beta, hint);
      }
    }
  }

  /** Writing over each result, and computing anew, must leave arguments and other results alone. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.OWN_OUTPUT)
  final void resultsAreTensorsOfTheirOwn(Variant variant) {
    checkOwnOutput(subject(), sample(variant));
  }

  private static <T> void checkOwnOutput(Subject<T> subject, Case c) {
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      T other = made.of(c.upstream(), DType.FLOAT32);
      T reference = made.of(c.reference(), DType.FLOAT32);
      Map<String, T> results = new LinkedHashMap<>();
      try (ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference)) {
        ReferenceStatistics<T> statistics = pass.statistics();
        try (Output<T> live = layer.forward(x, statistics);
            Gradients<T> gradients = layer.backward(x, statistics, other);
            Output<T> reached = layer.referenceGradient(reference, statistics, gradients)) {
          // Taken out, so that they can be freed one by one.
          results.put("output", live.takeOutput());
          results.put("dx", gradients.takeDx());
          results.put("dgamma", gradients.takeDgamma());
          results.put("dbeta", gradients.takeDbeta());
          results.put("gradient of the reference batch", reached.takeOutput());
          results.put("reference output", pass.takeOutput());
        }
        Map<String, T> arguments = new LinkedHashMap<>();
        arguments.put("x", x);
        arguments.put("upstream", other);
        arguments.put("the reference batch", reference);
        arguments.put("gamma", requireNonNull(layer.gamma()));
        arguments.put("beta", requireNonNull(layer.beta()));
        arguments.put("the reference mean", statistics.mean());
        arguments.put("the reference variance", statistics.variance());
        arguments.put("the mean taken alone", alone.mean());
        arguments.put("the variance taken alone", alone.variance());
        checkApart(results, arguments);

        Map<String, T> watched = new LinkedHashMap<>(arguments);
        watched.putAll(results);
        Map<String, HostTensor> before = new LinkedHashMap<>();
        watched.forEach((name, tensor) -> before.put(name, subject.host(tensor)));
        layer.reference(other).close();
        layer.forward(other, statistics).close();
        try (Gradients<T> later = layer.backward(other, statistics, x)) {
          layer.referenceGradient(x, statistics, later).close();
        }
        layer.referenceStatistics(other).close();
        // One after the other is freed, the last one first: the rest must still be there.
        List<String> names = new ArrayList<>(results.keySet());
        for (int i = names.size(); i >= 0; i--) {
          watched.forEach((name, tensor) -> assertSameBits(
              name,
              requireNonNull(before.get(name)),
              subject.host(tensor),
              "A later call, or a release, wrote into an earlier result."));
          if (i > 0) {
            watched.remove(names.get(i - 1));
            subject.backend.release(requireNonNull(results.remove(names.get(i - 1))));
          }
        }
      } finally {
        results.values().forEach(subject.backend::release);
      }
    }
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
    try (Tensors<T> made = subject.tensors()) {
      T x = made.of(c.x(), dtype);
      T dy = made.of(c.upstream(), dtype);
      T otherX = made.of(other.x(), dtype);
      T otherDy = made.of(other.upstream(), dtype);
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      VirtualBatchNorm<T> otherLayer = made.layer(other, dtype);
      try (ReferenceOutput<T> pass = layer.reference(made.of(c.reference(), dtype));
          ReferenceOutput<T> otherPass = otherLayer.reference(made.of(other.reference(), dtype))) {
        ReferenceStatistics<T> statistics = pass.statistics();
        ReferenceStatistics<T> others = otherPass.statistics();
        checkOutput("first layer", subject, one, layer.forward(x, statistics));
        checkOutput("second layer", subject, two, otherLayer.forward(otherX, others));
        checkOutput("second layer, same x", subject, oneInTwo, otherLayer.forward(x, others));
        checkGradients("first layer", subject, one, layer.backward(x, statistics, dy));
        checkGradients(
            "first layer, other upstream", subject, mixed, layer.backward(x, statistics, otherDy));
        checkGradients("second layer", subject, two, otherLayer.backward(otherX, others, otherDy));
        checkOutput("first layer again", subject, one, layer.forward(x, statistics));
      }
    }
  }

  private static <T> void checkOutput(
      String where, Subject<T> subject, Subject.Outcome expected, Output<T> live) {
    try (live) {
      assertSameBits(
          "output of the " + where, expected.output(), subject.host(live.output()), NO_MEMORY);
    }
  }

  private static <T> void checkGradients(
      String where, Subject<T> subject, Subject.Outcome expected, Gradients<T> gradients) {
    try (gradients) {
      assertSameBits("dx of the " + where, expected.dx(), subject.host(gradients.dx()), NO_MEMORY);
      assertSameBits(
          "dgamma of the " + where, expected.dgamma(), subject.host(gradients.dgamma()), NO_MEMORY);
    }
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
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T output = made.of(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics =
          layer.referenceStatistics(made.of(c.reference(), dtype))) {
        HostTensor input = subject.host(x);
        HostTensor expected;
        HostTensor ofOutput;
        try (Output<T> fresh = layer.forward(x, statistics);
            Output<T> again = layer.forward(fresh.output(), statistics)) {
          expected = subject.host(fresh.output());
          ofOutput = subject.host(again.output());
        }
        try (Output<T> supplied = layer.forwardInto(output, x, statistics)) {
          Assertions.assertSame(
              output, supplied.output(), "returned tensor; expected the supplied one");
        }
        assertSameBits(
            "supplied output", expected, subject.host(output), "Every element is written.");
        assertSameBits("x beside a supplied output", input, subject.host(x), "Only the output is.");
        layer.forwardInto(x, x, statistics).close();
        assertSameBits(
            "output in place",
            expected,
            subject.host(x),
            "Statistics are complete before the first element is overwritten.");
        layer.forwardInto(x, x, statistics).close();
        assertSameBits(
            "output in place, a second time",
            ofOutput,
            subject.host(x),
            "A tensor's elements change, and with them its statistics: keep none by identity.");
      }
    }
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
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      T reference = made.of(c.reference(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference);
          Gradients<T> fresh = layer.backward(x, statistics, upstream);
          Gradients<T> again = layer.backward(fresh.dx(), statistics, upstream)) {
        HostTensor input = subject.host(x);
        HostTensor dy = subject.host(upstream);
        Written<T> written = new Written<>(subject, layer, reference, statistics, fresh);
        String hint = "Only dx is.";
        T dx = made.of(c.x(), dtype);
        written.check(
            "supplied dx",
            dx,
            layer.backwardInto(dx, x, statistics, upstream),
            "Every element is written.");
        assertSameBits("x beside a supplied dx", input, subject.host(x), hint);
        assertSameBits("upstream beside a supplied dx", dy, subject.host(upstream), hint);

        String complete = "Sums are complete before the first element is overwritten, and each"
            + " element is read before.";
        T over = made.of(c.upstream(), dtype);
        written.check(
            "dx over the upstream gradient",
            over,
            layer.backwardInto(over, x, statistics, over),
            complete);
        assertSameBits("x beside dx over the upstream gradient", input, subject.host(x), hint);

        written.check("dx over x", x, layer.backwardInto(x, x, statistics, upstream), complete);
        assertSameBits("upstream beside dx over x", dy, subject.host(upstream), hint);
        layer.backwardInto(x, x, statistics, upstream).close();
        assertSameBits(
            "dx over x, a second time",
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
      Gradients<T> fresh) {

    /** Fails unless {@code actual} has the bits of the fresh gradients, and {@code dx} is its dx. */
    void check(String what, T dx, Gradients<T> actual, String hint) {
      try (actual) {
        Assertions.assertSame(
            dx, actual.dx(), "tensor returned as " + what + "; expected the supplied one");
        assertSameBits(what, subject.host(fresh.dx()), subject.host(dx), hint);
        String same = "They are the same wherever dx goes.";
        assertSameBits(
            "dgamma, " + what, subject.host(fresh.dgamma()), subject.host(actual.dgamma()), same);
        assertSameBits(
            "dbeta, " + what, subject.host(fresh.dbeta()), subject.host(actual.dbeta()), same);
        assertSameBits(
            "gradient of the reference batch, " + what,
            subject.referenceGradient(layer, reference, statistics, fresh),
            subject.referenceGradient(layer, reference, statistics, actual),
            same);
      }
    }
  }

  /** The handle refuses after close; what is left to the backend is that nothing is harmed. */
  @Test
  @Checks(Rule.CLOSED)
  final void whatIsFreedAfterItsBackendDoesNoHarm() {
    checkFreedAfterClose(kit.openSubject());
  }

  private static <T> void checkFreedAfterClose(Subject<T> subject) {
    Case c = sample(Variant.LIVE_BATCH);
    Tensors<T> made = subject.tensors();
    VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
    T x = made.of(c.x(), DType.FLOAT32);
    T twice = subject.backend.fromHost(c.x());
    ReferenceOutput<T> pass = layer.reference(x);
    ReferenceStatistics<T> alone = layer.referenceStatistics(x);
    Output<T> live = layer.forward(x, alone);
    Gradients<T> gradients = layer.backward(x, alone, x);
    VirtualBatchNorm<T> initialized =
        VirtualBatchNorm.of(subject.backend, c.config()).initialized(DType.FLOAT32, 1);
    subject.close();
    subject.close();
    for (AutoCloseable each : List.of(live, gradients, pass, alone, initialized, made)) {
      try {
        each.close();
      } catch (Exception e) {
        throw new AssertionError(
            "closing " + each.getClass().getSimpleName() + " after its backend threw " + e
                + "; expected it to be harmless",
            e);
      }
    }
    subject.backend.release(twice);
    assertThrows(
        IllegalStateException.class,
        () -> subject.backend.shape(x),
        "shape of a closed backend; expected IllegalStateException");
  }

  @Test
  @Checks(Rule.RELEASE)
  final void releasingAgainIsHarmless() {
    checkReleasedTwice(subject());
  }

  private static <T> void checkReleasedTwice(Subject<T> subject) {
    Case c = sample(Variant.LIVE_BATCH);
    TensorAccess<?> access = subject.backend.unwrap(Kernels.class).tensors();
    try (Tensors<T> made = subject.tensors()) {
      T kept = made.of(c.x(), DType.FLOAT32);
      T freed = made.of(c.upstream(), DType.FLOAT32);
      // By the backend's own access, so that the handle's count of tensors stays right.
      releaseAgain(access, freed);
      T next = made.of(c.reference(), DType.FLOAT32);
      releaseAgain(access, freed);
      String hint = "Releasing a tensor twice frees nothing but that tensor.";
      assertSameBits("tensor made before", c.x(), subject.host(kept), hint);
      assertSameBits(
          "tensor made after the first release", c.reference(), subject.host(next), hint);
    }
  }

  @SuppressWarnings("unchecked") // the tensor is of the backend that the access is of
  private static <T> void releaseAgain(TensorAccess<?> access, T tensor) {
    ((TensorAccess<T>) access).release(tensor);
  }

  @Test
  @Checks(Rule.OUTLIVING)
  final void tensorsOutliveTheirBackendOrSaySo() {
    checkOutliving(kit.openSubject());
  }

  /** By the provider's own access to tensors: the handle of a closed backend refuses all. */
  private static <T> void checkOutliving(Subject<T> subject) {
    HostTensor host = sample(Variant.LIVE_BATCH).x();
    @SuppressWarnings("unchecked") // the kernels of this backend
    TensorAccess<T> access = ((Kernels<T>) subject.backend.unwrap(Kernels.class)).tensors();
    try (Tensors<T> made = subject.tensors()) {
      T tensor = made.of(host, DType.FLOAT32);
      boolean outlives = subject.has(Capability.TENSORS_OUTLIVE_BACKEND);
      subject.close();
      if (outlives) {
        Assertions.assertArrayEquals(host.shape(), access.shape(tensor), "shape after close");
        Assertions.assertEquals(DType.FLOAT32, access.dtype(tensor), "type after close");
        assertSameBits(
            "tensor after its backend was closed",
            host,
            access.toHost(tensor),
            "TENSORS_OUTLIVE_BACKEND is declared.");
        return;
      }
      Map<String, Executable> reads = Map.of(
          "shape", () -> access.shape(tensor),
          "dtype", () -> access.dtype(tensor),
          "toHost", () -> access.toHost(tensor));
      reads.forEach((name, read) -> assertThrows(
          IllegalStateException.class,
          read,
          name + " of a tensor whose backend is closed, without TENSORS_OUTLIVE_BACKEND"));
      throw new DeclaredAbsent("TENSORS_OUTLIVE_BACKEND is declared absent, and reads are refused");
    }
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
    TensorAccess<?> access = subject.backend.unwrap(Kernels.class).tensors();
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
        Subject.Outcome actual;
        try (Tensors<T> made = subject.tensors()) {
          actual = subject.run(
              made.layer(c, DType.FLOAT32), xs.get(i), references.get(i), upstreams.get(i));
        }
        // Not to the same bits: a library may well sum in another order along other strides.
        String hint = "It is the other on a dense tensor: read elements by strides and offset.";
        Agreement.ofLaw(
                subject,
                dense,
                Oracle.expect(drawn, DType.FLOAT32),
                actual,
                c,
                DType.FLOAT32,
                "view " + i)
            .output(hint)
            .referenceOutput(hint)
            .inputGradient(hint)
            .gammaGradient(hint)
            .betaGradient(hint)
            .referenceGradient(hint);
      }
      for (List<T> views : List.of(xs, upstreams, references)) {
        views.forEach(view -> releaseAgain(access, view));
      }
    }
  }

  private <T> List<T> views(Subject<T> subject, HostTensor host) {
    List<T> views = new ArrayList<>();
    for (Object view : kit.views(subject.backend, host)) {
      @SuppressWarnings("unchecked") // and the class is checked
      T tensor = (T) subject.backend.tensorType().rawClass().cast(view);
      assertSameBits("view " + views.size(), host, subject.host(tensor), "toHost reads strides.");
      views.add(tensor);
    }
    return views;
  }
}
