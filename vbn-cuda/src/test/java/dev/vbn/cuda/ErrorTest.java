package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.VbnBackend;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** An Error within a call, such as want of heap: the backend's lock is free for the next. */
@EnabledForJreRange(min = JRE.JAVA_22)
class ErrorTest extends OnEmulator {

  @ParameterizedTest
  @ValueSource(
      strings = {
        "ctxGetCurrent",
        "ctxSetCurrent",
        "launchKernel",
        "memHostAlloc",
        "memcpyHtoDAsync",
        "memcpyDtoHAsync",
        "eventCreate",
        "eventRecord",
        "eventSynchronize"
      })
  void theNextCallFindsTheLockFree(String function) {
    Insight insight = Insight.get();
    Error error = new OutOfMemoryError("of the test");
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      try (Insight.Failing failing = insight.failing(backend, function, error)) {
        assertSame(error, errorOf(backend), () -> "thrown with " + failing);
      }
      assertFalse(insight.isBusy(backend), "lock held after an Error");
      Work.on(backend);
      long live = emulator.live();
      CompletableFuture.runAsync(() -> Work.on(backend), task -> new Thread(task).start())
          .join();
      assertEquals(live, emulator.live(), "left by the work after it");
    }
    assertEquals(0, emulator.live(), "left after the backend was closed");
  }

  /** What work in a thread of its own ends with. */
  private static Throwable errorOf(VbnBackend<CudaTensor> backend) {
    try {
      CompletableFuture.runAsync(() -> Work.on(backend), task -> new Thread(task).start())
          .join();
      throw new AssertionError("the work was done; expected it to fail");
    } catch (CompletionException e) {
      return e.getCause();
    }
  }
}
