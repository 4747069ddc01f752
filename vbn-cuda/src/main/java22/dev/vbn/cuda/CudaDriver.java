package dev.vbn.cuda;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;
import static java.util.Objects.requireNonNull;

import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The functions of the NVIDIA driver that this backend calls, a method for each. A status other than
 * success becomes a {@link CudaException}.
 *
 * <p>Handles and device addresses are {@code long}, the width of pointers wherever the driver exists.
 * The names with {@code _v2} are those that {@code cuda.h} redirects to: the plain ones are still in
 * the library, with addresses of 32 bits.
 */
final class CudaDriver {
  private static final int OUT_OF_MEMORY = 2;
  private static final long TEXT_BYTES = 4096; // no text of the driver is as long

  private final String library;

  private final MethodHandle getErrorName;
  private final MethodHandle getErrorString;
  private final MethodHandle init;
  private final MethodHandle driverGetVersion;
  private final MethodHandle deviceGetCount;
  private final MethodHandle deviceGet;
  private final MethodHandle deviceGetName;
  private final MethodHandle deviceGetAttribute;
  private final MethodHandle primaryCtxRetain;
  private final MethodHandle primaryCtxRelease;
  private final MethodHandle ctxGetCurrent;
  private final MethodHandle ctxSetCurrent;
  private final MethodHandle moduleLoadDataEx;
  private final MethodHandle moduleUnload;
  private final MethodHandle moduleGetFunction;
  private final MethodHandle memGetInfo;
  private final MethodHandle memAlloc;
  private final MethodHandle memFree;
  private final MethodHandle memHostAlloc;
  private final MethodHandle memFreeHost;
  private final MethodHandle memcpyHtoDAsync;
  private final MethodHandle memcpyDtoHAsync;
  private final MethodHandle memcpyDtoDAsync;
  private final MethodHandle memsetD32Async;
  private final MethodHandle pointerGetAttribute;
  private final MethodHandle streamCreate;
  private final MethodHandle streamDestroy;
  private final MethodHandle streamSynchronize;
  private final MethodHandle streamIsCapturing;
  private final MethodHandle eventCreate;
  private final MethodHandle eventDestroy;
  private final MethodHandle eventRecord;
  private final MethodHandle eventSynchronize;
  private final MethodHandle launchKernel;
  private final MethodHandle funcSetAttribute;

  /** Measures time for the benchmark alone. */
  private final @Nullable MethodHandle eventElapsedTime;

  /** CUDA 9.0; with it {@link #maxActiveBlocks}. */
  private final @Nullable MethodHandle launchCooperativeKernel;

  private final @Nullable MethodHandle maxActiveBlocks;

  /** CUDA 9.2. */
  private final @Nullable MethodHandle streamGetCtx;

  /** CUDA 11.2. */
  private final @Nullable Pools pools;

  private record Pools(
      MethodHandle create,
      MethodHandle destroy,
      MethodHandle setAttribute,
      MethodHandle trim,
      MethodHandle alloc,
      MethodHandle free) {}

