package dev.vbn.reference;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import org.jspecify.annotations.Nullable;

/**
 * The choice of the {@link Kernel}, made once: SIMD where the JVM has {@value #MODULE}, else scalar.
 * The system property {@value #PROPERTY} asks for one of them.
 */
final class KernelChoice {
  static final String PROPERTY = "vbn.reference.kernel";
  private static final String MODULE = "jdk.incubator.vector";

  /** Made when a backend is first asked for. */
  private static final class Made {
    static final KernelChoice VALUE = choose(System.getProperty(PROPERTY, ""));
  }

  /** Makes the kernel for the arrays of a call. */
  interface OfFloats {
    FloatKernel of(
        float[] x,
        float @Nullable [] upstream,
        double @Nullable [] centers,
        float @Nullable [] output);
  }

  /** Null if the kernel asked for is not there. */
  private final @Nullable OfFloats ofFloats;

  private final String description;
  private final @Nullable Throwable failure;

  private KernelChoice(
      @Nullable OfFloats ofFloats, String description, @Nullable Throwable failure) {
    this.ofFloats = ofFloats;
    this.description = description;
    this.failure = failure;
  }

  static KernelChoice made() {
    return Made.VALUE;
  }

  /** The choice for a value of the property; empty for the best there is. */
  static KernelChoice choose(String wanted) {
    return switch (wanted) {
      case "scalar" -> new KernelChoice(FloatKernel::new, "scalar kernel", null);
      case "simd" -> simdOr(null);
      case "" -> simdOr(FloatKernel::new);
      default ->
        new KernelChoice(null, PROPERTY + " is '" + wanted + "'; expected scalar or simd", null);
    };
  }

  private static KernelChoice simdOr(@Nullable OfFloats fallback) {
    Module module = ModuleLayer.boot().findModule(MODULE).orElse(null);
    if (module == null) {
      return without(fallback, "for SIMD start java with --add-modules " + MODULE, null);
    }
    try {
      // The module descriptor cannot name it: JVMs without it would refuse this module.
      KernelChoice.class.getModule().addReads(module);
      // By name: without the module, even mentioning the class would fail.
      OfFloats simd = Class.forName("dev.vbn.reference.SimdKernel$Factory")
          .asSubclass(OfFloats.class)
          .getDeclaredConstructor()
          .newInstance();
      KernelCheck.check(simd);
      return new KernelChoice(simd, "SIMD kernel", null);
    } catch (ReflectiveOperationException | LinkageError | RuntimeException e) {
      return without(
          fallback,
          "the SIMD kernel does not work on Java " + Runtime.version().feature() + ": " + e,
          e);
    }
  }

  private static KernelChoice without(
      @Nullable OfFloats fallback, String why, @Nullable Throwable failure) {
    Logger logger = System.getLogger("dev.vbn.reference");
    // The provider's description says it too: no reason to write on standard error.
    logger.log(Level.DEBUG, "no SIMD kernel: " + why, failure);
    return new KernelChoice(
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

  /**
   * The kernel for the tensors of a call. Arrays of 64 bits have one, the scalar one.
   *
   * @param centers what {@link GroupSums#upstreamDeviation} is to be taken from, for each feature: of
   *     the batch's type, and finite; null without an upstream gradient
   */
  Kernel of(
      HostTensor x,
      @Nullable HostTensor upstream,
      double @Nullable [] centers,
      @Nullable HostTensor output) {
    if (ofFloats == null) {
      throw new IllegalStateException(description, failure);
    }
    return x.dtype() == DType.FLOAT32
        ? ofFloats.of(
            x.floats(),
            upstream == null ? null : upstream.floats(),
            centers,
            output == null ? null : output.floats())
        : new DoubleKernel(
            x.doubles(),
            upstream == null ? null : upstream.doubles(),
            centers,
            output == null ? null : output.doubles());
  }
}
