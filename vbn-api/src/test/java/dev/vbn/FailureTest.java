package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.Faults;
import dev.vbn.testing.RecordingKernels;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceConfigurationError;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** A backend that fails: as what it is reported, and that nothing which VBN made stays open. */
final class FailureTest {
  private static final VbnConfig CONFIG =
      VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);
  private static final int MOST_CALLS = 20;

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);

  /** What a layer or a backend is asked for, with what it gives. */
  interface Operation {
    AutoCloseable run(VbnBackend<HostTensor> backend, HostTensor x);
  }

  record Named(String name, Operation operation) {
    @Override
    public String toString() {
      return name;
    }
  }

  static final List<Named> OPERATIONS = operations();

  private static List<Named> operations() {
    List<Named> operations = new ArrayList<>();
    for (Entrance entrance : Entrance.values()) {
      operations.add(new Named(
          entrance.name(),
          (backend, x) -> entrance.give(
              VirtualBatchNorm.of(backend, CONFIG).withGamma(parameter()).withBeta(parameter()),
              x,
              Entrance.Others.of(backend))));
    }
    for (Entrance entrance : List.of(
        Entrance.REFERENCE, Entrance.FORWARD, Entrance.BACKWARD, Entrance.REFERENCE_BACKWARD)) {
      operations.add(new Named(
          entrance + " with parameters of each example",
          (backend, x) -> entrance.give(
              VirtualBatchNorm.of(backend, CONFIG).withGamma(HostTensor.zeros(DType.FLOAT32, 2, 3)),
              x,
              Entrance.Others.of(backend))));
    }
    operations.add(new Named(
        "initialized",
        (backend, x) -> VirtualBatchNorm.of(backend, CONFIG).initialized(DType.FLOAT32, 1)));
    operations.add(new Named("setGamma", (backend, x) -> {
      var layer = VirtualBatchNorm.of(backend, CONFIG).withGamma(parameter());
      layer.setGamma(parameter());
      return layer;
    }));
    operations.add(new Named(
        "statistics of moments",
        (backend, x) -> ReferenceStatistics.of(
            backend, ReferenceMoments.of(new double[3], new double[3], 2, 2))));
    return operations;
  }

  private static HostTensor parameter() {
    return HostTensor.zeros(DType.FLOAT32, 3);
  }

  private static Stream<Arguments> operationsAndFailures() {
    return OPERATIONS.stream()
        .flatMap(operation -> Stream.of(
                new UnsupportedOperationException("no room"),
                new UnsatisfiedLinkError("no room"),
                new OutOfMemoryError("no room"))
            .map(failure -> Arguments.of(operation, failure)));
  }

  /** Fails at the first call, then at the second, and so on until the operation succeeds. */
  @ParameterizedTest
  @MethodSource("operationsAndFailures")
  void aFailureInTheMiddleLeavesNothingOpen(Named operation, Throwable failure) throws Exception {
    for (String method : List.of(
        "fromHost",
        "toHost",
        "statistics",
        "reference",
        "forward",
        "backward",
        "doubleBackward",
        "sums",
        "write",
        "referenceGradient")) {
      int from = 1;
      while (failsFrom(from, method, operation, failure)) {
        from++;
        assertTrue(from < MOST_CALLS, method);
      }
    }
  }

  private static boolean failsFrom(int from, String method, Named operation, Throwable failure)
      throws Exception {
    RecordingKernels failing = RecordingKernels.capable();
    VbnBackend<HostTensor> backend = failing.open();
    HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);
    failing.fail(method, from, failure);
    boolean failed = false;
    try {
      operation.operation().run(backend, x).close();
    } catch (BackendFailedException e) {
      assertSame(failure, e.getCause());
      failed = true;
    } catch (OutOfMemoryError e) {
      assertSame(failure, e);
      failed = true;
    }
    failing.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
    return failed;
  }

  private static final List<String> KERNEL_CALLS =
      List.of("statistics", "reference", "forward", "backward", "referenceGradient");

  private void call(String method) {
    if (method.equals("fromHost")) {
      backend.fromHost(x);
    } else if (method.equals("toHost")) {
      backend.toHost(x);
    } else if (method.equals("shape")) {
      backend.shape(x);
    } else if (method.equals("dtype")) {
      backend.dtype(x);
    } else if (method.equals("memory")) {
      Entrance.FORWARD_INTO.give(layer(), x, Entrance.Others.of(backend));
    } else if (method.equals("release")) {
      backend.release(x);
    } else if (method.equals("close")) {
      backend.close();
    } else {
      Entrance entrance = Stream.of(Entrance.values())
          .filter(candidate -> candidate.kernel.equals(method))
          .findFirst()
          .orElseThrow();
      entrance.give(layer(), x, Entrance.Others.of(backend));
    }
  }

  private VirtualBatchNorm<HostTensor> layer() {
    return VirtualBatchNorm.of(backend, CONFIG);
  }

  static final List<String> METHODS = Stream.concat(
          KERNEL_CALLS.stream(),
          Stream.of("fromHost", "toHost", "shape", "dtype", "memory", "release", "close"))
      .toList();

  @ParameterizedTest
  @FieldSource("METHODS")
  void whatABackendThrowsIsItsFailure(String method) {
    for (Throwable failure : List.of(
        new UnsupportedOperationException("not today"), new NoClassDefFoundError("not today"))) {
      kernels.fail(method, 1, failure);

      BackendFailedException reported =
          assertThrows(BackendFailedException.class, () -> call(method));
      assertSame(failure, reported.getCause());
      assertEquals("recording", reported.backend());
      assertEquals(
          "backend 'recording' failed in " + method + ": " + failure.getClass().getSimpleName()
              + ": not today",
          reported.getMessage());
      if (method.equals("close")) {
        return; // closed all the same: closing again is harmless
      }
    }
  }

  @ParameterizedTest
  @FieldSource("METHODS")
  void aNullPointerExceptionOfABackendIsItsFailure(String method) {
    NullPointerException failure = new NullPointerException("of the backend");
    kernels.fail(method, 1, failure);

    assertSame(
        failure, assertThrows(BackendFailedException.class, () -> call(method)).getCause());
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "statistics",
        "reference",
        "forward",
        "backward",
        "referenceGradient",
        "fromHost",
        "toHost",
        "shape",
        "dtype"
      })
  void nullFromABackendIsItsFailure(String method) {
    kernels.giveNull(method);

    BackendFailedException reported =
        assertThrows(BackendFailedException.class, () -> call(method));
    assertNull(reported.getCause());
    assertHolds(reported.getMessage(), "backend 'recording' failed", method + " gave null");
    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
  }

  /** The parts of what a kernel yields are left out one by one; all others are freed. */
  @ParameterizedTest
  @EnumSource(
      value = Entrance.class,
      names = {
        "REFERENCE",
        "STATISTICS",
        "CHUNKS",
        "MIXED_STATISTICS",
        "FORWARD",
        "BACKWARD",
        "BACKWARD_INTO",
        "REFERENCE_BACKWARD",
        "REFERENCE_GRADIENT"
      })
  void aPartLeftOutIsTheBackendsFailureAndTheOthersAreFreed(Entrance entrance) throws Exception {
    int parts = switch (entrance.kernel) {
      case "reference" -> 3;
      case "statistics" -> 2;
      case "backward" -> 5;
      default -> 1;
    };
    int first = entrance == Entrance.BACKWARD_INTO ? 1 : 0;
    for (int part = first; part < parts; part++) {
      kernels.leaveOut(part);

      BackendFailedException reported = assertThrows(
          BackendFailedException.class,
          () -> entrance.give(layer(), x, Entrance.Others.of(backend)),
          "part " + part);
      assertHolds(reported.getMessage(), entrance.kernel + " gave null");
      kernels.assertReleasedAllBut();
      assertEquals(0, backend.openTensors());
    }
    kernels.leaveOut(parts);
    entrance.give(layer(), x, Entrance.Others.of(backend)).close();
    kernels.assertReleasedAllBut();
  }

  @Test
  void anAttachedBackwardWithoutAReferenceGradientIsTheBackendsFailure() {
    kernels.detachAnyway();

    assertRefused(
        BackendFailedException.class,
        () -> Entrance.BACKWARD.give(layer(), x, Entrance.Others.of(backend)),
        "backend 'recording' failed",
        "backward gave null");
    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
  }

  /** Whichever release fails, every tensor is given to one, and a second close to none. */
  @ParameterizedTest
  @FieldSource("OPERATIONS")
  void aReleaseThatFailsKeepsNoOtherFromItsOwn(Named operation) throws Exception {
    AutoCloseable result = operation.operation().run(backend, x);
    IllegalStateException failure = new IllegalStateException("cannot free");
    kernels.fail("release", 1, failure);
    if (backend.openTensors() > 0) {
      BackendFailedException reported = assertThrows(BackendFailedException.class, result::close);
      assertSame(failure, reported.getCause());
    }
    result.close();

    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
  }

  @Test
  void aReleaseThatFailsAfterAnotherFailureIsAttachedToIt() {
    OutOfMemoryError first = new OutOfMemoryError("no room");
    kernels.fail("fromHost", 2, first);
    kernels.fail("release", 1, new IllegalStateException("cannot free"));

    Throwable thrown =
        assertThrows(OutOfMemoryError.class, () -> layer().initialized(DType.FLOAT32, 1));
    assertSame(first, thrown);
    assertEquals(1, thrown.getSuppressed().length);
    kernels.assertReleasedAllBut();
  }

  @Test
  void whatIsRefusedIsNoFailure() {
    kernels.fail("dtype", 1, new IllegalArgumentException("type is INT8; expected a float"));
    assertRefused(IllegalArgumentException.class, () -> backend.dtype(x), "INT8");

    kernels.fail("shape", 1, new IllegalStateException("tensor was freed"));
    kernels.fail("toHost", 1, new IllegalStateException("tensor was freed"));
    assertRefused(IllegalStateException.class, () -> backend.shape(x), "tensor was freed");
    assertRefused(IllegalStateException.class, () -> backend.toHost(x), "tensor was freed");
  }

  /** Another backend's tensor, or one too large for the library: the caller's matter. */
  @ParameterizedTest
  @ValueSource(strings = {"shape", "dtype", "fromHost", "toHost", "memory"})
  void aTensorThatABackendRefusesIsTheCallers(String method) {
    IllegalArgumentException refusal =
        new IllegalArgumentException("tensor is another backend's; expected one of this backend");
    kernels.fail(method, 1, refusal);

    assertSame(refusal, assertThrows(IllegalArgumentException.class, () -> call(method)));
  }

  @Test
  void aFreedTensorWhosePlaceIsAskedForIsTheCallers() {
    IllegalStateException refusal = new IllegalStateException("tensor was freed");
    kernels.fail("memory", 1, refusal);

    assertSame(refusal, assertThrows(IllegalStateException.class, () -> call("memory")));
  }

  /** Tensors of the caller's are looked at before a kernel reads them, in statistics too. */
  @ParameterizedTest
  @EnumSource(
      value = Entrance.class,
      names = {"REFERENCE", "STATISTICS", "CHUNKS"},
      mode = EnumSource.Mode.EXCLUDE)
  void statisticsOverFreedTensorsAreTheCallers(Entrance entrance) {
    for (boolean variance : List.of(false, true)) {
      Entrance.Others others = Entrance.Others.of(backend);
      HostTensor freed =
          variance ? others.reference().variance() : others.reference().mean();
      kernels.release(freed);

      assertRefused(
          IllegalStateException.class, () -> entrance.give(layer(), x, others), "tensor was freed");
      assertEquals(List.of(), kernels.calls());
    }
  }

  @Test
  void statisticsOfAnotherInstanceAreShownToTheBackendFirst() {
    VbnBackend<HostTensor> other = RecordingKernels.capable().open();
    var reference =
        ReferenceStatistics.of(other, ReferenceMoments.of(new double[3], new double[3], 2, 2));
    layer().forward(x, reference).close();
    kernels.release(reference.variance());

    assertRefused(
        IllegalStateException.class, () -> layer().forward(x, reference), "tensor was freed");
    assertEquals(1, kernels.calls().size());
  }

  static final List<Throwable> ERRORS_OF_LIBRARIES = List.of(
      new ServiceConfigurationError("engine lost"),
      new AssertionError("engine lost"),
      new Faults.Custom("engine lost"),
      new Faults.Checked("engine lost"));

  @ParameterizedTest
  @FieldSource("ERRORS_OF_LIBRARIES")
  void errorsOfItsLibraryAreABackendsFailures(Throwable failure) {
    for (String method : METHODS) {
      kernels.fail(method, 1, failure);
      BackendFailedException reported =
          assertThrows(BackendFailedException.class, () -> call(method), method);
      assertSame(failure, reported.getCause());
      kernels.heal();
    }
  }

  @Test
  void tensorsOfATypeThatTheBackendLacksAreRefused() {
    VbnBackend<HostTensor> poor =
        RecordingKernels.without(Capability.FLOAT16, Capability.FLOAT64).open();
    var refusal = assertRefused(
        UnsupportedCapabilityException.class,
        () -> poor.fromHost(x, DType.FLOAT16),
        "dtype is FLOAT16",
        "backend 'recording' lacks",
        "BFLOAT16");
    assertEquals(Capability.FLOAT16, refusal.capability());
    // of the type of its statistics, although its batches have none
    assertEquals(DType.FLOAT64, poor.fromHost(x, DType.FLOAT64).dtype());
    assertEquals(1, poor.openTensors());
  }

  @Test
  void nullsAreRefusedByName() {
    assertRefused(NullPointerException.class, () -> backend.shape(null), "tensor is null");
    assertRefused(NullPointerException.class, () -> backend.dtype(null), "tensor is null");
    assertRefused(NullPointerException.class, () -> backend.toHost(null), "tensor is null");
    assertRefused(NullPointerException.class, () -> backend.unwrap(null), "type is null");
    assertRefused(NullPointerException.class, () -> backend.fromHost(null), "host is null");
    assertRefused(
        NullPointerException.class,
        () -> backend.fromHost(null, DType.FLOAT32),
        "host is null",
        "expected");
    assertRefused(
        NullPointerException.class, () -> backend.fromHost(x, null), "dtype is null", "expected");
  }
}
