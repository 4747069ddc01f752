package dev.vbn.conformance.offender;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * One call of a kernel, as far as an optimised backend may go another way by it.
 *
 * @param scope of the live statistics; null for the gradient of the reference batch
 * @param weight of the live statistics; 0 where the kernel is told none
 * @param epsilon 0 where the kernel is told none
 * @param inputs x, and where there are any the upstream gradient and v
 * @param parameters whether the kernel takes gamma and beta
 * @param statistics those given, mean and variance; empty where none are
 * @param result the tensor that the caller gave for it; null if none
 * @param before calls of the same kernel on this backend before
 * @param inProgress other calls on backends of the provider at the same time
 * @param openBackends of the provider
 */
record Call(
    Pass pass,
    Geometry geometry,
    @Nullable Scope scope,
    double weight,
    double epsilon,
    boolean attached,
    List<Strided> inputs,
    boolean parameters,
    @Nullable Strided gamma,
    @Nullable Strided beta,
    List<Strided> statistics,
    @Nullable Strided result,
    int before,
    int inProgress,
    int openBackends) {

  /** The kernels, with backward parted by whose it is. */
  enum Pass {
    STATISTICS,
    REFERENCE,
    FORWARD,
    BACKWARD,
    REFERENCE_BACKWARD,
    DOUBLE_BACKWARD,
    REFERENCE_GRADIENT
  }

  Strided x() {
    return inputs.get(0);
  }

  DType dtype() {
    return x().dtype();
  }

  boolean over(int input) {
    return result != null
        && inputs.size() > input
        && inputs.get(input).memory().overlaps(result.memory());
  }

  static boolean view(@Nullable Strided tensor) {
    return tensor != null && !tensor.dense();
  }

  /** Of a long batch its begin is enough: every call is asked. */
  private int looked() {
    return Math.min(x().data().length, 4096);
  }

  /** Largest absolute value of x that is finite. */
  double magnitude() {
    double largest = 0;
    for (int i = 0; i < looked(); i++) {
      double size = Math.abs(x().data()[i]);
      largest = size > largest && size <= Double.MAX_VALUE ? size : largest;
    }
    return largest;
  }

  boolean finite() {
    for (int i = 0; i < looked(); i++) {
      if (!Double.isFinite(x().data()[i])) {
        return false;
      }
    }
    return true;
  }

  /** How many elements share statistics. */
  long group() {
    return geometry.positions() * (scope == Scope.EXAMPLE ? 1 : geometry.batch());
  }
}
