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

  /** Pinned memory, and an event that happens when the device is done with it. */
  private record Half(MemorySegment memory, long event) {}

  Staging(CudaDriver driver, long stream) {
    this.driver = driver;
    this.stream = stream;
  }

  /** What is to be copied to the device. */
  interface Source {
    /** Writes elements {@code start} to {@code start + count}. */
    void write(int start, int count, MemorySegment to);
  }

  /** Copies all elements; the caller may change them afterwards. */
  void toDevice(HostElements elements, CudaTensor tensor) {
    toDevice(
        elements::write,
        elements.host().size(),
        CudaTensor.elementBytes(tensor.dtype()),
        tensor.pointer());
  }

  /** Copies {@code size} elements; the caller may change them afterwards. */
  void toDevice(Source source, int size, int elementBytes, long pointer) {
    prepare();
    int capacity = HALF_BYTES / elementBytes;
    forEachPiece(size, capacity, (start, count) -> {
      Half half = halves[start / capacity % 2];
      driver.awaitEvent(half.event);
      source.write(start, count, half.memory);
      driver.copyToDevice(
          half.memory, pointer + (long) start * elementBytes, (long) count * elementBytes, stream);
      driver.record(half.event, stream);
    });
  }

  /** Waits for the tensor's elements and copies them all. */
  void toHost(CudaTensor tensor, HostElements elements) {
    prepare();
    int capacity = HALF_BYTES / CudaTensor.elementBytes(tensor.dtype());
    int size = elements.host().size();
    if (size > 0) {
      fetch(tensor, 0, Math.min(capacity, size), halves[0]);
    }
    forEachPiece(size, capacity, (start, count) -> {
      int turn = start / capacity % 2;
      int next = start + count;
      if (next < size) {
        fetch(tensor, next, Math.min(capacity, size - next), halves[turn ^ 1]);
      }
      driver.awaitEvent(halves[turn].event);
      elements.read(halves[turn].memory, start, count);
    });
  }

  /** A piece of a transfer: {@code count} elements from {@code start} on. */
  interface Piece {
    void of(int start, int count);
  }

  /** Cuts a transfer into pieces of at most {@code capacity} elements. */
  static void forEachPiece(int size, int capacity, Piece piece) {
    int count;
    for (int done = 0; done < size; done += count) { // never beyond size, which may be near 2^31
      count = Math.min(capacity, size - done);
      piece.of(done, count);
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
