package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.GradientSums;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;

/** Workers that each hold a part of the live batch get together what one gets that holds it all. */
final class SharedStatisticsTest {
  private static final int FEATURES = 3;
  private static final int POSITIONS = 5;
  private static final double CLOSE = 1e-12;

  /** What a worker has of a step. */
  private record Step(double[] y, double[] dx, double[] dgamma, double[] dbeta, double[] dr) {}

  /** One worker, on a backend of its own. */
  private record Worker(
      VbnBackend<HostTensor> backend,
      VirtualBatchNorm<HostTensor> layer,
      ReferenceStatistics<HostTensor> statistics,
      HostTensor x,
      HostTensor dy) {}

  @ParameterizedTest
  @CsvSource({"LIVE_BATCH,2", "LIVE_BATCH,4", "BATCH,2", "BATCH,4", "POOLED,2", "POOLED,4"})
  void workersTogetherGetWhatOneGets(Variant variant, int workers) throws Exception {
    int examples = 9;
    Random random = new Random(3);
    double[] x = drawn(random, examples * FEATURES * POSITIONS);
    double[] dy = drawn(random, x.length);
    HostTensor r = HostTensor.of(drawn(random, 6 * FEATURES * 2), 6, FEATURES, 2);
    HostTensor gamma = HostTensor.of(drawn(random, FEATURES), FEATURES);
    Step whole = whole(variant, r, gamma, x, dy);

    List<Worker> all = new ArrayList<>();
    ExecutorService threads = Executors.newFixedThreadPool(workers);
    try {
      for (int i = 0; i < workers; i++) {
        VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider());
        VirtualBatchNorm<HostTensor> layer = layer(backend, variant, gamma);
        all.add(new Worker(
            backend,
            layer,
            layer.referenceStatistics(r),
            part(x, i * examples / workers, (i + 1) * examples / workers),
            part(dy, i * examples / workers, (i + 1) * examples / workers)));
      }
      List<ReferenceMoments> moments =
          onEach(threads, all, worker -> worker.layer().liveMoments(worker.x()));
      ReferenceMoments live = moments.stream().reduce(ReferenceMoments::merge).orElseThrow();
      List<GradientSums> sums = onEach(
          threads,
          all,
          worker -> sent(
              worker.layer().gradientSums(worker.x(), worker.statistics(), live, worker.dy())));
      GradientSums total = sums.stream().reduce(GradientSums::merge).orElseThrow();
      List<Step> steps = onEach(threads, all, worker -> step(worker, live, total, r));

      assertClose(whole.y(), joined(steps.stream().map(Step::y).toList()));
      assertClose(whole.dx(), joined(steps.stream().map(Step::dx).toList()));
      assertClose(whole.dgamma(), added(steps.stream().map(Step::dgamma).toList()));
      assertClose(whole.dbeta(), added(steps.stream().map(Step::dbeta).toList()));
      assertClose(whole.dr(), added(steps.stream().map(Step::dr).toList()));
    } finally {
      threads.shutdownNow();
      all.forEach(worker -> worker.backend().close());
    }
  }

  private static VirtualBatchNorm<HostTensor> layer(
      VbnBackend<HostTensor> backend, Variant variant, HostTensor gamma) {
    return VirtualBatchNorm.of(
            backend,
            VbnConfig.of(FEATURES)
                .withVariant(variant)
                .withReferenceGradient(ReferenceGradient.ATTACHED))
        .withGamma(gamma);
  }

  private static Step whole(
      Variant variant, HostTensor r, HostTensor gamma, double[] x, double[] dy) {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider())) {
      VirtualBatchNorm<HostTensor> layer = layer(backend, variant, gamma);
      HostTensor batch = part(x, 0, x.length / FEATURES / POSITIONS);
      try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(r);
          Output<HostTensor> y = layer.forward(batch, statistics);
          Gradients<HostTensor> gradients =
              layer.backward(batch, statistics, part(dy, 0, x.length / FEATURES / POSITIONS));
          Output<HostTensor> dr = layer.referenceGradient(r, statistics, gradients)) {
        return of(y, gradients, dr);
      }
    }
  }

  private static Step step(Worker worker, ReferenceMoments live, GradientSums sums, HostTensor r) {
    VirtualBatchNorm<HostTensor> layer = worker.layer();
    try (Output<HostTensor> y = layer.forward(worker.x(), worker.statistics(), live);
        Gradients<HostTensor> gradients =
            layer.backward(worker.x(), worker.statistics(), live, worker.dy(), sums);
        Output<HostTensor> dr = layer.referenceGradient(r, worker.statistics(), gradients)) {
      return of(y, gradients, dr);
    }
  }

  private static Step of(
      Output<HostTensor> y, Gradients<HostTensor> gradients, Output<HostTensor> dr) {
    return new Step(
        y.output().toDoubles(),
        gradients.dx().toDoubles(),
        gradients.dgamma().toDoubles(),
        gradients.dbeta().toDoubles(),
        dr.output().toDoubles());
  }

  private interface Task<R> {
    R of(Worker worker) throws Exception;
  }

  private static <R> List<R> onEach(ExecutorService threads, List<Worker> workers, Task<R> task)
      throws Exception {
    List<Callable<R>> calls = new ArrayList<>();
    workers.forEach(worker -> calls.add(() -> task.of(worker)));
    List<R> results = new ArrayList<>();
    for (Future<R> each : threads.invokeAll(calls)) {
      results.add(each.get());
    }
    return results;
  }

  /** Through a stream, as between processes. */
  private static GradientSums sent(GradientSums sums) throws Exception {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(sums);
    }
    try (ObjectInputStream in =
        new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
      GradientSums received = (GradientSums) in.readObject();
      assertEquals(sums, received);
      return received;
    }
  }

  @Test
  void partsWithMasksAddUpToo() {
    Random random = new Random(4);
    double[] x = drawn(random, 4 * FEATURES * POSITIONS);
    HostTensor r = HostTensor.of(drawn(random, 6 * FEATURES * 2), 6, FEATURES, 2);
    HostTensor gamma = HostTensor.of(drawn(random, FEATURES), FEATURES);
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider())) {
      VirtualBatchNorm<HostTensor> layer = layer(backend, Variant.POOLED, gamma);
      VirtualBatchNorm<HostTensor> first = layer.withMask(Mask.lengths(5, 2));
      VirtualBatchNorm<HostTensor> second = layer.withMask(Mask.lengths(0, 1));
      try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(r)) {
        ReferenceMoments live =
            first.liveMoments(part(x, 0, 2)).merge(second.liveMoments(part(x, 2, 4)));
        assertEquals(3, live.examples());
        assertEquals(8, live.elements());
        try (Output<HostTensor> expected =
                layer.withMask(Mask.lengths(5, 2, 0, 1)).forward(part(x, 0, 4), statistics);
            Output<HostTensor> y1 = first.forward(part(x, 0, 2), statistics, live);
            Output<HostTensor> y2 = second.forward(part(x, 2, 4), statistics, live)) {
          assertClose(
              expected.output().toDoubles(),
              joined(List.of(y1.output().toDoubles(), y2.output().toDoubles())));
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(
      value = Variant.class,
      names = {"PER_EXAMPLE", "REFERENCE_ONLY"})
  void variantsThatShareNothingRefuseIt(Variant variant) {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider())) {
      VirtualBatchNorm<HostTensor> layer =
          VirtualBatchNorm.of(backend, VbnConfig.of(FEATURES).withVariant(variant));
      HostTensor x = HostTensor.of(new double[FEATURES * POSITIONS], 1, FEATURES, POSITIONS);
      try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(x)) {
        ReferenceMoments live = layer.liveMoments(x);
        assertThrows(IllegalStateException.class, () -> layer.forward(x, statistics, live));
      }
    }
  }

  @Test
  void momentsThatCannotHoldThePartAreRefused() {
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider())) {
      VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(FEATURES));
      HostTensor x = HostTensor.of(new double[FEATURES * POSITIONS], 1, FEATURES, POSITIONS);
      HostTensor two = HostTensor.of(new double[2 * FEATURES * POSITIONS], 2, FEATURES, POSITIONS);
      try (ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(x)) {
        ReferenceMoments one = layer.liveMoments(x);
        assertThrows(IllegalArgumentException.class, () -> layer.forward(two, statistics, one));
        ReferenceMoments other = ReferenceMoments.of(new double[2], new double[2], 9, 99);
        assertThrows(IllegalArgumentException.class, () -> layer.forward(x, statistics, other));
      }
    }
  }

  private static HostTensor part(double[] values, int from, int to) {
    int example = FEATURES * POSITIONS;
    return HostTensor.of(
        Arrays.copyOfRange(values, from * example, to * example), to - from, FEATURES, POSITIONS);
  }

  private static double[] drawn(Random random, int size) {
    return random.doubles(size, -2, 4).toArray();
  }

  private static double[] joined(List<double[]> parts) {
    return parts.stream().flatMapToDouble(Arrays::stream).toArray();
  }

  private static double[] added(List<double[]> parts) {
    double[] sum = new double[parts.get(0).length];
    for (double[] part : parts) {
      Arrays.setAll(sum, i -> sum[i] + part[i]);
    }
    return sum;
  }

  private static void assertClose(double[] expected, double[] actual) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertArrayEquals(
          new double[] {expected[i]},
          new double[] {actual[i]},
          CLOSE * Math.max(1, Math.abs(expected[i])));
    }
  }
}
