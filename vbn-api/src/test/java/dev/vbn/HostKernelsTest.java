package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Capability;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import dev.vbn.testing.BoxedKernels;
import dev.vbn.testing.BoxedProvider;
import dev.vbn.testing.RecordingKernels;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/**
 * Plain arrays over a backend on other tensors: copies go there and back, each in its place, and
 * none stays there.
 */
final class HostKernelsTest {
  private static final VbnConfig CONFIG =
      VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = open(kernels);
  private final HostTensor x = batch(10);
  private final HostTensor upstream = batch(20);
  private final HostTensor gamma = HostTensor.of(new float[] {31, 32, 33}, 3);
  private final HostTensor beta = HostTensor.of(new float[] {41, 42, 43}, 3);
  private final HostTensor mean = HostTensor.of(new double[] {51, 52, 53}, 3);
  private final HostTensor variance = HostTensor.of(new double[] {61, 62, 63}, 3);
  private final ReferenceStatistics<HostTensor> reference =
      ReferenceStatistics.wrap(backend, mean, variance, 2, 2);
  private final VirtualBatchNorm<HostTensor> layer =
      VirtualBatchNorm.of(backend, CONFIG).withGamma(gamma).withBeta(beta);

  private static HostTensor batch(int start) {
    return HostTensor.of(
        new float[] {start, start + 1, start + 2, start + 3, start + 4, start + 5}, 2, 3);
  }

  private static VbnBackend<HostTensor> open(RecordingKernels kernels) {
    return BackendCandidate.of(new Provider(kernels)).openForArrays(BackendOptions.defaults());
  }

  private static final class Provider extends BoxedProvider {
    private final RecordingKernels kernels;

    Provider(RecordingKernels kernels) {
      super("boxed", 0);
      this.kernels = kernels;
    }

    @Override
    protected RecordingKernels kernels() {
      return kernels;
    }
  }

  private void assertNothingThere() {
    kernels.assertReleasedAllBut();
  }

  private static void assertSameValues(HostTensor expected, HostTensor actual) {
    assertEquals(expected.dtype(), actual.dtype());
    assertArrayEquals(expected.shape(), actual.shape());
    assertArrayEquals(expected.toDoubles(), actual.toDoubles());
  }

  private void assertReference(Moments<HostTensor> seen) {
    assertSameValues(mean, seen.mean());
    assertSameValues(variance, seen.variance());
  }

  /** Full of the number that the tensor has among those that the kernels made. */
  private static void assertNumbered(int number, HostTensor tensor, DType dtype, long... shape) {
    assertEquals(dtype, tensor.dtype());
    assertArrayEquals(shape, tensor.shape());
    double[] expected = new double[tensor.size()];
    Arrays.fill(expected, number);
    assertArrayEquals(expected, tensor.toDoubles());
  }

  @Test
  void itIsTheBackendOnArrays() {
    assertEquals("boxed", backend.name());
    assertEquals("boxes", backend.description());
    assertEquals(TensorType.of(HostTensor.class), backend.tensorType());
    backend.close();
    assertEquals(1, kernels.closings());
  }

  @Test
  void itHasWhatTheBackendHasBut16Bits() {
    EnumSet<Capability> expected = EnumSet.allOf(Capability.class);
    expected.remove(Capability.FLOAT16);
    expected.remove(Capability.BFLOAT16);
    assertEquals(expected, backend.capabilities());

    // copies are written anywhere, and outlive what they were copied from
    assertEquals(
        EnumSet.of(Capability.CALLER_SUPPLIED_OUTPUT, Capability.TENSORS_OUTLIVE_BACKEND),
        open(new RecordingKernels()).capabilities());
  }

  @Test
  void tensorsOfTheHandleAreArraysOfItsOwn() {
    HostTensor made = backend.fromHost(x);
    assertSameValues(x, made);
    assertSameValues(x, backend.toHost(made));
    made.floats()[0] = 0;
    assertEquals(10, x.get(0));
    backend.release(made);
    assertEquals(0, backend.openTensors());
    assertEquals(List.of(), kernels.made());
  }

  @Test
  void statisticsGoThereAndBack() {
    try (var statistics = layer.referenceStatistics(x)) {
      var call = (RecordingKernels.Statistics) kernels.onlyCall();
      assertSameValues(x, call.x());
      assertEquals(Scope.BATCH, call.scope());
      assertNumbered(2, statistics.mean(), DType.FLOAT64, 3);
      assertNumbered(3, statistics.variance(), DType.FLOAT64, 3);
      assertNothingThere();
      assertEquals(2, backend.openTensors());
    }
    assertEquals(0, backend.openTensors());
  }