  private CudaDriver(String library, SymbolLookup symbols) {
    this.library = library;
    getErrorName = required(symbols, "cuGetErrorName", JAVA_INT, ADDRESS);
    getErrorString = required(symbols, "cuGetErrorString", JAVA_INT, ADDRESS);
    init = required(symbols, "cuInit", JAVA_INT);
    driverGetVersion = required(symbols, "cuDriverGetVersion", ADDRESS);
    deviceGetCount = required(symbols, "cuDeviceGetCount", ADDRESS);
    deviceGet = required(symbols, "cuDeviceGet", ADDRESS, JAVA_INT);
    deviceGetName = required(symbols, "cuDeviceGetName", ADDRESS, JAVA_INT, JAVA_INT);
    deviceGetAttribute = required(symbols, "cuDeviceGetAttribute", ADDRESS, JAVA_INT, JAVA_INT);
    primaryCtxRetain = required(symbols, "cuDevicePrimaryCtxRetain", ADDRESS, JAVA_INT);
    primaryCtxRelease = required(symbols, "cuDevicePrimaryCtxRelease_v2", JAVA_INT);
    ctxGetCurrent = required(symbols, "cuCtxGetCurrent", ADDRESS);
    ctxSetCurrent = required(symbols, "cuCtxSetCurrent", JAVA_LONG);
    moduleLoadDataEx =
        required(symbols, "cuModuleLoadDataEx", ADDRESS, ADDRESS, JAVA_INT, ADDRESS, ADDRESS);
    moduleUnload = required(symbols, "cuModuleUnload", JAVA_LONG);
    moduleGetFunction = required(symbols, "cuModuleGetFunction", ADDRESS, JAVA_LONG, ADDRESS);
    memGetInfo = required(symbols, "cuMemGetInfo_v2", ADDRESS, ADDRESS);
    memAlloc = required(symbols, "cuMemAlloc_v2", ADDRESS, JAVA_LONG);
    memFree = required(symbols, "cuMemFree_v2", JAVA_LONG);
    memHostAlloc = required(symbols, "cuMemHostAlloc", ADDRESS, JAVA_LONG, JAVA_INT);
    memFreeHost = required(symbols, "cuMemFreeHost", ADDRESS);
    memcpyHtoDAsync =
        required(symbols, "cuMemcpyHtoDAsync_v2", JAVA_LONG, ADDRESS, JAVA_LONG, JAVA_LONG);
    memcpyDtoHAsync =
        required(symbols, "cuMemcpyDtoHAsync_v2", ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG);
    memcpyDtoDAsync =
        required(symbols, "cuMemcpyDtoDAsync_v2", JAVA_LONG, JAVA_LONG, JAVA_LONG, JAVA_LONG);
    memsetD32Async =
        required(symbols, "cuMemsetD32Async", JAVA_LONG, JAVA_INT, JAVA_LONG, JAVA_LONG);
    pointerGetAttribute = required(symbols, "cuPointerGetAttribute", ADDRESS, JAVA_INT, JAVA_LONG);
    streamCreate = required(symbols, "cuStreamCreate", ADDRESS, JAVA_INT);
    streamDestroy = required(symbols, "cuStreamDestroy_v2", JAVA_LONG);
    streamSynchronize = required(symbols, "cuStreamSynchronize", JAVA_LONG);
    streamIsCapturing = required(symbols, "cuStreamIsCapturing", JAVA_LONG, ADDRESS);
    eventCreate = required(symbols, "cuEventCreate", ADDRESS, JAVA_INT);
    eventDestroy = required(symbols, "cuEventDestroy_v2", JAVA_LONG);
    eventRecord = required(symbols, "cuEventRecord", JAVA_LONG, JAVA_LONG);
    eventSynchronize = required(symbols, "cuEventSynchronize", JAVA_LONG);
    eventElapsedTime =
        optional(symbols, "cuEventElapsedTime", ADDRESS, JAVA_LONG, JAVA_LONG).orElse(null);
    launchKernel = required(
        symbols,
        "cuLaunchKernel",
        JAVA_LONG,
        JAVA_INT,
        JAVA_INT,
        JAVA_INT,
        JAVA_INT,
        JAVA_INT,
        JAVA_INT,
        JAVA_INT,
        JAVA_LONG,
        ADDRESS,
        ADDRESS);
    funcSetAttribute = required(symbols, "cuFuncSetAttribute", JAVA_LONG, JAVA_INT, JAVA_INT);
    launchCooperativeKernel = optional(
            symbols,
            "cuLaunchCooperativeKernel",
            JAVA_LONG,
            JAVA_INT,
            JAVA_INT,
            JAVA_INT,
            JAVA_INT,
            JAVA_INT,
            JAVA_INT,
            JAVA_INT,
            JAVA_LONG,
            ADDRESS)
        .orElse(null);
    maxActiveBlocks = optional(
            symbols,
            "cuOccupancyMaxActiveBlocksPerMultiprocessor",
            ADDRESS,
            JAVA_LONG,
            JAVA_INT,
            JAVA_LONG)
        .orElse(null);
    streamGetCtx = optional(symbols, "cuStreamGetCtx", JAVA_LONG, ADDRESS).orElse(null);
    pools = optionalPools(symbols);
  }

