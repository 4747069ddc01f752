package dev.vbn.cuda;

import static dev.vbn.cuda.Emulator.Client.ANSWER;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendFailedException;
import dev.vbn.VbnBackend;
import dev.vbn.tensor.DType;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** A device with too little memory left. */
@EnabledForJreRange(min = JRE.JAVA_22)
class OutOfMemoryTest extends OnEmulator {
  private static final long MEMORY = 1 << 20;

  private void deviceWithPools(boolean pools) {
    emulator.pools(pools);
    emulator.memory(MEMORY);
  }

  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void theExceptionHasTheSizesAndTheNextCallWorks(boolean pools) {
    deviceWithPools(pools);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      CudaBackend cuda = backend.unwrap(CudaBackend.class);
      CudaOutOfMemoryException e = assertThrows(
          CudaOutOfMemoryException.class, () -> cuda.allocate(DType.FLOAT32, 2, MEMORY));
      assertEquals(8 * MEMORY, e.requested());
      assertEquals(MEMORY, e.total());
      assertTrue(e.free() <= MEMORY && e.free() >= 0, () -> "free is " + e.free());
      String message = String.valueOf(e.getMessage());
      assertTrue(message.contains(Long.toString(8 * MEMORY) + " bytes"), message);
      assertTrue(message.contains(e.free() + " bytes free of " + MEMORY), message);
      assertTrue(message.contains("CUDA_ERROR_OUT_OF_MEMORY (2)"), message);
      Work.on(backend);
    }
    assertEquals(0, emulator.live(), "left allocated");
  }

  /** Freed pieces that the pool keeps are given up for a whole. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void whatWasFreedCanBeHadInAnotherSize(boolean pools) {
    deviceWithPools(pools);
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      CudaBackend cuda = backend.unwrap(CudaBackend.class);
      for (int pieces = 1; pieces <= 8; pieces *= 2) {
        CudaTensor[] tensors = new CudaTensor[pieces];
        for (int i = 0; i < pieces; i++) {
          tensors[i] = cuda.allocate(DType.FLOAT32, MEMORY / 8 / pieces);
        }
        for (CudaTensor tensor : tensors) {
          tensor.close();
        }
      }
      cuda.allocate(DType.FLOAT32, MEMORY / 8 + MEMORY / 16).close();
    }
    assertEquals(0, emulator.live(), "left allocated");
  }

  /** What the backend has freed and kept is others' again. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void trimmingGivesWhatIsKeptToOthers(boolean pools) {
    deviceWithPools(pools);
    OtherUser other = new OtherUser();
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      CudaBackend cuda = backend.unwrap(CudaBackend.class);
      try (CudaTensor kept = cuda.allocate(DType.FLOAT32, 2)) {
        cuda.allocate(DType.FLOAT32, MEMORY / 8).close();
        cuda.trim();
        other.succeed("cuMemFree_v2", other.driver.get("cuMemAlloc_v2", ANSWER, MEMORY * 3 / 4));
        assertEquals(2, backend.toHost(kept).size());
      }
      Work.on(backend);
    }
    other.leave();
    other.succeed("cuCtxSetCurrent", 0); // as new threads have it
    assertEquals(0, emulator.live(), "left allocated");
  }

  /** A device may promise pools where its driver has none. */
  @ParameterizedTest
  @ValueSource(strings = {"cuMemPoolCreate", "cuMemPoolSetAttribute"})
  void wherePoolsAreNotSupportedMemoryIsAllocatedWithout(String function) {
    emulator.fail(function, 1, 801);
    Work.openDoAndClose();
    assertEquals(0, emulator.calls("cuMemAllocFromPoolAsync"));
    assertTrue(emulator.calls("cuMemAlloc_v2") > 0, "allocations");
    assertEquals(0, emulator.live(), "left allocated");
  }

  /** The results that a failed call had made already are freed. */
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void aCallThatRunsOutHalfWayLeavesNothing(boolean pools) {
    deviceWithPools(pools);
    String function = pools ? "cuMemAllocFromPoolAsync" : "cuMemAlloc_v2";
    try (VbnBackend<CudaTensor> backend = VbnBackend.open(new CudaProvider())) {
      Work.on(backend); // has what is kept for later calls
      long before = emulator.calls(function);
      Work.on(backend);
      long count = emulator.calls(function) - before;
      long live = emulator.live();
      for (int nth = 1; nth <= count; nth++) {
        emulator.fail(function, nth, 2);
        if (pools) { // which asks once more
          Work.on(backend);
        } else {
          BackendFailedException e =
              assertThrows(BackendFailedException.class, () -> Work.on(backend));
          CudaOutOfMemoryException cause =
              assertInstanceOf(CudaOutOfMemoryException.class, e.getCause());
          assertTrue(cause.requested() > 0, cause::getMessage);
        }
        assertEquals(live, emulator.live(), "left after allocation " + nth + " failed");
      }
      Work.on(backend);
    }
    assertEquals(0, emulator.live(), "left allocated");
  }
}
