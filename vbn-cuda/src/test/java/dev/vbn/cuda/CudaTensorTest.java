package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Ownership, devices, streams and threads, on an emulated machine of two devices. */
@EnabledForJreRange(min = JRE.JAVA_22)
class CudaTensorTest extends OnEmulator {
  private CudaBackend backend;

  @BeforeEach
  void open() {
    emulator.devices(2);
    backend = CudaProvider.open(0);
  }

  @AfterEach
  void close() {
    if (backend != null) {
      backend.close();
      assertEquals(0, emulator.live(), "left after the backend was closed");
    }
  }

  private static HostTensor values(int size) {
    float[] values = new float[size];
    for (int i = 0; i < size; i++) {
      values[i] = i % 1000;
    }
    return HostTensor.of(values, size);
  }

  private static void assertRefused(
      Class<? extends RuntimeException> type, String fragment, Executable call) {
    RuntimeException e = assertThrows(type, call);
    assertTrue(String.valueOf(e.getMessage()).contains(fragment), e::getMessage);
  }

  @Test
  void aTensorTellsWhatItIs() {
    try (CudaTensor tensor = backend.allocate(DType.FLOAT16, 2, 3, 4)) {
      assertEquals(DType.FLOAT16, tensor.dtype());
      assertArrayEquals(new long[] {2, 3, 4}, tensor.shape());
      assertEquals(24, tensor.size());
      assertEquals(48, tensor.bytes());
      assertEquals(0, tensor.device());
      assertFalse(tensor.wrapped());
      assertEquals("CudaTensor FLOAT16 [2, 3, 4] on device 0", tensor.toString());
    }
  }

  @Test
  void aShapeThatNoTensorHasIsRefused() {
    assertRefused(
        IllegalArgumentException.class, "negative", () -> backend.allocate(DType.FLOAT32, 2, -1));
    assertRefused(
        IllegalArgumentException.class,
        "more bytes",
        () -> backend.allocate(DType.FLOAT32, Long.MAX_VALUE, 3));
  }

  @Test
  void aTensorWithoutElementsNeedsNoMemory() {
    try (CudaTensor empty =
        backend.fromHost(HostTensor.zeros(DType.FLOAT32, 2, 0), DType.FLOAT32)) {
      assertEquals(0, empty.pointer());
      assertEquals(0, backend.toHost(empty).size());
    }
  }

  /** More than both halves of the pinned memory, so that each is used again. */
  @ParameterizedTest
  @EnumSource(DType.class)
  void aLongTransferArrivesWhole(DType dtype) {
    HostTensor host = values(5_000_011);
    try (CudaTensor tensor = backend.fromHost(host, dtype)) {
      HostTensor back = backend.toHost(tensor);
      assertArrayEquals(host.to(dtype).toDoubles(), back.toDoubles());
    }
  }

  @Test
  void aClosedTensorIsRefused() {
    CudaTensor tensor = backend.fromHost(values(6), DType.FLOAT32);
    tensor.close();
    tensor.close();
    backend.release(tensor);
    assertRefused(IllegalStateException.class, "used after close", () -> backend.toHost(tensor));
    assertRefused(IllegalStateException.class, "used after close", tensor::pointer);
  }

  @Test
  void aTensorEndsWithItsBackend() {
    CudaBackend other = CudaProvider.open(0);
    CudaTensor tensor = other.fromHost(values(6), DType.FLOAT32);
    other.close();
    assertRefused(IllegalStateException.class, "used after close", tensor::pointer);
    assertRefused(IllegalStateException.class, "used after close", () -> other.toHost(tensor));
    tensor.close();
  }

