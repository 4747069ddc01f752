package dev.vbn.spi;

import dev.vbn.tensor.DType;

/**
 * What a backend may lack. Anything not listed here is required of every backend. Using an absent
 * capability is refused with {@link UnsupportedCapabilityException}, and nothing is changed.
 */
public enum Capability {
  /** Tensors of {@link DType#FLOAT64}. */
  FLOAT64,
  /** Tensors of {@link DType#FLOAT16}, with statistics of 32 bits or more. */
  FLOAT16,
  /** Tensors of {@link DType#BFLOAT16}, with statistics of 32 bits or more. */
  BFLOAT16,
  /**
   * Writing the output of {@link VbnBackend#forward} and the dx of {@link VbnBackend#backward} into a
   * given tensor, also into an input itself.
   */
  CALLER_SUPPLIED_OUTPUT
}
