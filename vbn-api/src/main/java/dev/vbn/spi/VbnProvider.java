package dev.vbn.spi;

/**
 * Entry of a backend, found by {@link java.util.ServiceLoader}. Cheap to construct: no native work,
 * and no touching of the tensor library, in constructor, static fields or in {@link #name} and
 * {@link #priority}.
 */
public interface VbnProvider {

  /**
   * Name by which users choose the backend: lower-case letters, digits and hyphens, a letter first,
   * at most 32 characters. No two providers on a class path may share one.
   */
  String name();

  /** The available provider of the highest priority is opened by default; ties go by name. */
  int priority();

  /** The tensor type of the backend that {@link #open} gives. */
  Class<?> tensorType();

  /**
   * Whether {@link #open} can be expected to succeed. May load native libraries; may be called
   * often. Does not throw: what goes wrong is the reason of unavailability.
   */
  Availability probe();

  /** Opens a backend, which the caller closes. */
  VbnBackend<?> open();
}
