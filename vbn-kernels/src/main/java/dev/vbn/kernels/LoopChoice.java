package dev.vbn.kernels;

import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import org.jspecify.annotations.Nullable;

/**
 * The choice of the {@link Loops}, made once: SIMD where the JVM has {@value #MODULE}, else scalar.
 * The system property {@value #PROPERTY} asks for one of them.
 */
final class LoopChoice {
  static final String PROPERTY = "vbn.kernel";
  private static final String MODULE = "jdk.incubator.vector";

  /** Made when a backend is first asked for. */
  private static final class Made {
    static final LoopChoice VALUE = choose(System.getProperty(PROPERTY, ""));
  }

  /** Null if the kernel asked for is not there. */
  private final @Nullable FloatLoops ofFloats;

  private final String description;
  private final @Nullable Throwable failure;

  private LoopChoice(
      @Nullable FloatLoops ofFloats, String description, @Nullable Throwable failure) {
    this.ofFloats = ofFloats;
    this.description = description;
    this.failure = failure;
  }

  static LoopChoice made() {
    return Made.VALUE;
  }

  /** The choice for a value of the property; empty for the best there is. */
  static LoopChoice choose(String wanted) {
    return switch (wanted) {
      case "scalar" -> new LoopChoice(new FloatLoops(), "scalar kernel", null);
      case "simd" -> simdOr(null);
      case "" -> simdOr(new FloatLoops());
      default ->
        new LoopChoice(null, PROPERTY + " is '" + wanted + "'; expected scalar or simd", null);
    };
  }

  private static LoopChoice simdOr(@Nullable FloatLoops fallback) {
    Module module = ModuleLayer.boot().findModule(MODULE).orElse(null);
    if (module == null) {
      return without(fallback, "for SIMD start java with --add-modules " + MODULE, null);
    }
    try {
      // The module descriptor cannot name it: JVMs without it would refuse this module.
      LoopChoice.class.getModule().addReads(module);
      // By name: without the module, even mentioning the class would fail.
      FloatLoops simd = Class.forName("dev.vbn.kernels.SimdLoops")
          .asSubclass(FloatLoops.class)
          .getDeclaredConstructor()
          .newInstance();
      LoopCheck.check(simd);
      return new LoopChoice(simd, "SIMD kernel", null);
    } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
      return without(
          fallback,
          "the SIMD kernel does not work on Java " + Runtime.version().feature() + ": " + e,
          e);
    }
  }

  private static LoopChoice without(
      @Nullable FloatLoops fallback, String why, @Nullable Throwable failure) {
    Logger logger = System.getLogger("dev.vbn.kernels");
    // The provider's description says it too: no reason to write on standard error.
    logger.log(Level.DEBUG, "no SIMD kernel: " + why, failure);
    return new LoopChoice(
        fallback, fallback == null ? why : "scalar kernel (" + why + ")", failure);
  }

  /** Whether the kernel asked for is there. */
  boolean available() {
    return ofFloats != null;
  }

  /** What is in use, or why it is not. */
  String description() {
    return description;
  }

  /** Why SIMD does not work although its module is there; null otherwise. */
  @Nullable
  Throwable failure() {
    return failure;
  }

  /** The loops over 32 bits; those over 64 bits are always the scalar ones. */
  FloatLoops ofFloats() {
    if (ofFloats == null) {
      throw new IllegalStateException(description, failure);
    }
    return ofFloats;
  }
}
