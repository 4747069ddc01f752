package dev.vbn.spi;

import dev.vbn.tensor.TensorType;

/**
 * Entry of a backend, found by {@link java.util.ServiceLoader}. Cheap to construct: no native work
 * and no use of the tensor library in the constructor, in static fields, or in {@link #name} and
 * {@link #priority}.
 *
 * <p>During {@link #probe} and {@link #open} the thread's context class loader sees what the
 * provider's own sees, and then what the caller's sees: libraries that look for their engines
 * through it find those next to the provider, and those of the calling application.
 *
 * @param <T> the tensor type
 */
public interface VbnProvider<T> {

  /**
   * Name by which users choose the backend: lower-case letters, digits and hyphens, a letter first,
   * at most 32 characters. No two providers on a class path may share one.
   */
  String name();

  /** The available provider with the highest priority is opened by default; ties go by name. */
  int priority();

  /** The tensor type of the backend that {@link #open} gives. */
  TensorType<T> tensorType();

  /**
   * Whether {@link #open} can be expected to succeed. May load native libraries; may be called
   * often, and may answer differently the next time. Does not throw: what goes wrong becomes the
   * reason for unavailability.
   */
  Availability probe();

  /**
   * Opens a backend, which the caller closes. Several can be open at once.
   *
   * @param options their device is null or one of those that {@link #probe} named
   */
  Kernels<T> open(BackendOptions options);
}
