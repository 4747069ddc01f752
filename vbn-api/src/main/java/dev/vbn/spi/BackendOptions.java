package dev.vbn.spi;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * How a backend is to be opened.
 *
 * @param device one of the {@link Availability#devices} that the provider names; null for its
 *     default
 * @param parallelism threads that one call may use at most, the calling one included, where the
 *     backend has threads of its own; at least 1
 */
public record BackendOptions(@Nullable String device, int parallelism) {
  /** System property: default of {@link #parallelism}. */
  public static final String PARALLELISM_PROPERTY = "vbn.parallelism";

  /**
   * Checks the settings.
   *
   * @throws IllegalArgumentException if {@code parallelism} is below 1
   */
  public BackendOptions {
    if (parallelism < 1) {
      throw new IllegalArgumentException("parallelism is " + parallelism + "; expected 1 or more");
    }
  }

  /**
   * The default device, and as many threads as the system property {@value #PARALLELISM_PROPERTY}
   * says, or else one per processor.
   *
   * @throws IllegalArgumentException if the property is not a number of 1 or more
   */
  public static BackendOptions defaults() {
    String property = System.getProperty(PARALLELISM_PROPERTY);
    return new BackendOptions(
        null, property == null ? Runtime.getRuntime().availableProcessors() : number(property));
  }

  private static int number(String property) {
    try {
      int parallelism = Integer.parseInt(property);
      if (parallelism >= 1) {
        return parallelism;
      }
    } catch (NumberFormatException e) {
      // refused below, as numbers out of range are
    }
    throw new IllegalArgumentException(
        PARALLELISM_PROPERTY + " is '" + property + "'; expected a number of 1 or more");
  }

  /** A copy with another {@link #device()}. */
  public BackendOptions withDevice(String device) {
    return new BackendOptions(
        requireNonNull(device, "device is null; expected the name of one"), parallelism);
  }

  /** A copy with another {@link #parallelism()}. */
  public BackendOptions withParallelism(int parallelism) {
    return new BackendOptions(device, parallelism);
  }
}
