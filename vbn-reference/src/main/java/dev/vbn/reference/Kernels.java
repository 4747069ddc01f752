package dev.vbn.reference;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import org.jspecify.annotations.Nullable;

/**
 * The choice of the {@link Kernel}, made once: SIMD where the JVM has {@value #MODULE}, else scalar.
 * The system property {@value #PROPERTY} asks for one of them.
 */
final class Kernels {
  static final String PROPERTY = "vbn.reference.kernel";
  private static final String MODULE = "jdk.incubator.vector";

  /** Made when a backend is first asked for. */
  private static final class Chosen {
    static final Kernels VALUE = choose(System.getProperty(PROPERTY, ""));
  }

  private final boolean simd;

  /** Why the kernel is scalar, or that it was asked for and is not there; empty if neither. */
  private final String remark;

  private final @Nullable Throwable failure;
  private final boolean available;

  private Kernels(boolean simd, boolean available, String remark, @Nullable Throwable failure) {
    this.simd = simd;
    this.available = available;
    this.remark = remark;
    this.failure = failure;
  }

  static Kernels chosen() {
    return Chosen.VALUE;
  }

  /** The choice for a value of the property; empty for the best there is. */
  static Kernels choose(String wanted) {
    return switch (wanted) {
      case "scalar" -> new Kernels(false, true, "", null);
      case "simd", "" -> simdOr(wanted.isEmpty());
      default ->
        new Kernels(false, false, PROPERTY + " is '" + wanted + "'; expected scalar or simd", null);
    };
  }

  private static Kernels simdOr(boolean scalarWillDo) {
    Module module = ModuleLayer.boot().findModule(MODULE).orElse(null);
    if (module == null) {
      String remark = "for SIMD start java with --add-modules " + MODULE;
      log(Level.DEBUG, "the kernel is scalar; " + remark, null);
      return new Kernels(false, scalarWillDo, remark, null);
    }
    try {
      // The module descriptor cannot name it: JVMs without it would refuse this module.
      Kernels.class.getModule().addReads(module);
      KernelCheck.check(newSimd());
      return new Kernels(true, true, "", null);
    } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
      String remark =
          "the SIMD kernel does not work on Java " + Runtime.version().feature() + ": " + e;
      log(Level.WARNING, "the kernel is scalar; " + remark, e);
      return new Kernels(false, scalarWillDo, remark, e);
    }
  }

  private static void log(Level level, String message, @Nullable Throwable e) {
    Logger logger = System.getLogger("dev.vbn.reference");
    logger.log(level, message, e);
  }

  /** By name: without the module, even mentioning the class would fail. */
  private static Kernel newSimd() throws ReflectiveOperationException {
    return Class.forName("dev.vbn.reference.SimdKernel")
        .asSubclass(Kernel.class)
        .getDeclaredConstructor()
        .newInstance();
  }

  /** Whether the kernel asked for is there. */
  boolean available() {
    return available;
  }

  /** What is in use, or why it is not. */
  String description() {
    if (!available) {
      return remark;
    }
    return (simd ? "SIMD kernel" : "scalar kernel") + (remark.isEmpty() ? "" : " (" + remark + ")");
  }

  @Nullable
  Throwable failure() {
    return failure;
  }

  /** A kernel for one thread. */
  Kernel create() {
    if (!available) {
      throw new IllegalStateException(remark, failure);
    }
    try {
      return simd ? newSimd() : new ScalarKernel(Tile.LANES);
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("the SIMD kernel has been loaded and cannot be made", e);
    }
  }
}
