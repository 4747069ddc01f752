package dev.vbn.conformance.offender;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import org.jspecify.annotations.Nullable;

/**
 * One call of a kernel, as far as an optimised backend may go another way by it.
 *
 * @param scope of the live statistics; null for the gradient of the reference batch
 * @param epsilon 0 where the kernel is told none
 * @param supplied whether the caller gave a tensor for the result
 * @param inPlace whether that tensor is one of the inputs
 * @param view whether an input is not laid out in order
 * @param callsBefore calls of the same kernel on this backend before
 */
record Call(
    Pass pass,
    Geometry geometry,
    @Nullable Scope scope,
    DType dtype,
    double epsilon,
    @Nullable Strided gamma,
    boolean attached,
    boolean supplied,
    boolean inPlace,
    boolean view,
    int callsBefore) {

  /** The kernels, with backward parted by whose it is. */
  enum Pass {
    STATISTICS,
    REFERENCE,
    FORWARD,
    BACKWARD,
    REFERENCE_BACKWARD,
    REFERENCE_GRADIENT
  }
}
