package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackend;
import dev.vbn.spi.Availability;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Each call of the driver fails in turn: it is reported as what it is, and nothing is left allocated. */
@EnabledForJreRange(min = JRE.JAVA_22)
class DriverFaultTest extends OnEmulator {
  private static final int NOT_PERMITTED = 800; // a failure that no call here has a case for

  /** What {@link Work} needs with pools, but for what only runs short of memory. */
  private static final List<String> CALLS = List.of(
      "cuInit",
      "cuDriverGetVersion",
      "cuDeviceGetCount",
      "cuDeviceGet",
      "cuDeviceGetAttribute",
      "cuDevicePrimaryCtxRetain",
      "cuDevicePrimaryCtxRelease_v2",
      "cuCtxGetCurrent",
      "cuCtxSetCurrent",
      "cuModuleLoadDataEx",
      "cuModuleUnload",
      "cuModuleGetFunction",
      "cuFuncSetAttribute",
      "cuMemHostAlloc",
      "cuMemFreeHost",
      "cuMemcpyHtoDAsync_v2",
      "cuMemcpyDtoHAsync_v2",
      "cuStreamCreate",
      "cuStreamDestroy_v2",
      "cuStreamSynchronize",
      "cuStreamIsCapturing",
      "cuMemsetD32Async",
      "cuEventCreate",
      "cuEventDestroy_v2",
      "cuEventRecord",
      "cuEventSynchronize",
      "cuLaunchKernel");

  private static final List<String> POOL_CALLS = List.of(
      "cuMemPoolCreate",
      "cuMemPoolDestroy",
      "cuMemPoolSetAttribute",
      "cuMemAllocFromPoolAsync",
      "cuMemFreeAsync");

  private static final List<String> CALLS_TOGETHER =
      List.of("cuLaunchCooperativeKernel", "cuOccupancyMaxActiveBlocksPerMultiprocessor");

  private static final List<String> CALLS_WITHOUT_POOLS = List.of("cuMemAlloc_v2", "cuMemFree_v2");

  /** Those that fail with something left that nothing else can free. */
  private static final Set<String> ENDS = Set.of(
      "cuDevicePrimaryCtxRelease_v2",
      "cuModuleUnload",
      "cuMemFreeHost",
      "cuStreamDestroy_v2",
      "cuEventDestroy_v2",
      "cuMemPoolDestroy");

  @Test
  void nothingIsLeftWhereNothingFails() {
    Work.openDoAndClose();
    assertEquals(0, emulator.live(), "allocated, created or retained");
  }

  @Test
  void thePageListsTheFunctions() throws IOException {
    String page = Files.readString(Path.of("..", "docs", "GPU.md"));
    Stream.of(CALLS, POOL_CALLS, CALLS_TOGETHER, CALLS_WITHOUT_POOLS)
        .flatMap(List::stream)
        .forEach(function ->
            assertTrue(page.contains("`" + function + "`"), () -> function + " in docs/GPU.md"));
  }

  static Stream<String> callsWithPools() {
    return Stream.concat(CALLS.stream(), POOL_CALLS.stream());
  }

  static Stream<String> callsWithoutPools() {
    return Stream.concat(CALLS.stream(), CALLS_WITHOUT_POOLS.stream());
  }

  @ParameterizedTest
  @MethodSource("callsWithPools")
  void everyCallOfAFunctionFailsInTurn(String function) {
    failEachInTurn(function);
  }

  @ParameterizedTest
  @MethodSource("callsWithoutPools")
  void everyCallOfAFunctionFailsInTurnWithoutPools(String function) {
    emulator.pools(false);
    failEachInTurn(function);
  }

  static Stream<String> callsTogether() {
    return CALLS_TOGETHER.stream();
  }

  @ParameterizedTest
  @MethodSource("callsTogether")
  void everyCallOfAFunctionFailsInTurnWhereBlocksWaitForEachOther(String function) {
    System.setProperty(Emulator.PLAN_PROPERTY, "together");
    try {
      failEachInTurn(function);
    } finally {
      System.clearProperty(Emulator.PLAN_PROPERTY);
    }
  }

