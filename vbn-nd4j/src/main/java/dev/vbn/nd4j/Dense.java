package dev.vbn.nd4j;

import dev.vbn.kernels.Elements;
import java.lang.ref.Reference;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * An array whose elements lie row-major without gaps, during one call: the caller's own, or else a
 * copy that is freed with this.
 */
@SuppressWarnings("ReachabilityFenceUsage") // the fence is what close() is for
final class Dense implements AutoCloseable {
  private final INDArray array;
  private final @Nullable INDArray destination;
  private boolean temporary;

  private Dense(INDArray array, @Nullable INDArray destination, boolean temporary) {
    this.array = array;
    this.destination = destination;
    this.temporary = temporary;
  }

  /** To be read. */
  static Dense of(INDArray array) {
    Nd4jTensors.requireLive(array);
    return isDense(array)
        ? new Dense(array, null, false)
        : new Dense(empty(array.dataType(), array.shape()).assign(array), null, true);
  }

  /** To be written, and in the end {@link #deliver}ed: in {@code given}, or else in a new array. */
  static Dense result(@Nullable INDArray given, DataType type, long... shape) {
    return given != null && isDense(given)
        ? new Dense(given, given, false)
        : new Dense(empty(type, shape), given, true);
  }

  /** A new array that no workspace of the caller frees. */
  static INDArray empty(DataType type, long... shape) {
    return Nd4j.createUninitializedDetached(type, 'c', shape);
  }

  static boolean isDense(INDArray array) {
    long stride = 1;
    for (int axis = array.rank() - 1; axis >= 0; axis--) {
      if (array.size(axis) != 1 && array.stride(axis) != stride) {
        return false;
      }
      stride *= array.size(axis);
    }
    return true;
  }

  Elements<?> elements() {
    return NativeElements.of(array);
  }

  /** The result, where the caller expects it; the caller keeps it. */
  INDArray deliver() {
    if (destination == null) {
      temporary = false;
      return array;
    }
    return temporary ? destination.assign(array) : destination;
  }

  @Override
  public void close() {
    Reference.reachabilityFence(array);
    if (temporary) {
      array.close();
    }
  }
}
