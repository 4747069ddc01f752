package dev.vbn.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.util.HashMap;
import java.util.Map;

/** The kernels, compiled by the driver for one device, and launched into one stream. */
final class KernelModule {
  private static final int MOST_ARGUMENTS = 32;

  // CUdevice_attribute
  private static final int MULTIPROCESSORS = 16;
  private static final int COOPERATIVE_LAUNCH = 95;
  private static final int MOST_SHARED_OF_A_BLOCK = 97;

  /** At least what kernels on tiles declare: {@code TileSums} and a few bytes. */
  private static final int BESIDE_A_TILE = 16 << 10;

  /** Two rounds of the most that fits a multiprocessor. */
  private static final int ENOUGH_FOR_A_MULTIPROCESSOR = 2 * 2048;

  private final CudaDriver driver;
  private final long module;
  private final long stream;
  private final int multiprocessors;
  private final int tileBytes;
  private final boolean cooperative;
  private final Map<String, Long> functions = new HashMap<>();
  private final Map<String, Integer> blocksAtOnce = new HashMap<>();

  /** A slot for each argument, and the addresses of the slots; freed with this object. */
  private final MemorySegment slots;

  private final MemorySegment addresses;

  private KernelModule(
      CudaDriver driver,
      long module,
      long stream,
      int multiprocessors,
      int tileBytes,
      boolean cooperative) {
    this.driver = driver;
    this.module = module;
    this.stream = stream;
    this.multiprocessors = multiprocessors;
    this.tileBytes = tileBytes;
    this.cooperative = cooperative;
    Arena arena = Arena.ofAuto();
    slots = arena.allocate(JAVA_LONG, MOST_ARGUMENTS);
    addresses = arena.allocate(ADDRESS, MOST_ARGUMENTS);
    for (int i = 0; i < MOST_ARGUMENTS; i++) {
      addresses.setAtIndex(ADDRESS, i, slots.asSlice(i * JAVA_LONG.byteSize()));
    }
  }

  static KernelModule load(CudaDriver driver, int device, long stream) {
    int multiprocessors = driver.attribute(device, MULTIPROCESSORS);
    int tileBytes = driver.attribute(device, MOST_SHARED_OF_A_BLOCK) - BESIDE_A_TILE;
    boolean cooperative = driver.attribute(device, COOPERATIVE_LAUNCH) != 0;
    return new KernelModule(
        driver, driver.loadModule(ptx()), stream, multiprocessors, tileBytes, cooperative);
  }

  /** Threads that keep the device busy. */
  int enoughThreads() {
    return ENOUGH_FOR_A_MULTIPROCESSOR * multiprocessors;
  }

  int multiprocessors() {
    return multiprocessors;
  }

  /** The most that {@link #launchOnTiles} takes. */
  int tileBytes() {
    return tileBytes;
  }

  private static byte[] ptx() {
    try (InputStream resource = KernelModule.class.getResourceAsStream("vbn.ptx")) {
      if (resource == null) {
        throw new IllegalStateException("the jar of vbn-cuda has no vbn.ptx; expected it beside "
            + KernelModule.class.getName());
      }
      return resource.readAllBytes();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * Launches a kernel. Not for two threads at once.
   *
   * @param arguments in the kernel's order: addresses and integers as they are, floating-point numbers
   *     as their bits. The driver reads as many bytes of each as its type has, the lowest first: every
   *     machine with CUDA is little-endian
   */
  void launch(String kernel, long gridX, long gridY, int blockX, long... arguments) {
    long function = functions.computeIfAbsent(kernel, name -> driver.function(module, name));
    launch(kernel, function, gridX, gridY, blockX, 0, arguments);
  }

  /**
   * Launches a kernel whose blocks hold tiles.
   *
   * @param bytes of a block's tile
   */
  void launchOnTiles(String kernel, long blocks, int blockX, int bytes, long... arguments) {
    launch(kernel, functionOnTiles(kernel), blocks, 1, blockX, bytes, arguments);
  }

  /**
   * Blocks of {@link #tileBytes} that all run at once; 0 where the device promises that of none.
   */
  int blocksAtOnce(String kernel, int blockX) {
    return cooperative
        ? blocksAtOnce.computeIfAbsent(
            kernel,
            name -> multiprocessors * driver.blocksAtOnce(functionOnTiles(name), blockX, tileBytes))
        : 0;
  }

  /** As {@link #launchOnTiles}, all blocks at once. */
  void launchTogether(String kernel, int blocks, int blockX, int bytes, long... arguments) {
    MemorySegment.copy(arguments, 0, slots, JAVA_LONG, 0, arguments.length);
    driver.launchTogether(
        kernel, functionOnTiles(kernel), blocks, blockX, bytes, addresses, stream);
  }

  private long functionOnTiles(String kernel) {
    return functions.computeIfAbsent(kernel, name -> {
      long found = driver.function(module, name);
      driver.allowShared(found, tileBytes);
      return found;
    });
  }

  private void launch(
      String kernel,
      long function,
      long gridX,
      long gridY,
      int blockX,
      int sharedBytes,
      long... arguments) {
    MemorySegment.copy(arguments, 0, slots, JAVA_LONG, 0, arguments.length);
    driver.launch(
        kernel,
        function,
        blocks(kernel, gridX),
        blocks(kernel, gridY),
        blockX,
        sharedBytes,
        addresses,
        stream);
  }

  private static int blocks(String kernel, long count) {
    if (count > Integer.MAX_VALUE) {
      throw new IllegalArgumentException(kernel + " needs " + count
          + " blocks for a batch of this shape; expected at most " + Integer.MAX_VALUE);
    }
    return (int) count;
  }

  void close() {
    driver.unloadModule(module);
  }
}
