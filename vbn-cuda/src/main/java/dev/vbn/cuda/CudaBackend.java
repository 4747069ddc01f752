package dev.vbn.cuda;

import dev.vbn.VbnBackend;
import dev.vbn.tensor.DType;

/**
 * What this backend has beyond what every backend has: {@link VbnBackend#unwrap
 * backend.unwrap(CudaBackend.class)} gives it.
 *
 * <p>Calls from all threads are put into one stream in turn and return before the device has
 * computed; {@link VbnBackend#toHost} and {@link #synchronize} wait for it. Results may therefore be
 * used at once by whatever else runs in that stream. The device's primary context is current only
 * while a call runs: afterwards the thread has the one it had before.
 *
 * <p>Every method throws {@link CudaException} where the driver reports an error, {@link
 * CudaOutOfMemoryException} where memory is short, and {@link IllegalStateException} after the
 * backend is closed. The layer reports them as the cause of a
 * {@link dev.vbn.BackendFailedException}. After a sticky error every call throws a
 * {@link CudaException}, until the process is restarted.
 */
public interface CudaBackend {

  /** Ordinal of the device, as the driver counts them. */
  int device();

  /** The stream: a {@code CUstream} or {@code cudaStream_t}. */
  long stream();

  /**
   * A new tensor, its elements not set; for an output to write into. Closing it frees it, as closing
   * the backend does.
   *
   * @param shape lengths of the axes, outermost first, none of them negative
   */
  CudaTensor allocate(DType dtype, long... shape);

  /**
   * A tensor over memory that the caller has, without a copy. The memory stays the caller's, and
   * must live as long as the tensor is used; closing the tensor leaves it alone. It is read and
   * written in this backend's stream.
   *
   * @param pointer address of the first element: a {@code CUdeviceptr}
   * @param dtype type of the elements
   * @param shape lengths of the axes, outermost first; the elements lie densely in row-major order
   * @throws IllegalArgumentException if the driver knows no such memory on this device, if it is
   *     pinned or managed memory of the host, or if the address is no multiple of an element's bytes
   */
  CudaTensor wrap(long pointer, DType dtype, long... shape);

  /** Waits until the device has done everything asked of it in this stream. */
  void synchronize();

  /**
   * Waits likewise, and gives memory that was freed but kept for later calls back to the device,
   * for whoever else needs it.
   */
  void trim();
}
