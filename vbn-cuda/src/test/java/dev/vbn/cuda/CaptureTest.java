package dev.vbn.cuda;

import static dev.vbn.cuda.Emulator.Client.ANSWER;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.BackendFailedException;
import dev.vbn.Gradients;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.function.Executable;

/** The caller's stream captures a graph, to be launched again and again on what its memory then holds. */
@EnabledForJreRange(min = JRE.JAVA_22)
class CaptureTest extends OnEmulator {
  private static final int INVALID_VALUE = 1;
  private static final int CAPTURE_UNSUPPORTED = 900;
  private static final int CAPTURE_INVALIDATED = 901;
  private static final int[] SHAPE = {8, 2, 16};
  private static final long BYTES = (long) OtherUser.SIZE * Float.BYTES;

  private OtherUser caller;
  private VbnBackend<CudaTensor> backend;
  private VirtualBatchNorm<CudaTensor> layer;
  private CudaTensor x;
  private CudaTensor upstream;
  private CudaTensor output;
  private ReferenceStatistics<CudaTensor> statistics;
  private long gradient;

  @BeforeEach
  void open() {
    caller = new OtherUser();
    backend = VbnBackend.open(CudaProvider.inStream(caller.stream));
    layer = VirtualBatchNorm.of(backend, VbnConfig.of(SHAPE[1]));
    x = wrap(caller.memory);
    upstream = wrap(caller.newMemory());
    output = wrap(caller.newMemory());
    gradient = caller.newMemory();
    caller.write(x.pointer(), values(1));
    statistics = layer.referenceStatistics(x);
    caller.write(upstream.pointer(), values(2));
    work(); // looks the kernels up
  }

  @AfterEach
  void close() {
    if (backend != null) {
      for (CudaTensor tensor : new CudaTensor[] {upstream, output}) {
        caller.succeed("cuMemFree_v2", tensor.pointer());
      }
      caller.succeed("cuMemFree_v2", gradient);
      statistics.close();
      layer.close();
      backend.close();
      caller.leave();
      caller.succeed("cuCtxSetCurrent", 0);
      assertEquals(0, emulator.live(), "left");
    }
  }

  private CudaTensor wrap(long pointer) {
    return cuda().wrap(pointer, DType.FLOAT32, SHAPE[0], SHAPE[1], SHAPE[2]);
  }

  private CudaBackend cuda() {
    return backend.unwrap(CudaBackend.class);
  }

  private static float[] values(int seed) {
    float[] values = new float[OtherUser.SIZE];
    for (int i = 0; i < values.length; i++) {
      values[i] = (i * 7919 + seed * 104729) % 1009 / 64f;
    }
    return values;
  }

  /** Forward into {@code output}, backward into {@code gradient}. */
  private void work() {
    forward();
    try (Gradients<CudaTensor> gradients = layer.backward(x, statistics, upstream)) {
      caller.succeed(
          "cuMemcpyDtoDAsync_v2", gradient, gradients.dx().pointer(), BYTES, caller.stream);
    }
  }

  private void beginCapture() {
    caller.succeed("cuStreamBeginCapture_v2", caller.stream, 0);
  }

  private long endCapture() {
    return caller.driver.get("cuStreamEndCapture", caller.stream, ANSWER);
  }

  private void assertNothingCaptured() {
    AssertionError e = assertThrows(AssertionError.class, this::endCapture);
    assertEquals("cuStreamEndCapture returned " + CAPTURE_INVALIDATED, e.getMessage());
  }

  @Test
  void forwardAndBackwardAreCapturedAndReplayedOnOtherValues() {
    float[] outputBefore = caller.read(output.pointer());
    float[] gradientBefore = caller.read(gradient);
    caller.write(output.pointer(), new float[OtherUser.SIZE]);

    beginCapture();
    work();
    long graph = endCapture();
    assertArrayEquals(
        new float[OtherUser.SIZE], caller.read(output.pointer()), "before it is launched");
    long executable = caller.driver.get("cuGraphInstantiateWithFlags", ANSWER, graph, 0);
    launch(executable);
    assertArrayEquals(outputBefore, caller.read(output.pointer()));
    assertArrayEquals(gradientBefore, caller.read(gradient));

    for (int seed = 3; seed < 6; seed++) {
      caller.write(x.pointer(), values(seed));
      caller.write(upstream.pointer(), values(seed + 10));
      launch(executable);
      float[] replayed = caller.read(output.pointer());
      float[] replayedGradient = caller.read(gradient);
      work();
      assertArrayEquals(caller.read(output.pointer()), replayed, "output, seed " + seed);
      assertArrayEquals(caller.read(gradient), replayedGradient, "gradient, seed " + seed);
    }
    caller.succeed("cuGraphExecDestroy", executable);
    caller.succeed("cuGraphDestroy", graph);
  }