  private static @Nullable Pools optionalPools(SymbolLookup symbols) {
    var create = optional(symbols, "cuMemPoolCreate", ADDRESS, ADDRESS);
    var destroy = optional(symbols, "cuMemPoolDestroy", JAVA_LONG);
    var setAttribute = optional(symbols, "cuMemPoolSetAttribute", JAVA_LONG, JAVA_INT, ADDRESS);
    var trim = optional(symbols, "cuMemPoolTrimTo", JAVA_LONG, JAVA_LONG);
    var alloc =
        optional(symbols, "cuMemAllocFromPoolAsync", ADDRESS, JAVA_LONG, JAVA_LONG, JAVA_LONG);
    var free = optional(symbols, "cuMemFreeAsync", JAVA_LONG, JAVA_LONG);
    return create.isPresent()
            && destroy.isPresent()
            && setAttribute.isPresent()
            && trim.isPresent()
            && alloc.isPresent()
            && free.isPresent()
        ? new Pools(
            create.get(), destroy.get(), setAttribute.get(), trim.get(), alloc.get(), free.get())
        : null;
  }

  /**
   * Loads the driver's library, for the life of the process.
   *
   * @param name a file name, for the system to look for, or a path
   * @throws IllegalArgumentException if there is no such library
   * @throws IllegalCallerException if native access is denied to this code
   * @throws MissingFunctionException if it lacks a function that every supported driver has
   */
  static CudaDriver load(String name) {
    boolean path = name.indexOf('/') >= 0 || name.indexOf('\\') >= 0;
    SymbolLookup symbols = path
        ? SymbolLookup.libraryLookup(Path.of(name), Arena.global())
        : SymbolLookup.libraryLookup(name, Arena.global());
    return new CudaDriver(name, symbols);
  }

  /** A library without one of the functions. */
  static final class MissingFunctionException extends RuntimeException {
    private static final long serialVersionUID = 1;

    MissingFunctionException(String function) {
      super("it has no function " + function);
    }
  }

  private static Optional<MethodHandle> optional(
      SymbolLookup symbols, String function, MemoryLayout... arguments) {
    return symbols
        .find(function)
        .map(address -> Linker.nativeLinker()
            .downcallHandle(address, FunctionDescriptor.of(JAVA_INT, arguments)));
  }

  private static MethodHandle required(
      SymbolLookup symbols, String function, MemoryLayout... arguments) {
    return optional(symbols, function, arguments)
        .orElseThrow(() -> new MissingFunctionException(function));
  }

  void init() {
    check("cuInit", () -> (int) init.invokeExact(0));
  }

  /** Version of the driver API: 12040 is 12.4. */
  int version() {
    return intOf("cuDriverGetVersion", out -> (int) driverGetVersion.invokeExact(out));
  }

  int deviceCount() {
    return intOf("cuDeviceGetCount", out -> (int) deviceGetCount.invokeExact(out));
  }

  int device(int ordinal) {
    return intOf("cuDeviceGet", out -> (int) deviceGet.invokeExact(out, ordinal));
  }

