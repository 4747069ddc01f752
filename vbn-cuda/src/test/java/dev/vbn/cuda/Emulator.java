package dev.vbn.cuda;

import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/**
 * The emulated driver: the driver's functions over host memory, and the kernels' own source compiled
 * for the CPU. Built with g++ once for a build directory; without g++ the tests are skipped for lack of a
 * device, with that reason.
 */
final class Emulator {
  /** What tests may ask of the emulated driver beside what a driver does. */
  interface Controls {
    /** Everything back to how a fresh process has it. */
    void reset();

    /** Order in which the threads of later launches run. */
    void seed(long seed);

    /** Lets the {@code nth} call from now of a function return {@code status}, once. */
    void fail(String function, int nth, int status);

    /** Puts a fault into the kernels, of those that the source has; 0 for none. */
    void fault(int number);

    /** Calls of a function, of all where it is "", since {@link #reset}. */
    long calls(String function);

    /** Bytes of each device's memory. */
    void memory(long bytes);

    void devices(int count);

    /** As {@code cuDriverGetVersion} tells it. */
    void version(int version);

    /** Whether the devices have memory pools. */
    void pools(boolean pools);

    /** Whether the devices can run all blocks of a launch at once. */
    void cooperative(boolean cooperative);

    /** What later backends find: the number of multiprocessors, and the most shared memory of a block. */
    void device(int multiprocessors, int sharedBytes);

    /** Begins to count what kernels move; in a build with {@code -DTRAFFIC} alone. */
    void count();

    /** Bytes moved to and from the memory that has an address, or all where it is 0. */
    long moved(long address);

    /** Lets later launches run only so many blocks at either end of each axis. */
    void outerBlocks(int count);

    /** Everything that has been allocated, created or retained and not been freed. */
    long live();
  }

  /**
   * Another user of the emulated driver in this process, as the CUDA runtime inside a framework is:
   * it calls functions by their names, each argument in 64 bits as registers pass it.
   */
  interface Client {
    /** The status that a function returns. */
    int call(String function, long... arguments);

    /** Where the answer is to go, for {@link #get}. */
    long ANSWER = Long.MIN_VALUE;

    /** The answer of a function, which has to succeed; it goes where one of the arguments says. */
    long get(String function, long... arguments);

    /** Writes to memory that the driver has allocated; that of the emulated device is the host's. */
    void put(long address, float... values);

    float[] floats(long address, int count);
  }

  static final String PLAN_PROPERTY = "vbn.cuda.plan";
  private static final String LIBRARY = "libcuda.so.1";
  static final Path SOURCE = Path.of("src/main/cuda/vbn.cu");
  static final Path DIRECTORY = Path.of(System.getProperty("vbn.test.emulator"));
  private static final String NO_COMPILER = "no g++ to build it with";
  private static final boolean BUILT = buildIfThereIsACompiler();

  private Emulator() {}

  /** The library; where there is no g++, a path that says so, of nothing. */
  static Path library() {
    return (BUILT ? DIRECTORY : DIRECTORY.resolve(NO_COMPILER)).resolve(LIBRARY);
  }

  /** Makes it this JVM's driver. */
  static void install() {
    System.setProperty(CudaProvider.LIBRARY_PROPERTY, library().toString());
  }

  /** The backend by one of the plans that {@code vbn.cuda.plan} names. */
  static VbnBackend<CudaTensor> open(String plan) {
    return open(new CudaProvider(), plan);
  }

  static VbnBackend<CudaTensor> open(CudaProvider provider, String plan) {
    System.setProperty(PLAN_PROPERTY, plan);
    try {
      return VbnBackend.open(provider);
    } finally {
      System.clearProperty(PLAN_PROPERTY);
    }
  }

  /** Makes it this JVM's driver, as a fresh one; without g++ the test is skipped. */
  static Controls controls() {
    install();
    String reason = "no device: " + NO_COMPILER;
    if (!BUILT && Boolean.getBoolean(VbnConformance.REQUIRE_DEVICE_PROPERTY)) {
      throw new AssertionError(reason);
    }
    assumeTrue(BUILT, reason);
    return controls(library());
  }

  /** The same with other kernels, or other options for its compiler, built in a directory of its own. */
  static Controls controls(Path source, Path directory, String... options) {
    build(source, directory, options);
    Path library = directory.resolve(LIBRARY);
    System.setProperty(CudaProvider.LIBRARY_PROPERTY, library.toString());
    return controls(library);
  }

  private static Controls controls(Path library) {
    Controls controls = make("dev.vbn.cuda.EmulatorControls", Controls.class, library);
    controls.reset();
    return controls;
  }

  static Client client() {
    return make("dev.vbn.cuda.EmulatorClient", Client.class, library());
  }

  private static <T> T make(String name, Class<T> type, Path library) {
    try {
      return Class.forName(name)
          .asSubclass(type)
          .getDeclaredConstructor(Path.class)
          .newInstance(library);
    } catch (ReflectiveOperationException e) {
      throw new LinkageError("what calls the emulator cannot be reached", e);
    }
  }

  private static boolean buildIfThereIsACompiler() {
    try {
      run(new ProcessBuilder("g++", "--version"));
    } catch (IOException e) {
      return false; // there is none
    }
    build(SOURCE, DIRECTORY);
    return true;
  }

  private static void build(Path source, Path directory, String... options) {
    try {
      List<String> command =
          new ArrayList<>(List.of("src/test/emulator/build.sh", directory.toString()));
      command.addAll(List.of(options));
      ProcessBuilder build = new ProcessBuilder(command);
      build.environment().put("VBN_CUDA_SOURCE", source.toAbsolutePath().toString());
      run(build);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void run(ProcessBuilder builder) throws IOException {
    Process process = builder.redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    try {
      if (process.waitFor() != 0) {
        throw new AssertionError(builder.command() + " failed: " + output);
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      throw new IOException(e);
    }
  }
}