  /** A graph has memory of its own for sums and their counters. */
  @Test
  void callsBesideAGraphDoNotDisturbIt() {
    int size = 40_000;
    float[] numbers = new float[size];
    for (int i = 0; i < size; i++) {
      numbers[i] = i % 1009;
    }
    try (VirtualBatchNorm<CudaTensor> one = VirtualBatchNorm.of(backend, VbnConfig.of(1));
        CudaTensor many = backend.fromHost(HostTensor.of(numbers, size, 1));
        CudaTensor into = cuda().allocate(DType.FLOAT32, size, 1);
        ReferenceStatistics<CudaTensor> reference = one.referenceStatistics(many)) {
      one.forwardInto(into, many, reference).close();
      float[] expected = backend.toHost(into).floats();
      beginCapture();
      one.forwardInto(into, many, reference).close();
      long graph = endCapture();
      long executable = caller.driver.get("cuGraphInstantiateWithFlags", ANSWER, graph, 0);
      for (int i = 0; i < 3; i++) {
        one.referenceStatistics(into).close();
        launch(executable);
        one.referenceStatistics(into).close();
        assertArrayEquals(expected, backend.toHost(into).floats());
      }
      caller.succeed("cuGraphExecDestroy", executable);
      caller.succeed("cuGraphDestroy", graph);
    }
  }

  private void launch(long executable) {
    caller.succeed("cuGraphLaunch", executable, caller.stream);
  }

  /** What has to wait for the stream cannot be captured, and says so. */
  @Test
  void aCallThatWaitsEndsTheCapture() {
    for (Executable call :
        new Executable[] {cuda()::synchronize, cuda()::trim, () -> backend.toHost(output)}) {
      beginCapture();
      CudaException e = failureOf(call);
      assertEquals(CAPTURE_UNSUPPORTED, e.code(), e::getMessage);
      assertFalse(e.sticky());
      assertEquals(CAPTURE_INVALIDATED, failureOf(this::forward).code());
      assertNothingCaptured();
      work();
    }
  }

  /** What the driver said, by way of the backend's handle or not. */
  private static CudaException failureOf(Executable call) {
    RuntimeException e = assertThrows(RuntimeException.class, call);
    return assertInstanceOf(
        CudaException.class, e instanceof BackendFailedException ? e.getCause() : e);
  }

  private void forward() {
    layer.forwardInto(output, x, statistics).close();
  }

  /** A graph frees its own memory alone. */
  @Test
  void whatWasMadeBeforeIsNotFreedInACapture() {
    CudaTensor before = cuda().allocate(DType.FLOAT32, 4);
    beginCapture();
    assertEquals(INVALID_VALUE, assertThrows(CudaException.class, before::close).code());
    caller.driver.call("cuGraphDestroy", endCapture());
    assertEquals(0, caller.driver.get("cuStreamIsCapturing", caller.stream, ANSWER));
  }

  /** Without pools memory comes from calls that no capture allows. */
  @Test
  void withoutPoolsNothingIsCaptured() {
    emulator.pools(false);
    try (VbnBackend<CudaTensor> without =
            Emulator.open(CudaProvider.inStream(caller.stream), "two");
        VirtualBatchNorm<CudaTensor> other = VirtualBatchNorm.of(without, layer.config())) {
      CudaTensor same =
          without.unwrap(CudaBackend.class).wrap(caller.memory, DType.FLOAT32, 8, 2, 16);
      try (ReferenceStatistics<CudaTensor> reference = other.referenceStatistics(same)) {
        beginCapture();
        CudaException e = failureOf(() -> other.forwardInto(same, same, reference));
        assertEquals(CAPTURE_UNSUPPORTED, e.code());
        assertNothingCaptured();
      }
    }
  }
}