  String deviceName(int device) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment name = arena.allocate(256);
      check("cuDeviceGetName", () ->
          (int) deviceGetName.invokeExact(name, (int) name.byteSize(), device));
      return name.getString(0);
    }
  }

  /** @param attribute a {@code CUdevice_attribute} */
  int attribute(int device, int attribute) {
    return intOf("cuDeviceGetAttribute", out ->
        (int) deviceGetAttribute.invokeExact(out, attribute, device));
  }

  long retainPrimaryContext(int device) {
    return longOf(
        "cuDevicePrimaryCtxRetain", out -> (int) primaryCtxRetain.invokeExact(out, device));
  }

  void releasePrimaryContext(int device) {
    check("cuDevicePrimaryCtxRelease_v2", () -> (int) primaryCtxRelease.invokeExact(device));
  }

  /** Context of this thread; 0 for none. */
  long currentContext() {
    return longOf("cuCtxGetCurrent", out -> (int) ctxGetCurrent.invokeExact(out));
  }

  void setCurrentContext(long context) {
    check("cuCtxSetCurrent", () -> (int) ctxSetCurrent.invokeExact(context));
  }

  /** Compiles PTX for the device; a failure holds what the driver's compiler logged. */
  long loadModule(byte[] ptx) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment image = arena.allocate(ptx.length + 1L); // NUL at the end
      MemorySegment.copy(MemorySegment.ofArray(ptx), 0, image, 0, ptx.length);
      int logBytes = 8192;
      MemorySegment log = arena.allocate(logBytes);
      MemorySegment options = arena.allocateFrom(JAVA_INT, ERROR_LOG_BUFFER, ERROR_LOG_BYTES);
      MemorySegment values = arena.allocateFrom(JAVA_LONG, log.address(), logBytes);
      MemorySegment module = arena.allocate(JAVA_LONG);
      int status =
          invoke(() -> (int) moduleLoadDataEx.invokeExact(module, image, 2, options, values));
      if (status != 0) {
        throw failure("cuModuleLoadDataEx", status, ": " + log.getString(0).strip());
      }
      return module.get(JAVA_LONG, 0);
    }
  }

  private static final int ERROR_LOG_BUFFER = 5;
  private static final int ERROR_LOG_BYTES = 6;

  void unloadModule(long module) {
    check("cuModuleUnload", () -> (int) moduleUnload.invokeExact(module));
  }

  long function(long module, String name) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment text = arena.allocateFrom(name);
      MemorySegment out = arena.allocate(JAVA_LONG);
      int status = invoke(() -> (int) moduleGetFunction.invokeExact(out, module, text));
      if (status != 0) {
        throw failure("cuModuleGetFunction", status, " of " + name);
      }
      return out.get(JAVA_LONG, 0);
    }
  }

  /** Lets launches of a function ask for so many bytes of shared memory. */
  void allowShared(long function, int bytes) {
    int maxDynamicShared = 8; // CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
    check("cuFuncSetAttribute", () ->
        (int) funcSetAttribute.invokeExact(function, maxDynamicShared, bytes));
  }

  /** @throws CudaOutOfMemoryException if the current context's device lacks the room */
  long allocate(long bytes) {
    return allocated("cuMemAlloc_v2", bytes, out -> (int) memAlloc.invokeExact(out, bytes));
  }

  void free(long pointer) {
    check("cuMemFree_v2", () -> (int) memFree.invokeExact(pointer));
  }

  /**
   * Host memory that the device reads and writes by itself, for every context.
   *
   * @throws CudaOutOfMemoryException if the host lacks the room
   */
  MemorySegment allocatePinned(long bytes) {
    int portable = 1;
    long address = allocated(
        "cuMemHostAlloc", bytes, out -> (int) memHostAlloc.invokeExact(out, bytes, portable));
    return MemorySegment.ofAddress(address).reinterpret(bytes);
  }

  void freePinned(MemorySegment memory) {
    check("cuMemFreeHost", () -> (int) memFreeHost.invokeExact(memory));
  }

  boolean hasPools() {
    return pools != null;
  }

  private Pools pools() {
    return requireNonNull(
        pools, "this driver has no memory pools; expected hasPools() to be asked");
  }

  /** A pool of the device that keeps what is freed until it is trimmed. */
  long createPool(int device) {
    long pool;
    try (Arena arena = Arena.ofConfined()) {
      // CUmemPoolProps: allocType, handleTypes, location.type, location.id, then zeros; 88 bytes.
      MemorySegment properties = arena.allocate(128, 8);
      properties.setAtIndex(JAVA_INT, 0, 1); // CU_MEM_ALLOCATION_TYPE_PINNED, the only one
      properties.setAtIndex(JAVA_INT, 2, 1); // CU_MEM_LOCATION_TYPE_DEVICE
      properties.setAtIndex(JAVA_INT, 3, device);
      pool = longOf("cuMemPoolCreate", out -> (int) pools().create.invokeExact(out, properties));
    }
    try (Arena arena = Arena.ofConfined()) {
      int releaseThreshold = 4; // CU_MEMPOOL_ATTR_RELEASE_THRESHOLD
      MemorySegment bytes = arena.allocateFrom(JAVA_LONG, -1L); // as unsigned, no limit
      check("cuMemPoolSetAttribute", () ->
          (int) pools().setAttribute.invokeExact(pool, releaseThreshold, bytes));
      return pool;
    } catch (CudaException e) {
      try {
        destroyPool(pool);
      } catch (CudaException second) {
        e.addSuppressed(second);
      }
      throw e;
    }
  }

  void destroyPool(long pool) {
    check("cuMemPoolDestroy", () -> (int) pools().destroy.invokeExact(pool));
  }

  /** Gives the memory that a pool holds unused back to the device. */
  void trimPool(long pool) {
    check("cuMemPoolTrimTo", () -> (int) pools().trim.invokeExact(pool, 0L));
  }

  /** @throws CudaOutOfMemoryException if the pool's device lacks the room */
  long allocateFromPool(long pool, long bytes, long stream) {
    return allocated("cuMemAllocFromPoolAsync", bytes, out ->
        (int) pools().alloc.invokeExact(out, bytes, pool, stream));
  }

  void freeToPool(long pointer, long stream) {
    check("cuMemFreeAsync", () -> (int) pools().free.invokeExact(pointer, stream));
  }

  void copyToDevice(MemorySegment from, long to, long bytes, long stream) {
    check("cuMemcpyHtoDAsync_v2", () -> (int) memcpyHtoDAsync.invokeExact(to, from, bytes, stream));
  }

  void copyToHost(long from, MemorySegment to, long bytes, long stream) {
    check("cuMemcpyDtoHAsync_v2", () -> (int) memcpyDtoHAsync.invokeExact(to, from, bytes, stream));
  }

  void copyOnDevice(long from, long to, long bytes, long stream) {
    check("cuMemcpyDtoDAsync_v2", () -> (int) memcpyDtoDAsync.invokeExact(to, from, bytes, stream));
  }

  /** Sets {@code count} integers of 32 bits to 0. */
  void clear(long pointer, long count, long stream) {
    check("cuMemsetD32Async", () -> (int) memsetD32Async.invokeExact(pointer, 0, count, stream));
  }

  /**
   * What is known of the memory at {@code pointer}; an error of code 1 if nothing is.
   *
   * @param attribute a {@code CUpointer_attribute} of 4 bytes
   */
  int pointerAttribute(long pointer, int attribute) {
    return intOf("cuPointerGetAttribute", out ->
        (int) pointerGetAttribute.invokeExact(out, attribute, pointer));
  }

  /** A stream that takes turns with the legacy default stream, where other libraries may work. */
  long createStream() {
    return longOf("cuStreamCreate", out -> (int) streamCreate.invokeExact(out, 0));
  }

  void destroyStream(long stream) {
    check("cuStreamDestroy_v2", () -> (int) streamDestroy.invokeExact(stream));
  }

  void synchronize(long stream) {
    check("cuStreamSynchronize", () -> (int) streamSynchronize.invokeExact(stream));
  }

  /** Whether what is asked of a stream goes into a graph. */
  boolean isCapturing(long stream) {
    return intOf("cuStreamIsCapturing", out -> (int) streamIsCapturing.invokeExact(stream, out))
        != 0;
  }

  /** Context of a stream; 0 where the driver cannot tell. */
  long contextOfStream(long stream) {
    MethodHandle function = streamGetCtx;
    return function == null
        ? 0
        : longOf("cuStreamGetCtx", out -> (int) function.invokeExact(stream, out));
  }

  /** An event, which measures time if {@code timing}. */
  long createEvent(boolean timing) {
    int flags = timing ? 0 : 2; // CU_EVENT_DISABLE_TIMING
    return longOf("cuEventCreate", out -> (int) eventCreate.invokeExact(out, flags));
  }

  void destroyEvent(long event) {
    check("cuEventDestroy_v2", () -> (int) eventDestroy.invokeExact(event));
  }

  void record(long event, long stream) {
    check("cuEventRecord", () -> (int) eventRecord.invokeExact(event, stream));
  }

  void awaitEvent(long event) {
    check("cuEventSynchronize", () -> (int) eventSynchronize.invokeExact(event));
  }

  /** Milliseconds between two events that have both happened. */
  float milliseconds(long start, long end) {
    MethodHandle function = eventElapsedTime;
    if (function == null) {
      throw new IllegalStateException(
          library + " has no function cuEventElapsedTime; expected one to measure time by");
    }
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_FLOAT);
      check("cuEventElapsedTime", () -> (int) function.invokeExact(out, start, end));
      return out.get(JAVA_FLOAT, 0);
    }
  }

  /**
   * @param sharedBytes those that the kernel does not declare
   * @param arguments addresses of the kernel's arguments
   */
  void launch(
      String kernel,
      long function,
      int gridX,
      int gridY,
      int blockX,
      int sharedBytes,
      MemorySegment arguments,
      long stream) {
    int status = invoke(() -> (int) launchKernel.invokeExact(
        function,
        gridX,
        gridY,
        1,
        blockX,
        1,
        1,
        sharedBytes,
        stream,
        arguments,
        MemorySegment.NULL));
    if (status != 0) {
      throw failure(
          "cuLaunchKernel",
          status,
          " of " + kernel + " on " + gridX + " x " + gridY + " blocks of " + blockX);
    }
  }

  /**
   * Blocks of a function for which a multiprocessor has room at once; 0 where the driver has no
   * {@link #launchTogether}.
   */
  int blocksAtOnce(long function, int blockX, long sharedBytes) {
    MethodHandle blocks = maxActiveBlocks;
    return blocks == null || launchCooperativeKernel == null
        ? 0
        : intOf("cuOccupancyMaxActiveBlocksPerMultiprocessor", out ->
            (int) blocks.invokeExact(out, function, blockX, sharedBytes));
  }

  /** Launches blocks that all run at once; otherwise as {@link #launch}. */
  void launchTogether(
      String kernel,
      long function,
      int blocks,
      int blockX,
      int sharedBytes,
      MemorySegment arguments,
      long stream) {
    MethodHandle launch = requireNonNull(
        launchCooperativeKernel, "this driver has no cooperative launch; expected blocksAtOnce()");
    int status = invoke(() -> (int)
        launch.invokeExact(function, blocks, 1, 1, blockX, 1, 1, sharedBytes, stream, arguments));
    if (status != 0) {
      throw failure(
          "cuLaunchCooperativeKernel",
          status,
          " of " + kernel + " on " + blocks + " blocks of " + blockX);
    }
  }

  /** A call of the driver. */
  private interface Call {
    int status() throws Throwable;
  }

  /** A call of the driver that writes one result. */
  private interface CallWithResult {
    int status(MemorySegment out) throws Throwable;
  }

  private int intOf(String function, CallWithResult call) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_INT);
      check(function, () -> call.status(out));
      return out.get(JAVA_INT, 0);
    }
  }

  private long longOf(String function, CallWithResult call) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_LONG);
      check(function, () -> call.status(out));
      return out.get(JAVA_LONG, 0);
    }
  }

  private long allocated(String function, long bytes, CallWithResult call) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_LONG);
      int status = invoke(() -> call.status(out));
      if (status == OUT_OF_MEMORY) {
        throw outOfMemory(function, bytes);
      }
      check(function, () -> status);
      return out.get(JAVA_LONG, 0);
    }
  }

  private void check(String function, Call call) {
    int status = invoke(call);
    if (status != 0) {
      throw failure(function, status, "");
    }
  }

  private static int invoke(Call call) {
    try {
      return call.status();
    } catch (RuntimeException | Error e) {
      throw e;
    } catch (Throwable e) {
      throw new IllegalStateException(e); // a downcall throws nothing checked
    }
  }

  private CudaException failure(String function, int status, String more) {
    String name = text(getErrorName, status);
    String words = text(getErrorString, status);
    String message = function + " failed" + more + ": " + name + " (" + status + "), " + words;
    if (CudaException.isSticky(status)) {
      message += "; the process has lost this device's CUDA context: restart the process";
    }
    return new CudaException(function, status, name, words, message);
  }

  private CudaOutOfMemoryException outOfMemory(String function, long bytes) {
    long free = -1;
    long total = -1;
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(JAVA_LONG, 2);
      MemorySegment second = out.asSlice(JAVA_LONG.byteSize());
      if (invoke(() -> (int) memGetInfo.invokeExact(out, second)) == 0) {
        free = out.getAtIndex(JAVA_LONG, 0);
        total = out.getAtIndex(JAVA_LONG, 1);
      }
    }
    String name = text(getErrorName, OUT_OF_MEMORY);
    String words = text(getErrorString, OUT_OF_MEMORY);
    String device = total < 0 ? "" : "; the device has " + free + " bytes free of " + total;
    return new CudaOutOfMemoryException(
        function,
        OUT_OF_MEMORY,
        name,
        words,
        bytes,
        free,
        total,
        function + " failed for " + bytes + " bytes" + device + ": " + name + " (" + OUT_OF_MEMORY
            + "), " + words);
  }

  private static String text(MethodHandle function, int status) {
    try (Arena arena = Arena.ofConfined()) {
      MemorySegment out = arena.allocate(ADDRESS);
      if (invoke(() -> (int) function.invokeExact(status, out)) != 0) {
        return "unknown error";
      }
      MemorySegment text = out.get(ADDRESS, 0).reinterpret(TEXT_BYTES);
      return text.getString(0, StandardCharsets.US_ASCII);
    }
  }
}
