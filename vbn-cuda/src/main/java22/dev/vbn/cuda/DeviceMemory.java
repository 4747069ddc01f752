package dev.vbn.cuda;

/**
 * Memory of one device for one stream: from a pool of this backend's own, in the stream's order,
 * where the driver has pools; by itself otherwise. A pool of its own keeps what is freed for the next
 * call, and leaves the settings of the device's pool to whoever shares the process.
 */
final class DeviceMemory {
  private static final int POOLS_SUPPORTED = 115; // CU_DEVICE_ATTRIBUTE_MEMORY_POOLS_SUPPORTED

  private static final int NOT_SUPPORTED = 801; // CUDA_ERROR_NOT_SUPPORTED

  /** More than this is not kept. */
  private static final long MOST_KEPT = 64 << 20;

  private static final int ALIGNMENT = 256;
  private static final long LEAST_COUNTERS = 1024;

  private final CudaDriver driver;
  private final long stream;
  private final long pool;

  /** For calls, one after another in the stream: each begins at its start. */
  private long kept;

  private long keptBytes;
  private long askedBytes; // by the present call
  private long wantedBytes; // by the greediest call

  /** At 0 between launches. */
  private long counters;

  private long counterCount;

  private DeviceMemory(CudaDriver driver, long stream, long pool) {
    this.driver = driver;
    this.stream = stream;
    this.pool = pool;
  }

  static DeviceMemory of(CudaDriver driver, int device, int ordinal, long stream) {
    boolean pools = driver.hasPools() && driver.attribute(device, POOLS_SUPPORTED) != 0;
    return new DeviceMemory(driver, stream, pools ? poolOrNone(driver, ordinal) : 0);
  }

  /** A device may promise pools and its driver refuse them, as under some virtual GPUs. */
  private static long poolOrNone(CudaDriver driver, int ordinal) {
    try {
      return driver.createPool(ordinal);
    } catch (CudaException e) {
      if (e.code() != NOT_SUPPORTED) {
        throw e;
      }
      return 0;
    }
  }

  /**
   * Address of new memory, for use in the stream; 0 for no bytes, which the driver refuses.
   *
   * @throws CudaOutOfMemoryException if there is no room, not even in what the pool has kept
   */
  long allocate(long bytes) {
    if (bytes == 0) {
      return 0;
    }
    if (pool == 0) {
      return driver.allocate(bytes);
    }
    try {
      return driver.allocateFromPool(pool, bytes, stream);
    } catch (CudaOutOfMemoryException e) {
      trim(); // what was freed in the stream is in the pool, in pieces that may be too small
      return driver.allocateFromPool(pool, bytes, stream);
    }
  }

  /** Frees memory once the stream has come to here. */
  void free(long pointer) {
    if (pointer == 0) {
      return;
    }
    if (pool == 0) {
      driver.synchronize(stream);
      driver.free(pointer);
    } else {
      driver.freeToPool(pointer, stream);
    }
  }

  /**
   * Memory until the call is {@link #done}, from what is kept; 0 where that is not enough, and the
   * next call will have enough. Not in a capture: a graph has its own.
   */
  long scratch(long bytes) {
    long start = askedBytes;
    askedBytes += Math.ceilDiv(bytes, ALIGNMENT) * ALIGNMENT;
    if (askedBytes > MOST_KEPT) {
      return 0;
    }
    wantedBytes = Math.max(wantedBytes, askedBytes);
    if (start == 0 && keptBytes < wantedBytes) {
      freeKept();
      kept = allocate(wantedBytes);
      keptBytes = wantedBytes;
    }
    return askedBytes <= keptBytes ? kept + start : 0;
  }

  void done() {
    askedBytes = 0;
  }

  /** Integers of 32 bits at 0, which launches leave so. Not in a capture. */
  long counters(long count) {
    if (counterCount < count) {
      freeCounters();
      long more = Math.max(count, LEAST_COUNTERS);
      counters = allocate(more * Integer.BYTES);
      driver.clear(counters, more, stream);
      counterCount = more;
    }
    return counters;
  }

  private void freeKept() {
    keptBytes = 0;
    free(kept);
    kept = 0;
  }

  private void freeCounters() {
    counterCount = 0;
    free(counters);
    counters = 0;
  }

  /** Frees what is kept for calls. */
  void forget() {
    freeKept();
    freeCounters();
  }

  /** Waits for the stream, and gives what is kept back to the device. */
  void trim() {
    if (askedBytes == 0) {
      wantedBytes = 0;
      freeKept();
    }
    driver.synchronize(stream);
    if (pool != 0) {
      driver.trimPool(pool);
    }
  }

  void close() {
    if (pool != 0) {
      driver.destroyPool(pool);
    }
  }
}