  @Test
  void aWrappedPointerIsReadAndWrittenInPlaceAndNotFreed() {
    try (CudaTensor memory = backend.fromHost(values(12), DType.FLOAT32)) {
      long live = emulator.live();
      CudaTensor x = backend.wrap(memory.pointer() + 4 * 4, DType.FLOAT32, 4, 2);
      assertTrue(x.wrapped());
      assertArrayEquals(
          new double[] {4, 5, 6, 7, 8, 9, 10, 11}, backend.toHost(x).toDoubles());
      VbnConfig config = VbnConfig.of(2).withScale(false).withCenter(false);
      try (VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, config, null, null);
          ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x)) {
        LiveOutput<CudaTensor> output = layer.forward(x, statistics, x);
        output.statistics().moments().mean().close();
        output.statistics().moments().variance().close();
      }
      double[] all = backend.toHost(memory).toDoubles();
      assertArrayEquals(new double[] {0, 1, 2, 3}, Arrays.copyOf(all, 4));
      // both features are 4 even steps: -3, -1, 1, 3 over the root of 5
      assertEquals(-3 / Math.sqrt(5), all[4], 1e-5);
      assertEquals(3 / Math.sqrt(5), all[11], 1e-5);
      x.close();
      assertEquals(live, emulator.live(), "allocations after a wrapped tensor was closed");
    }
  }

  @Test
  void wrappingChecksThePointer() {
    try (CudaTensor memory = backend.fromHost(values(12), DType.FLOAT32);
        CudaBackend second = CudaProvider.open(1)) {
      assertRefused(
          IllegalArgumentException.class,
          "a multiple of 4",
          () -> backend.wrap(memory.pointer() + 2, DType.FLOAT32, 2));
      assertRefused(
          IllegalArgumentException.class,
          "expected memory of device 0",
          () -> backend.wrap(64, DType.FLOAT32, 2));
      assertRefused(
          IllegalArgumentException.class,
          "is memory of device 0; expected device 1",
          () -> second.wrap(memory.pointer(), DType.FLOAT32, 2));
    }
  }

  @Test
  void devicesAreCountedAndChosen() {
    assertEquals(2, CudaProvider.devices());
    try (CudaBackend second = CudaProvider.open(1)) {
      assertEquals(1, second.device());
      Work.on(second);
    }
    assertRefused(IllegalArgumentException.class, "expected 0 to 1", () -> CudaProvider.open(2));
    System.setProperty(CudaProvider.DEVICE_PROPERTY, "1");
    try (CudaBackend chosen = new CudaProvider().open()) {
      assertEquals(1, chosen.device());
      assertTrue(new CudaProvider().probe().description().contains("device 1 of 2"));
      System.setProperty(CudaProvider.DEVICE_PROPERTY, "one");
      assertTrue(new CudaProvider().probe().description().contains("'one'; expected the ordinal"));
    } finally {
      System.clearProperty(CudaProvider.DEVICE_PROPERTY);
    }
  }

  @Test
  void aTensorOfAnotherDeviceOrBackendIsRefused() {
    try (CudaBackend second = CudaProvider.open(1);
        CudaBackend sameDevice = CudaProvider.open(0);
        CudaTensor tensor = backend.fromHost(values(6), DType.FLOAT32)) {
      assertRefused(
          IllegalArgumentException.class,
          "on device 0 was given to a backend on device 1",
          () -> second.toHost(tensor));
      assertRefused(
          IllegalArgumentException.class, "is another backend's", () -> sameDevice.toHost(tensor));
    }
  }

  @Test
  void theCallersStreamIsUsedAndLeftOpen() {
    try (CudaBackend onDefault = CudaProvider.open(0, 0);
        CudaBackend owner = CudaProvider.open(0)) {
      assertEquals(0, onDefault.stream());
      Work.on(onDefault);
      try (CudaBackend guest = CudaProvider.open(0, owner.stream())) {
        assertEquals(owner.stream(), guest.stream());
        Work.on(guest);
      }
      Work.on(owner);
      assertRefused(
          IllegalArgumentException.class,
          "belongs to another context; expected one of the primary context of device 1",
          () -> CudaProvider.open(1, owner.stream()));
    }
  }

  /** The driver keeps a context for each thread, and a new thread has none. */
  @Test
  void anyThreadMayCallAndKeepsItsContext() {
    CudaTensor tensor = CompletableFuture.supplyAsync(
            () -> backend.fromHost(values(6), DType.FLOAT32))
        .join();
    CompletableFuture.runAsync(() -> Work.on(backend)).join();
    CompletableFuture.runAsync(tensor::close).join();
    long sets = emulator.calls("cuCtxSetCurrent");
    backend.synchronize();
    assertEquals(2, emulator.calls("cuCtxSetCurrent") - sets, "context set, and put back");
  }
}