  @Test
  void theReferencePassGoesThereAndBack() {
    try (var result = layer.reference(x)) {
      var call = (RecordingKernels.Reference) kernels.onlyCall();
      assertSameValues(x, call.x());
      assertSameValues(gamma, call.gamma());
      assertSameValues(beta, call.beta());
      assertEquals(1, call.how().weight());
      assertNumbered(4, result.output(), DType.FLOAT32, 2, 3);
      assertNumbered(5, result.statistics().mean(), DType.FLOAT64, 3);
      assertNumbered(6, result.statistics().variance(), DType.FLOAT64, 3);
    }
    assertNothingThere();
    assertEquals(0, backend.openTensors());
  }

  @Test
  void aLiveBatchGoesThereAndBack() {
    try (var output = layer.forward(x, reference)) {
      assertForward();
      assertNumbered(6, output.output(), DType.FLOAT32, 2, 3);
    }
    assertNothingThere();
    assertEquals(0, backend.openTensors());
  }

  private void assertForward() {
    var call = (RecordingKernels.Forward) kernels.onlyCall();
    assertSameValues(x, call.x());
    assertReference(call.reference());
    assertSameValues(gamma, call.gamma());
    assertSameValues(beta, call.beta());
    assertNull(call.output());
  }

  @Test
  void aSuppliedOutputGetsTheCopy() {
    HostTensor output = batch(0);
    try (var live = layer.forwardInto(output, x, reference)) {
      assertForward();
      assertSame(output, live.output());
      assertNumbered(6, output, DType.FLOAT32, 2, 3);
    }
    assertNothingThere();
  }

  @Test
  void theInputMayTakeTheOutputAlsoIn64Bits() {
    HostTensor wide = HostTensor.of(new double[] {1, 2, 3, 4, 5, 6}, 2, 3);
    VirtualBatchNorm.of(backend, CONFIG).forwardInto(wide, wide, reference).close();
    assertNumbered(4, wide, DType.FLOAT64, 2, 3);
    assertNothingThere();
  }

  @Test
  void gradientsGoThereAndBack() {
    try (var gradients = layer.backward(x, reference, upstream)) {
      assertBackward();
      assertNumbered(6, gradients.dx(), DType.FLOAT32, 2, 3);
      assertNumbered(7, gradients.dgamma(), DType.FLOAT32, 3);
      assertNumbered(8, gradients.dbeta(), DType.FLOAT32, 3);
      assertNumbered(9, gradients.dreference().mean(), DType.FLOAT64, 3);
      assertNumbered(10, gradients.dreference().variance(), DType.FLOAT64, 3);
      assertEquals(5, backend.openTensors());
    }
    assertNothingThere();
    assertEquals(0, backend.openTensors());
  }

  private void assertBackward() {
    var call = (RecordingKernels.Backward) kernels.onlyCall();
    assertSameValues(x, call.x());
    assertSameValues(upstream, call.upstream());
    assertReference(call.reference());
    assertSameValues(gamma, call.gamma());
    assertNull(call.dx());
  }

  @Test
  void secondGradientsGoThereAndBack() {
    HostTensor v = batch(70);
    try (var gradients = layer
        .withReferenceGradient(ReferenceGradient.DETACHED)
        .doubleBackward(x, reference, upstream, GradientUpstream.ofDx(v).withDbeta(beta))) {
      var call = (RecordingKernels.DoubleBackward) kernels.onlyCall();
      assertSameValues(x, call.x());
      assertSameValues(upstream, call.upstream());
      assertSameValues(v, call.second().dx());
      assertNull(call.second().dgamma());
      assertSameValues(beta, call.second().dbeta());
      assertReference(call.reference());
      assertSameValues(gamma, call.gamma());
      assertNumbered(8, gradients.x(), DType.FLOAT32, 2, 3);
      assertNumbered(9, gradients.upstream(), DType.FLOAT32, 2, 3);
      assertNumbered(10, gradients.gamma(), DType.FLOAT32, 3);
      assertEquals(3, backend.openTensors());
    }
    assertNothingThere();
    assertEquals(0, backend.openTensors());
  }

  @Test
  void aSuppliedDxGetsTheCopy() {
    HostTensor dx = batch(0);
    try (var gradients = layer.backwardInto(dx, x, reference, upstream)) {
      assertBackward();
      assertSame(dx, gradients.dx());
      assertNumbered(6, dx, DType.FLOAT32, 2, 3);
      assertNumbered(7, gradients.dgamma(), DType.FLOAT32, 3);
      assertEquals(4, backend.openTensors());
    }
    assertNothingThere();
  }

  @Test
  void detachedGradientsHaveNoReferencePart() {
    var detached = VirtualBatchNorm.of(backend, VbnConfig.of(3));
    try (var gradients = detached.backward(x, reference, upstream)) {
      assertNull(gradients.dreference());
      assertNull(((RecordingKernels.Backward) kernels.onlyCall()).gamma());
    }
    assertNothingThere();
  }

