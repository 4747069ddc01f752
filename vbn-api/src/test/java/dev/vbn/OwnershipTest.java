package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * Closing a result frees what the backend made for it, once, and nothing that the caller supplied or
 * has taken out.
 */
final class OwnershipTest {
  private static final VbnConfig CONFIG =
      VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);

  private final RecordingKernels kernels = RecordingKernels.capable();
  private final VbnBackend<HostTensor> backend = kernels.open();
  private final HostTensor x = HostTensor.zeros(DType.FLOAT32, 2, 3);
  private final Entrance.Others others = Entrance.Others.of(backend);
  private final VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, CONFIG)
      .withGamma(HostTensor.zeros(DType.FLOAT32, 3))
      .withBeta(HostTensor.zeros(DType.FLOAT32, 3));

  private void assertNothingOpen() {
    kernels.assertReleasedAllBut();
    assertEquals(0, backend.openTensors());
  }

  @ParameterizedTest
  @EnumSource
  void closingAResultFreesWhatTheBackendMadeOnce(Entrance entrance) throws Exception {
    AutoCloseable result = entrance.give(layer, x, others);
    assertEquals(kernels.made().size() - kernels.released().size(), backend.openTensors());
    result.close();
    assertNothingOpen();
    result.close();
    assertNothingOpen();
  }

  @ParameterizedTest
  @EnumSource
  void closingAResultAndTheLayerAfterTheBackendIsHarmless(Entrance entrance) throws Exception {
    var drawn = layer.initialized(DType.FLOAT32, 1);
    AutoCloseable result = entrance.give(drawn, x, others);
    backend.close();
    backend.close();
    result.close();
    drawn.close();
    others.reference().close();

    assertNothingOpen();
    assertEquals(1, kernels.closings());
  }

  @ParameterizedTest
  @EnumSource
  void aClosedBackendIsRefused(Entrance entrance) {
    backend.close();

    assertRefused(
        IllegalStateException.class,
        () -> entrance.give(layer, x, others),
        "backend 'recording' used after close",
        "expected an open one");
    assertEquals(List.of(), kernels.calls());
  }

  @Test
  void everyUseOfAClosedBackendIsRefusedButReleasing() {
    HostTensor made = backend.fromHost(x);
    backend.close();

    for (Executable use : List.<Executable>of(
        () -> backend.shape(x),
        () -> backend.dtype(x),
        () -> backend.fromHost(x),
        () -> backend.fromHost(x, DType.FLOAT64),
        () -> backend.toHost(x),
        () -> backend.unwrap(RecordingKernels.class),
        () -> layer.initialized(DType.FLOAT32, 1),
        () -> layer.setGamma(HostTensor.zeros(DType.FLOAT32, 3)),
        () -> ReferenceStatistics.of(
            backend, ReferenceMoments.of(new double[3], new double[3], 1, 1)),
        () -> others.reference().moments())) {
      assertRefused(IllegalStateException.class, use, "used after close");
    }
    backend.release(made);
    assertNothingOpen();
  }

  @Test
  void aClosedBackendStillSaysWhatItIs() {
    backend.close();

    assertEquals("recording", backend.name());
    assertEquals("device of recording", backend.description());
    assertEquals(kernels.capabilities(), backend.capabilities());
    assertEquals(
        "VbnBackend 'recording' of dev.vbn.tensor.HostTensor (device of recording)",
        backend.toString());
  }

  @Test
  void anOutputTakenOutStaysOpen() {
    HostTensor taken;
    try (var output = layer.forward(x, others.reference())) {
      taken = output.takeOutput();
      assertSame(taken, output.output());
    }
    assertKept(taken);
  }

  @Test
  void secondGradientsTakenOutStayOpen() {
    HostTensor second;
    try (var gradients = layer
        .withReferenceGradient(ReferenceGradient.DETACHED)
        .doubleBackward(x, others.reference(), x, GradientUpstream.ofDx(x))) {
      second = gradients.takeX();
    }
    assertKept(second);
    try (var gradients = layer
        .withReferenceGradient(ReferenceGradient.DETACHED)
        .doubleBackward(x, others.reference(), x, GradientUpstream.ofDx(x))) {
      gradients.takeUpstream();
      gradients.takeGamma();
    }
    assertEquals(2, backend.openTensors());
  }

  @Test
  void aReferenceGradientTakenOutStaysOpen() {
    HostTensor taken;
    try (var output = layer.referenceGradient(x, others.reference(), others.gradients())) {
      taken = output.takeOutput();
    }
    assertKept(taken);
  }

  @Test
  void theOutputOfAReferencePassTakenOutStaysOpen() {
    HostTensor taken;
    try (var result = layer.reference(x)) {
      taken = result.takeOutput();
    }
    assertKept(taken);
  }

  @Test
  void statisticsTakenOutStayOpen() {
    ReferenceStatistics<HostTensor> taken;
    try (var result = layer.reference(x)) {
      taken = result.takeStatistics();
      assertSame(taken, result.statistics());
    }
    kernels.assertReleasedAllBut(taken.mean(), taken.variance());
    assertEquals(2, backend.openTensors());
    taken.close();
    assertNothingOpen();
  }

  @Test
  void eachGradientTakenOutStaysOpen() {
    for (int part = 0; part < 3; part++) {
      HostTensor taken;
      try (var gradients = layer.backward(x, others.reference(), others.upstream())) {
        taken = switch (part) {
          case 0 -> gradients.takeDx();
          case 1 -> gradients.takeDgamma();
          default -> gradients.takeDbeta();
        };
        assertSame(
            switch (part) {
              case 0 -> gradients.dx();
              case 1 -> gradients.dgamma();
              default -> gradients.dbeta();
            },
            taken);
      }
      assertKept(taken);
    }
  }

  private void assertKept(HostTensor taken) {
    kernels.assertReleasedAllBut(taken);
    assertEquals(1, backend.openTensors());
    backend.release(taken);
    assertNothingOpen();
  }

  @Test
  void whatTheCallerSuppliedStaysTheCallersAlsoWhereItIsTakenOut() {
    try (var output = layer.forwardInto(others.output(), x, others.reference());
        var gradients =
            layer.backwardInto(others.output(), x, others.reference(), others.upstream())) {
      assertSame(others.output(), output.takeOutput());
      assertSame(others.output(), gradients.takeDx());
    }
    assertNothingOpen();
  }

  @Test
  void whatIsClosedCannotBeReadOrTakenOut() {
    var output = layer.forward(x, others.reference());
    var pass = layer.reference(x);
    var gradients = layer.backward(x, others.reference(), others.upstream());
    output.close();
    pass.close();
    gradients.close();

    assertClosed("output", output::output);
    assertClosed("output", output::takeOutput);
    assertClosed("output", pass::output);
    assertClosed("output", pass::takeOutput);
    assertClosed("reference statistics", pass::takeStatistics);
    assertClosed("reference statistics", () -> pass.statistics().mean());
    assertClosed("dx", gradients::dx);
    assertClosed("dx", gradients::takeDx);
    assertClosed("dgamma", gradients::dgamma);
    assertClosed("dgamma", gradients::takeDgamma);
    assertClosed("dbeta", gradients::dbeta);
    assertClosed("dbeta", gradients::takeDbeta);
    assertNothingOpen();
  }

  private static void assertClosed(String what, Executable use) {
    assertRefused(IllegalStateException.class, use, what + " used after close", "expected");
  }

  @Test
  void aTensorThatWasFreedIsRefused() {
    HostTensor freed = backend.fromHost(x);
    backend.release(freed);

    for (Executable use : List.<Executable>of(
        () -> backend.shape(freed),
        () -> backend.dtype(freed),
        () -> backend.toHost(freed),
        () -> layer.forward(freed, others.reference()),
        () -> layer.backward(x, others.reference(), freed),
        () -> layer.forwardInto(freed, x, others.reference()))) {
      assertRefused(IllegalStateException.class, use, "tensor was freed");
    }
  }

  @Test
  void aParameterOfAClosedLayerIsRefusedByThoseThatShareIt() {
    var drawn = VirtualBatchNorm.of(backend, CONFIG).initialized(DType.FLOAT32, 1);
    var sharing = drawn.withVariant(Variant.REFERENCE_ONLY);
    drawn.close();

    assertRefused(
        IllegalStateException.class,
        () -> sharing.forward(x, others.reference()),
        "layer used after close");
  }

  @Test
  void aTensorReleasedTwiceShowsInTheCount() {
    HostTensor made = backend.fromHost(x);
    assertEquals(1, backend.openTensors());
    backend.release(made);
    assertEquals(0, backend.openTensors());
    backend.release(made);
    assertEquals(-1, backend.openTensors());
  }

  @Test
  void releasingNothingIsRefused() {
    assertRefused(
        NullPointerException.class,
        () -> backend.release((HostTensor) null),
        "tensor is null",
        "expected");
    assertEquals(0, backend.openTensors());
  }
}
