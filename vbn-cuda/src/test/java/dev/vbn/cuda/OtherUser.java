package dev.vbn.cuda;

import static dev.vbn.cuda.Emulator.Client.ANSWER;
import static org.junit.jupiter.api.Assertions.assertEquals;

/**
 * Somebody else who uses device 0 in this process, as DJL or ND4J do through the CUDA runtime: the
 * primary context, current in the thread that made it, a stream and some memory.
 */
final class OtherUser {
  static final int SIZE = 256; // floats
  private static final int BYTES = SIZE * Float.BYTES;

  final Emulator.Client driver = Emulator.client();
  final long context;
  final long stream;
  final long memory;
  private final long pinned;

  OtherUser() {
    succeed("cuInit", 0);
    context = driver.get("cuDevicePrimaryCtxRetain", ANSWER, 0);
    succeed("cuCtxSetCurrent", context);
    stream = driver.get("cuStreamCreate", ANSWER, 0);
    memory = driver.get("cuMemAlloc_v2", ANSWER, BYTES);
    pinned = driver.get("cuMemHostAlloc", ANSWER, BYTES, 0);
  }

  void succeed(String function, long... arguments) {
    assertEquals(0, driver.call(function, arguments), function);
  }

  long newMemory() {
    return driver.get("cuMemAlloc_v2", ANSWER, BYTES);
  }

  long currentContext() {
    return driver.get("cuCtxGetCurrent", ANSWER);
  }

  /** Waits until they are there. */
  void write(long to, float... values) {
    driver.put(pinned, values);
    succeed("cuMemcpyHtoDAsync_v2", to, pinned, values.length * (long) Float.BYTES, stream);
    succeed("cuStreamSynchronize", stream);
  }

  float[] read(long from) {
    succeed("cuMemcpyDtoHAsync_v2", pinned, from, BYTES, stream);
    succeed("cuStreamSynchronize", stream);
    return driver.floats(pinned, SIZE);
  }

  /** Everything but the context's being current. */
  void leave() {
    succeed("cuMemFree_v2", memory);
    succeed("cuMemFreeHost", pinned);
    succeed("cuStreamDestroy_v2", stream);
    succeed("cuDevicePrimaryCtxRelease_v2", 0);
  }
}
