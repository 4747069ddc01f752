package dev.vbn.cuda;

import static dev.vbn.cuda.Emulator.Client.ANSWER;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendUnavailableException;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
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
  private VbnBackend<CudaTensor> backend;
  private CudaBackend cuda;

  @BeforeEach
  void open() {
    emulator.devices(2);
    backend = VbnBackend.open(new CudaProvider());
    cuda = backend.unwrap(CudaBackend.class);
  }

  private static VbnBackend<CudaTensor> openDevice(String ordinal) {
    return VbnBackend.open(new CudaProvider(), BackendOptions.defaults().withDevice(ordinal));
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
    try (CudaTensor tensor = cuda.allocate(DType.FLOAT16, 2, 3, 4)) {
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
        IllegalArgumentException.class, "negative", () -> cuda.allocate(DType.FLOAT32, 2, -1));
    assertRefused(
        IllegalArgumentException.class,
        "more bytes",
        () -> cuda.allocate(DType.FLOAT32, Long.MAX_VALUE, 3));
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
  void aFreedTensorIsNotRead() {
    CudaTensor tensor = backend.fromHost(values(6), DType.FLOAT32);
    backend.release(tensor);
    backend.release(tensor);
    tensor.close();
    for (Executable read : new Executable[] {
      () -> backend.toHost(tensor),
      () -> backend.shape(tensor),
      () -> backend.dtype(tensor),
      tensor::pointer
    }) {
      assertRefused(IllegalStateException.class, "used after close", read);
    }
  }

  @Test
  void aTensorEndsWithItsBackend() {
    VbnBackend<CudaTensor> other = openDevice("0");
    CudaTensor tensor = other.fromHost(values(6), DType.FLOAT32);
    CudaBackend beyond = other.unwrap(CudaBackend.class);
    assertFalse(other.capabilities().contains(Capability.TENSORS_OUTLIVE_BACKEND));
    other.close();
    for (Executable use : new Executable[] {
      tensor::pointer,
      () -> backend.toHost(tensor),
      () -> other.toHost(tensor),
      beyond::synchronize,
      beyond::trim,
      () -> beyond.allocate(DType.FLOAT32, 1),
      () -> beyond.wrap(0, DType.FLOAT32, 0)
    }) {
      assertRefused(IllegalStateException.class, "used after close", use);
    }
    other.release(tensor);
    tensor.close();
  }

  @Test
  void aWrappedPointerIsReadAndWrittenInPlaceAndNotFreed() {
    try (CudaTensor memory = backend.fromHost(values(12), DType.FLOAT32)) {
      long live = emulator.live();
      CudaTensor x = cuda.wrap(memory.pointer() + 4 * 4, DType.FLOAT32, 4, 2);
      assertTrue(x.wrapped());
      assertArrayEquals(
          new double[] {4, 5, 6, 7, 8, 9, 10, 11}, backend.toHost(x).toDoubles());
      try (VirtualBatchNorm<CudaTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(2));
          ReferenceStatistics<CudaTensor> statistics = layer.referenceStatistics(x)) {
        layer.forwardInto(x, x, statistics).close();
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
  void memoryOfTheHostIsNotWrapped() {
    Emulator.Client driver = Emulator.client();
    OtherUser other = new OtherUser();
    long pinned = driver.get("cuMemHostAlloc", ANSWER, 64, 0);
    long managed = driver.get("cuMemAllocManaged", ANSWER, 64, 1);
    assertRefused(
        IllegalArgumentException.class,
        "is pinned memory of the host; expected memory of device 0",
        () -> cuda.wrap(pinned, DType.FLOAT32, 2));
    assertRefused(
        IllegalArgumentException.class,
        "is managed memory, which the host has too; expected memory of device 0",
        () -> cuda.wrap(managed, DType.FLOAT32, 2));
    other.succeed("cuMemFreeHost", pinned);
    other.succeed("cuMemFree_v2", managed);
    other.leave();
    other.succeed("cuCtxSetCurrent", 0); // as new threads have it
  }

  @Test
  void wrappingChecksThePointer() {
    try (CudaTensor memory = backend.fromHost(values(12), DType.FLOAT32);
        VbnBackend<CudaTensor> second = openDevice("1")) {
      assertRefused(
          IllegalArgumentException.class,
          "a multiple of 4",
          () -> cuda.wrap(memory.pointer() + 2, DType.FLOAT32, 2));
      assertRefused(
          IllegalArgumentException.class,
          "expected memory of device 0",
          () -> cuda.wrap(64, DType.FLOAT32, 2));
      assertRefused(
          IllegalArgumentException.class,
          "is no memory that the driver knows; expected memory of device 0",
          () -> cuda.wrap(memory.pointer(), DType.FLOAT32, 13));
      assertRefused(
          IllegalArgumentException.class,
          "is memory of device 0; expected memory of device 1",
          () -> second.unwrap(CudaBackend.class).wrap(memory.pointer(), DType.FLOAT32, 2));
    }
  }

  @Test
  void devicesAreNamedAndChosen() {
    Availability availability = new CudaProvider().probe();
    assertEquals(List.of("0", "1"), availability.devices());
    String description = availability.description();
    assertTrue(description.contains("0: emulated CUDA device 0"), description);
    assertTrue(description.contains("1: emulated CUDA device 1"), description);
    assertEquals(0, cuda.device());
    try (VbnBackend<CudaTensor> second = openDevice("1")) {
      assertEquals(1, second.unwrap(CudaBackend.class).device());
      assertTrue(
          second.description().startsWith("1: emulated CUDA device 1 "), second::description);
      assertFalse(second.description().contains("device 0"), second::description);
      assertTrue(second.description().contains(", driver for CUDA "), second::description);
      Work.on(second);
    }
    assertRefused(IllegalArgumentException.class, "device is '2'", () -> openDevice("2"));
    assertRefused(IllegalArgumentException.class, "'cuda': 0, 1", () -> openDevice("one"));
  }

  @Test
  void aTensorOfAnotherDeviceOrBackendIsRefused() {
    try (VbnBackend<CudaTensor> second = openDevice("1");
        VbnBackend<CudaTensor> sameDevice = openDevice("0");
        CudaTensor tensor = backend.fromHost(values(6), DType.FLOAT32)) {
      HostTensor parameters = values(6);
      VirtualBatchNorm<CudaTensor> elsewhere = VirtualBatchNorm.of(second, VbnConfig.of(6));
      VirtualBatchNorm<CudaTensor> another = VirtualBatchNorm.of(sameDevice, VbnConfig.of(6));
      ReferenceMoments moments =
          ReferenceMoments.of(parameters.toDoubles(), parameters.toDoubles(), 2, 2);
      try (ReferenceStatistics<CudaTensor> here = ReferenceStatistics.of(backend, moments);
          ReferenceStatistics<CudaTensor> there = ReferenceStatistics.of(second, moments);
          ReferenceStatistics<CudaTensor> apart = ReferenceStatistics.of(sameDevice, moments);
          CudaTensor batch = backend.fromHost(HostTensor.zeros(DType.FLOAT32, 2, 6));
          CudaTensor batchThere = second.fromHost(HostTensor.zeros(DType.FLOAT32, 2, 6));
          CudaTensor batchApart = sameDevice.fromHost(HostTensor.zeros(DType.FLOAT32, 2, 6))) {
        for (Executable call : List.<Executable>of(
            () -> second.shape(tensor),
            () -> second.dtype(tensor),
            () -> second.toHost(tensor),
            () -> elsewhere.withGamma(tensor),
            () -> ReferenceStatistics.wrap(second, tensor, tensor, 2, 2),
            () -> elsewhere.reference(batch),
            () -> elsewhere.referenceStatistics(batch),
            () -> elsewhere.forward(batch, there),
            () -> elsewhere.forward(batchThere, here),
            () -> elsewhere.forwardInto(batch, batchThere, there),
            () -> elsewhere.backward(batchThere, there, batch),
            () -> elsewhere.backwardInto(batch, batchThere, there, batchThere))) {
          assertRefused(
              IllegalArgumentException.class,
              "on device 0 was given to a backend on device 1; expected a tensor there",
              call);
        }
        for (Executable call : List.<Executable>of(
            () -> sameDevice.toHost(tensor),
            () -> another.forward(batch, apart),
            () -> another.forward(batchApart, here),
            () -> another.withBeta(tensor))) {
          assertRefused(
              IllegalArgumentException.class,
              "is another backend's; expected one of this backend",
              call);
        }
      }
    }
  }

  @Test
  void theCallersStreamIsUsedAndLeftOpen() {
    try (VbnBackend<CudaTensor> guest = VbnBackend.open(CudaProvider.inStream(cuda.stream()))) {
      assertEquals(cuda.stream(), guest.unwrap(CudaBackend.class).stream());
      Work.on(guest);
    }
    Work.on(backend);
    assertRefused(
        BackendUnavailableException.class,
        "belongs to another context; expected one of the primary context of device 1",
        () -> VbnBackend.open(
            CudaProvider.inStream(cuda.stream()), BackendOptions.defaults().withDevice("1")));
  }

  @Test
  void theDefaultStreamIsOneForAllThreads() {
    for (long legacy : new long[] {0, 1}) {
      try (VbnBackend<CudaTensor> onDefault = VbnBackend.open(CudaProvider.inStream(legacy))) {
        assertEquals(legacy, onDefault.unwrap(CudaBackend.class).stream());
        Work.on(onDefault);
        CompletableFuture.runAsync(() -> Work.on(onDefault)).join();
      }
    }
    assertRefused(
        IllegalArgumentException.class,
        "stream is 2, CU_STREAM_PER_THREAD",
        () -> CudaProvider.inStream(2));
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
    cuda.synchronize();
    assertEquals(2, emulator.calls("cuCtxSetCurrent") - sets, "context set, and put back");
  }
}
