package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.conformance.Padding.Junk;
import dev.vbn.conformance.Padding.Kind;
import dev.vbn.conformance.Samples.Spread;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** The same call again: later, among others, from other threads. */
abstract class RepetitionRules extends Rules {
  private static final String NO_MEMORY =
      "A result follows from its arguments: keep nothing of a call for the next.";
  private static final String ONE_ORDER = "Layers share no state, and sums have one order.";

  /** Large enough that a backend which divides its work does so. */
  private static final Case DIVIDED = threaded(Variant.LIVE_BATCH, 79, 8, 5, 4099);

  RepetitionRules(VbnConformance kit) {
    super(kit);
  }

  private static Case sample(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(71).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
  }

  /** The whole table once more, backwards: whatever was computed between leaves no trace. */
  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.SAME_BITS)
  final void laterCallsGiveTheSameBits(DType dtype) {
    holds(() -> {
      List<Conditions> rows = Conditions.all();
      for (int i = rows.size() - 1; i >= 0; i--) {
        Case c = rows.get(i).of(dtype);
        assertEqualBits(
            " of " + rows.get(i).describe(dtype) + ", computed later",
            subject().known(c, dtype, rows.get(i).manner()),
            subject().run(c, dtype, rows.get(i).manner()),
            NO_MEMORY);
      }
    });
  }

  /**
   * Calls of two layers in turn, on the same tensors: whatever a backend keeps of a call, by the
   * shape or the identity of a tensor or of the last call made, gives itself away.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SAME_BITS)
  final void callsInTurnGiveTheSameBits(Variant variant) {
    holds(() -> {
      Variant next = variant == Variant.PER_EXAMPLE ? Variant.LIVE_BATCH : Variant.PER_EXAMPLE;
      Case c = sample(variant);
      VbnConfig config = c.config().withVariant(next).withEpsilon(0.5);
      Case other = new Samples(74).of(config, c.x().shape(), c.reference().shape());
      for (DType dtype : subject().dtypes()) {
        checkInTurn(subject(), c.roundedTo(dtype), other.roundedTo(dtype), dtype);
      }
    });
  }

  private static <T> void checkInTurn(Subject<T> subject, Case c, Case other, DType dtype) {
    Computed one = right(subject, c, dtype);
    Computed two = right(subject, other, dtype);
    Computed oneInTwo = right(subject, other.withLive(c.x(), c.upstream()), dtype);
    Computed mixed = right(subject, c.withLive(c.x(), other.upstream()), dtype);
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
      String where, Subject<T> subject, Computed expected, Output<T> live) {
    try (live) {
      assertSameBits(
          "output of the " + where,
          expected.of(Quantity.OUTPUT),
          subject.host(live.output()),
          NO_MEMORY);
    }
  }

  private static <T> void checkGradients(
      String where, Subject<T> subject, Computed expected, Gradients<T> gradients) {
    try (gradients) {
      HostTensor dx = subject.host(gradients.dx());
      HostTensor dgamma = subject.host(gradients.dgamma());
      HostTensor dbeta = subject.host(gradients.dbeta());
      assertSameBits("dx of the " + where, expected.of(Quantity.DX), dx, NO_MEMORY);
      assertSameBits("dgamma of the " + where, expected.of(Quantity.DGAMMA), dgamma, NO_MEMORY);
      assertSameBits("dbeta of the " + where, expected.of(Quantity.DBETA), dbeta, NO_MEMORY);
    }
  }

  /** A tensor's elements may change, those of the reference batch as well. */
  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.SAME_BITS)
  final void changedElementsGiveOtherResults(DType dtype) {
    holds(() -> {
      if (!subject().has(Capability.CALLER_SUPPLIED_OUTPUT)) {
        throw new DeclaredAbsent("CALLER_SUPPLIED_OUTPUT is declared absent: nothing can change");
      }
      checkChanged(subject(), sample(Variant.LIVE_BATCH).roundedTo(dtype), dtype);
    });
  }

  private static <T> void checkChanged(Subject<T> subject, Case c, DType dtype) {
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T reference = made.of(c.reference(), dtype);
      T x = made.of(c.x(), dtype);
      try (ReferenceOutput<T> first = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference)) {
        layer.forward(x, alone).close();
        layer.forwardInto(reference, reference, first.statistics()).close();
        layer.forwardInto(x, x, first.statistics()).close();
        Case changed = c.withReference(subject.host(reference), c.referenceUpstream())
            .withLive(subject.host(x), c.upstream());
        Computed expected = right(subject, changed, dtype);
        try (ReferenceOutput<T> again = layer.reference(reference);
            ReferenceStatistics<T> aloneAgain = layer.referenceStatistics(reference);
            Output<T> live = layer.forward(x, again.statistics())) {
          String hint = "The elements of the tensor have changed since: keep none by identity.";
          assertSameBits(
              "reference output",
              expected.of(Quantity.REFERENCE_OUTPUT),
              subject.host(again.output()),
              hint);
          assertSameBits(
              "reference mean",
              expected.of(Quantity.MEAN),
              subject.host(again.statistics().mean()),
              hint);
          assertSameBits(
              "mean taken alone",
              expected.of(Quantity.LONE_MEAN),
              subject.host(aloneAgain.mean()),
              hint);
          assertSameBits("output", expected.of(Quantity.OUTPUT), subject.host(live.output()), hint);
        }
      }
    }
  }

  /**
   * Statistics in tensors of the caller's, who may pair them at will, and write to them once the
   * statistics are no longer in use.
   */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SAME_BITS)
  final void wrappedStatisticsAreWhatTheirTensorsHold(Variant variant) {
    holds(() -> checkWrapped(subject(), sample(variant).roundedTo(DType.FLOAT32)));
  }

  private <T> void checkWrapped(Subject<T> subject, Case c) {
    DType type = subject.backend.statisticsType();
    HostTensor[] means = {
      HostTensor.of(new double[] {0.5, -1, 2}, 3).to(type),
      HostTensor.of(new double[] {-3, 0.25, 1}, 3).to(type)
    };
    HostTensor[] variances = {
      HostTensor.of(new double[] {1, 0.5, 4}, 3).to(type),
      HostTensor.of(new double[] {0.25, 3, 1}, 3).to(type)
    };
    try (Tensors<T> made = subject.tensors()) {
      Live<T> live = new Live<>(subject, c, made);
      List<T> mean = new ArrayList<>();
      List<T> variance = new ArrayList<>();
      for (int i = 0; i < 2; i++) {
        mean.add(made.of(means[i], type));
        variance.add(made.of(variances[i], type));
      }
      String hint = "Statistics are what their tensors hold: keep nothing by the identity of one.";
      for (int i = 0; i < 8; i++) {
        int m = i % 2;
        int v = i / 2 % 2;
        assertEqualBits(
            ", with a mean and a variance that were in use with others",
            live.with(made.of(means[m], type), made.of(variances[v], type)),
            live.with(mean.get(m), variance.get(v)),
            hint);
      }
      if (kit.overwrite(subject.backend, mean.get(0), means[1])
          && kit.overwrite(subject.backend, variance.get(1), variances[0])) {
        assertEqualBits(
            ", with a mean and a variance that were written to",
            live.with(made.of(means[1], type), made.of(variances[0], type)),
            live.with(mean.get(0), variance.get(1)),
            hint);
      }
    }
  }

  /** A layer with the tensors of a case, which stay the same. */
  private static final class Live<T> {
    private final Subject<T> subject;
    private final VirtualBatchNorm<T> layer;
    private final T reference;
    private final T x;
    private final T upstream;

    Live(Subject<T> subject, Case c, Tensors<T> made) {
      this.subject = subject;
      layer = made.layer(c, DType.FLOAT32);
      reference = made.of(c.reference(), DType.FLOAT32);
      x = made.of(c.x(), DType.FLOAT32);
      upstream = made.of(c.upstream(), DType.FLOAT32);
    }

    ReferenceOutput<T> pass() {
      return layer.reference(reference);
    }

    Computed with(T mean, T variance) {
      try (ReferenceStatistics<T> statistics =
          ReferenceStatistics.wrap(subject.backend, mean, variance, 6, 30)) {
        return with(statistics);
      }
    }

    Computed with(ReferenceStatistics<T> statistics) {
      Computed computed = new Computed();
      try (ReferenceOutput<T> pass = layer.reference(reference);
          Output<T> live = layer.forward(x, statistics);
          Gradients<T> gradients = layer.backward(x, statistics, upstream);
          Output<T> reached = layer.referenceGradient(reference, statistics, gradients)) {
        computed.put(Quantity.REFERENCE_OUTPUT, subject.host(pass.output()));
        computed.put(Quantity.OUTPUT, subject.host(live.output()));
        computed.put(Quantity.DX, subject.host(gradients.dx()));
        computed.put(Quantity.DGAMMA, subject.host(gradients.dgamma()));
        computed.put(Quantity.DBETA, subject.host(gradients.dbeta()));
        computed.put(Quantity.DREFERENCE, subject.host(reached.output()));
      }
      return computed;
    }
  }

  private static final int HELD = 4200; // more than a table of 2^12
  private static final int CALLS = 4200;
  private static final int MADE = 70_000;

  /** What is handed out by number, or kept in a table, runs out at some count. */
  @Test
  @Checks(Rule.SAME_BITS)
  final void manyTensorsAndManyCallsAreAsGoodAsTheFirst() {
    holds(() -> checkMany(subject()));
  }

  private static <T> void checkMany(Subject<T> subject) {
    HostTensor host = new Samples(87).normal(0, 1, 2, 3).to(DType.FLOAT32);
    try (Tensors<T> made = subject.tensors()) {
      List<T> held = new ArrayList<>();
      for (int i = 0; i < HELD; i++) {
        held.add(made.of(raised(host, i), DType.FLOAT32));
      }
      for (int i = 0; i < MADE; i++) {
        subject.backend.release(subject.backend.fromHost(host, DType.FLOAT32));
      }
      Case c = new Samples(88)
          .of(VbnConfig.of(3), new long[] {2, 3, 2}, new long[] {2, 3, 2}, Spread.FAR)
          .roundedTo(DType.FLOAT32);
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      T upstream = made.of(c.upstream(), DType.FLOAT32);
      T reference = made.of(c.reference(), DType.FLOAT32);
      Computed expected = right(subject, c, DType.FLOAT32);
      try (ReferenceOutput<T> pass = layer.reference(reference)) {
        ReferenceStatistics<T> statistics = pass.statistics();
        for (int i = 0; i < CALLS; i++) {
          layer.forward(x, statistics).close();
          if (i % 8 == 0) {
            layer.backward(x, statistics, upstream).close();
            layer.referenceStatistics(reference).close();
          }
        }
        System.gc(); // what only the garbage collector frees is no argument
        String last = "last of " + CALLS + " calls";
        checkOutput(last, subject, expected, layer.forward(x, statistics));
        checkGradients(last, subject, expected, layer.backward(x, statistics, upstream));
        assertEqualBits(", after the " + last, expected, subject.run(c, DType.FLOAT32), NO_MEMORY);
      }
      for (int i = 0; i < HELD; i++) {
        assertSameBits(
            "tensor " + i + " of " + HELD,
            raised(host, i).to(DType.FLOAT32),
            subject.host(held.get(i)),
            "Tensors hold what they were made of until they are freed, however many there are.");
      }
    }
  }

  private static HostTensor raised(HostTensor host, int number) {
    return Layouts.mapped(host, each -> each + number);
  }

  /** Calls at random, with results of earlier calls and with tensors that were written to since. */
  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.WALK)
  final void resultsAreThoseOfTheArgumentsWhateverCameBefore(DType dtype) {
    holds(() -> {
      walk(subject(), dtype, 3, dtype == DType.FLOAT32 ? 1200 : 400);
      walk(subject(), dtype, 17, 200);
    });
  }

  private <T> void walk(Subject<T> subject, DType dtype, int features, int steps) {
    try (Walk<T> walk = new Walk<>(
        subject,
        (tensor, host) -> kit.overwrite(subject.backend, tensor, host),
        dtype,
        features,
        84)) {
      walk.run(steps);
    }
  }

  private static Case threaded(Variant variant, long stream, long... shape) {
    VbnConfig config = VbnConfig.of((int) shape[1])
        .withVariant(variant)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    return new Samples(stream).of(config, shape, shape);
  }

  /** Different cases at once, so that what one call writes into another's buffer is not the same. */
  @Test
  @Checks(Rule.THREADS)
  final void threadsSharingABackendGetTheSameBits() {
    holds(() -> {
      List<Case> cases = List.of(
          threaded(Variant.LIVE_BATCH, 75, 8, 5, 1031),
          threaded(Variant.PER_EXAMPLE, 76, 8, 5, 1031),
          threaded(Variant.POOLED, 77, 64, 129),
          threaded(Variant.BATCH, 78, 16, 33, 17));
      List<Computed> expected = new ArrayList<>();
      List<Callable<Computed>> calls = new ArrayList<>();
      for (Case c : cases) {
        expected.add(right(subject(), c, DType.FLOAT32));
      }
      for (int i = 0; i < 48; i++) {
        Case c = cases.get(i % cases.size());
        calls.add(() -> subject().run(c, DType.FLOAT32));
      }
      List<Computed> results = atOnce(calls);
      for (int i = 0; i < results.size(); i++) {
        assertEqualBits(
            ", from one of 8 threads", expected.get(i % cases.size()), results.get(i), ONE_ORDER);
      }
    });
  }

  /** Of one shape but with different numbers, so that a buffer that calls share shows. */
  @ParameterizedTest
  @EnumSource(Passes.class)
  @Checks(Rule.THREADS)
  final void threadsWithOtherNumbersOfOneShapeGetTheirOwn(Passes passes) {
    holds(() -> {
      Manner manner = new Manner(Into.NEW, Into.NEW, Source.PASS, passes);
      List<Case> cases = new ArrayList<>();
      List<Computed> expected = new ArrayList<>();
      List<Callable<Computed>> calls = new ArrayList<>();
      for (int i = 0; i < 8; i++) {
        // Some are so large that calls of different threads surely meet in the same step.
        Variant variant =
            List.of(Variant.POOLED, Variant.PER_EXAMPLE, Variant.BATCH).get(i / 2 % 3);
        Case c = threaded(variant, 180 + i, 6, 5, i / 2 == 1 ? 1031 : 67);
        cases.add(i % 2 == 0 || !subject().has(Capability.MASK) ? c : padded(c, 190 + i));
        expected.add(right(subject(), cases.get(i), DType.FLOAT32, manner));
      }
      for (int i = 0; i < 160; i++) {
        Case c = cases.get(i % cases.size());
        calls.add(() -> subject().run(c, DType.FLOAT32, manner));
      }
      List<Computed> results = atOnce(calls);
      for (int i = 0; i < results.size(); i++) {
        assertEqualBits(
            ", from one of 8 threads with batches of one shape, by " + passes,
            expected.get(i % cases.size()),
            results.get(i),
            ONE_ORDER);
      }
    });
  }

  private static Case padded(Case c, long stream) {
    Samples samples = new Samples(stream);
    return c.padded(
        samples.padding(Kind.SCATTERED, c.x().shape(), c.config().featureAxis()),
        samples.padding(Kind.SCATTERED, c.reference().shape(), c.config().featureAxis()),
        Junk.ORDINARY.value);
  }

  /** On an open backend, and on one that the thread itself opens. */
  @ParameterizedTest
  @EnumSource(CallingThread.class)
  @Checks(Rule.THREADS)
  final void anyThreadGetsTheSameBits(CallingThread thread) {
    holds(() -> {
      Case c = threaded(Variant.POOLED, 81, 8, 5, 67);
      Case masked = subject().has(Capability.MASK) ? padded(c, 191) : c;
      for (Passes passes : Passes.values()) {
        Manner manner = new Manner(Into.NEW, Into.NEW, Source.CHUNKS, passes);
        for (DType dtype : subject().dtypes()) {
          for (Case each : List.of(c, masked)) {
            Computed expected = right(subject(), each, dtype, manner);
            thread.run(() -> assertEqualBits(
                ", from a thread " + thread + ", in " + dtype,
                expected,
                subject().run(each, dtype, manner),
                ONE_ORDER));
          }
        }
      }
      Computed expected = right(subject(), DIVIDED, DType.FLOAT32);
      thread.run(() -> assertEqualBits(
          ", from a thread " + thread, expected, subject().run(DIVIDED, DType.FLOAT32), ONE_ORDER));
      if (thread == CallingThread.INTERRUPTED) {
        return; // opening may be given up too
      }
      thread.run(() -> {
        try (Subject<?> opened = kit.openSubject()) {
          assertEqualBits(
              ", on a backend opened by a thread " + thread,
              expected,
              opened.run(DIVIDED, DType.FLOAT32),
              ONE_ORDER);
        }
      });
    });
  }

  /** One layer, its tensors and its statistics, whichever thread made them. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.THREADS)
  final void threadsSharingALayerGetTheSameBits(Variant variant) {
    holds(() -> {
      Case c = threaded(variant, 80, 8, 5, 257).roundedTo(DType.FLOAT32);
      checkShared(subject(), c);
    });
  }

  private static <T> void checkShared(Subject<T> subject, Case c) throws Exception {
    Computed expected = right(subject, c, DType.FLOAT32);
    try (Tensors<T> made = subject.tensors()) {
      Live<T> live = new Live<>(subject, c, made);
      List<ReferenceOutput<T>> passes = atOnce(List.of(live::pass, live::pass));
      try (ReferenceOutput<T> first = passes.get(0);
          ReferenceOutput<T> second = passes.get(1)) {
        List<Callable<Computed>> calls = new ArrayList<>();
        for (int i = 0; i < 24; i++) {
          ReferenceStatistics<T> shared = (i % 2 == 0 ? first : second).statistics();
          calls.add(() -> live.with(shared));
        }
        for (Computed computed : atOnce(calls)) {
          assertEqualBits(
              ", of a layer and statistics shared by 8 threads, " + c.describe(),
              computed,
              expected,
              "Layers and statistics are shared between threads, whoever made them.");
        }
      }
    }
  }

  /** Runs the calls on 8 threads that start together. */
  private static <R> List<R> atOnce(List<Callable<R>> calls) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(8);
    CountDownLatch start = new CountDownLatch(1);
    List<Future<R>> futures = new ArrayList<>();
    try {
      for (Callable<R> call : calls) {
        futures.add(threads.submit(() -> {
          start.await();
          return call.call();
        }));
      }
    } finally {
      start.countDown();
      stop(threads);
    }
    List<R> results = new ArrayList<>();
    for (Future<R> future : futures) {
      results.add(get(future));
    }
    return results;
  }

  /** Parallel streams and other tasks of the fork-join framework stay in the pool they start from. */
  @Test
  @Checks(Rule.THREADS)
  final void theNumberOfThreadsChangesNoBit() {
    holds(() -> {
      Computed expected = right(subject(), DIVIDED, DType.FLOAT32);
      for (int parallelism : new int[] {1, 2, 3, 7}) {
        ForkJoinPool pool = new ForkJoinPool(parallelism);
        try {
          assertEqualBits(
              ", with " + parallelism + " threads to work on it",
              expected,
              get(pool.submit(() -> subject().run(DIVIDED, DType.FLOAT32))),
              ONE_ORDER);
        } finally {
          stop(pool);
        }
      }
    });
  }

  /** Waits for calls that are still running: they must not meet those of another test. */
  private static void stop(ExecutorService threads) throws InterruptedException {
    threads.shutdown();
    assertTrue(threads.awaitTermination(10, TimeUnit.MINUTES), "calls of other threads do not end");
  }

  private static <R> R get(Future<R> result) throws Exception {
    try {
      return result.get();
    } catch (ExecutionException e) {
      throw new AssertionError("a call among others failed: " + e.getCause(), e.getCause());
    }
  }
}