  private void failEachInTurn(String function) {
    long before = emulator.calls(function);
    workInAnotherThread();
    long count = emulator.calls(function) - before;
    assertTrue(
        count > 0, () -> function + " is not called; expected the test to be about something");
    for (int nth = 1; nth <= count; nth++) {
      String which = "call " + nth + " of " + function;
      emulator.fail(function, nth, NOT_PERMITTED);
      RuntimeException thrown =
          assertThrows(RuntimeException.class, DriverFaultTest::workInAnotherThread, which);
      CudaException failure = failureIn(thrown);
      assertEquals(function, failure.call(), which);
      assertEquals(NOT_PERMITTED, failure.code(), which);
      assertEquals("CUDA_ERROR_NOT_PERMITTED", failure.codeName(), which);
      assertFalse(failure.driverText().isBlank(), which);
      assertFalse(failure.sticky(), which);
      String message = String.valueOf(failure.getMessage());
      assertTrue(message.contains(function), message);
      assertTrue(message.contains("CUDA_ERROR_NOT_PERMITTED (800)"), message);
      assertTrue(message.contains(failure.driverText()), message);
      assertEquals(ENDS.contains(function) ? 1 : 0, emulator.live(), "left after " + which);
      forgetLeft();
      workInAnotherThread();
      assertEquals(0, emulator.live(), "left by the work after " + which);
    }
  }

  /** A new thread has no context, whatever a failure has left this one with. */
  private static void workInAnotherThread() {
    try {
      CompletableFuture.runAsync(Work::openDoAndClose, task -> new Thread(task).start())
          .join();
    } catch (CompletionException e) {
      throw e.getCause() instanceof RuntimeException cause ? cause : e;
    }
  }

  /** Whatever a failing end has left goes with a reset. */
  private void forgetLeft() {
    if (emulator.live() > 0) {
      emulator.reset();
    }
  }

  /** The driver's failure, which the backend's handle, or an open that cannot be, wraps. */
  private static CudaException failureIn(Throwable thrown) {
    CudaException found = find(thrown);
    if (found == null) {
      throw new AssertionError("no CudaException among the causes", thrown);
    }
    return found;
  }

  private static CudaException find(Throwable thrown) {
    if (thrown == null || thrown instanceof CudaException) {
      return (CudaException) thrown;
    }
    CudaException found = find(thrown.getCause());
    for (Throwable suppressed : thrown.getSuppressed()) {
      found = found != null ? found : find(suppressed);
    }
    return found;
  }

  /** Newer drivers may have it under another name; only the benchmark measures time by it. */
  @Test
  void withoutTheClockOfEventsEverythingElseWorks() {
    Path directory = Emulator.DIRECTORY.resolveSibling("emulator-without-elapsed-time");
    Emulator.Controls other =
        Emulator.controls(Emulator.SOURCE, directory, "-DWITHOUT_ELAPSED_TIME");
    try {
      Work.openDoAndClose();
      assertEquals(0, other.live(), "left allocated");
    } finally {
      Emulator.install();
    }
  }

  @Test
  void withoutADeviceItIsUnavailable() {
    emulator.devices(0);
    Availability availability = new CudaProvider().probe();
    assertFalse(availability.available());
    assertTrue(
        availability.description().contains("CUDA_ERROR_NO_DEVICE (100)"),
        availability::description);
    assertEquals(100, ((CudaException) availability.cause()).code());
  }

  @Test
  void anOldDriverIsUnavailableAndSaysWhichIsNeeded() {
    emulator.version(9020);
    assertEquals(
        "the NVIDIA driver is too old: it is for CUDA 9.2; expected CUDA 10.0 or newer, which is"
            + " driver 410.48 or newer",
        new CudaProvider().probe().description());
  }

  @ParameterizedTest
  @ValueSource(ints = {700, 719})
  void afterAStickyErrorEveryCallSaysToRestartTheProcess(int status) {
    VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider());
    emulator.fail("cuLaunchKernel", 1, status);
    for (int call = 0; call < 3; call++) {
      CudaException e = failureIn(assertThrows(RuntimeException.class, () -> Work.on(backend)));
      assertEquals(status, e.code());
      assertTrue(e.sticky());
      assertTrue(String.valueOf(e.getMessage()).contains("restart the process"), e::getMessage);
    }
    backend.close(); // throws nothing: there is nothing left to free
    backend.close();
  }
}
