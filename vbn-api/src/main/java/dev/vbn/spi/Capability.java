package dev.vbn.spi;

import dev.vbn.tensor.DType;
import java.util.Optional;

/**
 * What a backend may lack. Anything not listed here is required of every backend. Using an absent
 * capability is refused with {@link UnsupportedCapabilityException}, and nothing is changed.
 */
public enum Capability {
  /** Batches of {@link DType#FLOAT64}. Implies {@link #FLOAT64_STATISTICS}. */
  FLOAT64,
  /**
   * Statistics kept in {@link DType#FLOAT64}, whatever the type of the batches. Without it they are
   * kept in {@link DType#FLOAT32}, where a mean many deviations from 0 is not exact enough: the kit
   * then allows for the rounding of 32 bits.
   */
  FLOAT64_STATISTICS,
  /** Batches of {@link DType#FLOAT16}. */
  FLOAT16,
  /** Batches of {@link DType#BFLOAT16}. */
  BFLOAT16,
  /**
   * Writing the output of {@link Kernels#forward} and the dx of {@link Kernels#backward} into a
   * given tensor, which may be an input itself.
   */
  CALLER_SUPPLIED_OUTPUT,
  /** Subnormal numbers are kept. Without it they may be read as 0, and results flushed to 0. */
  SUBNORMALS,
  /**
   * Batches of which not all elements count: a {@link Geometry} with {@link Geometry#counted}.
   */
  MASK,
  /**
   * The two sweeps of a pass as separate calls, {@link Kernels#sums} and {@link Kernels#write}.
   * They serve parameters for each example (conditional normalisation), live statistics that
   * several workers share, and live statistics as constants.
   */
  CONDITIONAL,
  /** A tensor made by a backend can still be read after that backend is closed. */
  TENSORS_OUTLIVE_BACKEND,
  /** Gradients of gradients, by {@link Kernels#doubleBackward}. */
  DOUBLE_BACKWARD;

  /** What batches of {@code dtype} need; empty for {@link DType#FLOAT32}, which every backend has. */
  public static Optional<Capability> of(DType dtype) {
    return switch (dtype) {
      case FLOAT32 -> Optional.empty();
      case FLOAT64 -> Optional.of(FLOAT64);
      case FLOAT16 -> Optional.of(FLOAT16);
      case BFLOAT16 -> Optional.of(BFLOAT16);
    };
  }
}
