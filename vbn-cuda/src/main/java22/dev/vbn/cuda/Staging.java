package dev.vbn.cuda;

import java.lang.foreign.MemorySegment;

/**
 * Transfers through pinned memory, which the device reads and writes by itself: two halves in turn,
 * so that one is filled or emptied while the other travels. Pinned memory is taken at the first
 * transfer.
 */
final class Staging {
  private static final int HALF_BYTES = 4 << 20;

  private final CudaDriver driver;
  private final long stream;
  private final CloseStack resources = new CloseStack();
  private final Half[] halves = new Half[2];
  private boolean ready;

  /** Pinned memory, and an event that happens when the device has done with it. */
  private record Half(MemorySegment memory, long event) {}

  Staging(CudaDriver driver, long stream) {
    this.driver = driver;
    this.stream = stream;
  }

  /** Copies all elements; the caller may change them afterwards. */
  void toDevice(HostElements elements, CudaTensor tensor) {
    prepare();
    int elementBytes = CudaTensor.elementBytes(tensor.dtype());
    int capacity = HALF_BYTES / elementBytes;
    int size = elements.host().size();
    for (int start = 0, turn = 0; start < size; start += capacity, turn ^= 1) {
      int count = Math.min(capacity, size - start);
      Half half = halves[turn];
      driver.awaitEvent(half.event);
      elements.write(start, count, half.memory);
      driver.copyToDevice(
          half.memory,
          tensor.pointer() + (long) start * elementBytes,
          (long) count * elementBytes,
          stream);
      driver.record(half.event, stream);
    }
  }

  /** Waits for the tensor's elements and copies them all. */
  void toHost(CudaTensor tensor, HostElements elements) {
    prepare();
    int capacity = HALF_BYTES / CudaTensor.elementBytes(tensor.dtype());
    int size = elements.host().size();
    if (size > 0) {
      fetch(tensor, 0, Math.min(capacity, size), halves[0]);
    }
    for (int start = 0, turn = 0; start < size; start += capacity, turn ^= 1) {
      int next = start + Math.min(capacity, size - start);
      if (next < size) {
        fetch(tensor, next, Math.min(capacity, size - next), halves[turn ^ 1]);
      }
      driver.awaitEvent(halves[turn].event);
      elements.read(halves[turn].memory, start, next - start);
    }
  }

  private void fetch(CudaTensor tensor, int start, int count, Half half) {
    int elementBytes = CudaTensor.elementBytes(tensor.dtype());
    driver.copyToHost(
        tensor.pointer() + (long) start * elementBytes,
        half.memory,
        (long) count * elementBytes,
        stream);
    driver.record(half.event, stream);
  }

  private void prepare() {
    if (ready) {
      return;
    }
    try {
      for (int i = 0; i < halves.length; i++) {
        MemorySegment memory = driver.allocatePinned(HALF_BYTES);
        resources.push(() -> driver.freePinned(memory));
        long event = driver.createEvent(false);
        resources.push(() -> driver.destroyEvent(event));
        halves[i] = new Half(memory, event);
      }
      ready = true;
    } catch (RuntimeException | Error e) {
      resources.closeAfter(e);
      throw e;
    }
  }

  void close() {
    resources.close();
  }
}
