package dev.vbn.spi;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.jspecify.annotations.Nullable;

/**
 * How VBN looks at a library's tensors, makes them and frees them. Safe to call from many threads.
 *
 * <p>A tensor that was freed, or that is another backend's and cannot be used here, is the caller's
 * mistake, and so is one that is too large for the library: the exceptions documented here reach
 * the caller unchanged. VBN asks for the shape of each of the caller's tensors before a kernel sees
 * it.
 *
 * @param <T> the library's tensor type
 */
public interface TensorAccess<T> {

  /**
   * Lengths of a tensor's axes, outermost first.
   *
   * @throws IllegalArgumentException if this backend cannot compute with the tensor
   * @throws IllegalStateException if the tensor has been freed
   */
  long[] shape(T tensor);

  /**
   * Element type of a tensor.
   *
   * @throws IllegalArgumentException if the tensor's type has no {@link DType}, or as {@link #shape}
   * @throws IllegalStateException if the tensor has been freed
   */
  DType dtype(T tensor);

  /**
   * A new tensor of the host tensor's shape and elements, rounded to nearest even.
   *
   * @param dtype a type that the backend has among its {@link Kernels#capabilities}
   * @throws IllegalArgumentException if the library has no tensor of that size
   */
  T fromHost(HostTensor host, DType dtype);

  /**
   * A copy of the tensor, of type {@link DType#hostType()}, whatever the strides of the original.
   *
   * @throws IllegalArgumentException if no host tensor is that large, or as {@link #shape}
   * @throws IllegalStateException if the tensor has been freed
   */
  HostTensor toHost(T tensor);

  /**
   * Frees a tensor that this backend made; harmless when repeated, and after the backend is closed.
   * The default leaves it to the garbage collector.
   */
  default void release(T tensor) {}

  /**
   * Where a tensor's elements lie, so that an output that overlaps an input without being that
   * input can be refused; null if the library does not tell.
   *
   * @throws IllegalStateException if the tensor has been freed
   */
  default @Nullable MemoryRange memory(T tensor) {
    return null;
  }
}