  @Test
  void theReferenceGradientGoesThereAndBack() {
    HostTensor chunk = HostTensor.of(new float[] {1, 2, 3}, 1, 3);
    try (var gradients = layer.backward(x, reference, upstream);
        var dr = layer.referenceGradient(chunk, reference, gradients)) {
      var call = (RecordingKernels.IntoReference) kernels.calls().get(1);
      assertSameValues(chunk, call.r());
      assertReference(call.statistics());
      assertSameValues(gradients.dreference().mean(), call.gradient().mean());
      assertSameValues(gradients.dreference().variance(), call.gradient().variance());
      assertEquals(2, call.elements());
      assertNumbered(16, dr.output(), DType.FLOAT32, 1, 3);
    }
    assertNothingThere();
  }

  @Test
  void thirtyTwoBitStatisticsStayOfThatType() {
    RecordingKernels single =
        RecordingKernels.without(Capability.FLOAT64, Capability.FLOAT64_STATISTICS);
    VbnBackend<HostTensor> narrow = open(single);
    assertEquals(DType.FLOAT32, narrow.statisticsType());
    try (var statistics = VirtualBatchNorm.of(narrow, CONFIG).referenceStatistics(x)) {
      assertEquals(DType.FLOAT32, statistics.mean().dtype());
    }
    single.assertReleasedAllBut();
  }

  /** Fails at the first call, then at the second, and so on until the operation succeeds. */
  @ParameterizedTest
  @EnumSource
  void aFailureInTheMiddleLeavesNothingThere(Entrance entrance) throws Exception {
    for (String method : List.of("fromHost", "toHost", "release", entrance.kernel)) {
      boolean failed = true;
      for (int from = 1; failed; from++) {
        assertTrue(from < 30, method);
        failed = failsFrom(from, method, entrance);
      }
    }
  }

  private static boolean failsFrom(int from, String method, Entrance entrance) throws Exception {
    RecordingKernels failing = RecordingKernels.capable();
    VbnBackend<HostTensor> backend = open(failing);
    IllegalStateException failure = new IllegalStateException("no room");
    failing.fail(method, from, failure);
    boolean failed = false;
    try {
      entrance
          .give(VirtualBatchNorm.of(backend, CONFIG), batch(10), Entrance.Others.of(backend))
          .close();
    } catch (BackendFailedException e) {
      assertSame(failure, e.getCause());
      failed = true;
    }
    failing.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
    return failed;
  }

  @ParameterizedTest
  @EnumSource
  void nullFromAKernelIsTheBackendsFailureAndLeavesNothingThere(Entrance entrance) {
    kernels.giveNull(entrance.kernel);
    assertFails(entrance);
  }

  @ParameterizedTest
  @EnumSource(mode = Mode.EXCLUDE, names = "GRADIENT_SUMS") // which gives no tensor
  void aPartLeftOutIsTheBackendsFailureAndLeavesNothingThere(Entrance entrance) {
    kernels.leaveOut(0);
    assertFails(entrance);
  }

  private void assertFails(Entrance entrance) {
    assertRefused(
        BackendFailedException.class,
        () -> entrance.give(layer, x, Entrance.Others.of(backend)),
        "backend 'boxed' failed",
        entrance.kernel);
    assertNothingThere();
    assertEquals(0, backend.openTensors());
  }

  /** A dx that is written is written last. */
  @Test
  void aSuppliedTensorStaysAsItIsWhereAnotherPartCannotBeCopied() {
    for (int from = 1; from <= 5; from++) {
      HostTensor dx = batch(0);
      kernels.fail("toHost", from, new IllegalStateException("no room"));
      assertThrows(
          BackendFailedException.class, () -> layer.backwardInto(dx, x, reference, upstream));
      assertSameValues(batch(0), dx);
    }
  }

  @Test
  void whatCannotBeUsedIsRefusedAndClosed() {
    for (String method : List.of("tensors", "capabilities")) {
      RecordingKernels broken = RecordingKernels.capable();
      broken.giveNull(method);
      assertRefused(
          BackendUnavailableException.class,
          () -> open(broken),
          "boxed: what it opened cannot be used",
          method + "() returned null");
      assertEquals(1, broken.closings());

      RecordingKernels throwing = RecordingKernels.capable();
      throwing.fail(method, 1, new StackOverflowError());
      assertRefused(
          BackendUnavailableException.class,
          () -> open(throwing),
          "boxed: what it opened cannot be used",
          "StackOverflowError");
      assertEquals(1, throwing.closings());
    }
  }

  @Test
  void whatTheProviderOpenedIsWhatIsUnwrapped() {
    assertNotNull(backend.unwrap(BoxedKernels.class));
    assertRefused(
        IllegalArgumentException.class,
        () -> backend.unwrap(RecordingKernels.class),
        "backend 'boxed' is a dev.vbn.testing.BoxedKernels",
        "expected a dev.vbn.testing.RecordingKernels");
  }
}
