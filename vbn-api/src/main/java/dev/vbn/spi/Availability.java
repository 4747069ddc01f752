package dev.vbn.spi;

import static java.util.Objects.requireNonNull;

import org.jspecify.annotations.Nullable;

/**
 * Whether a backend can be opened here, as a value with its reason.
 *
 * @param available whether it can
 * @param description the device and library that would compute; or the reason why none can and what
 *     to install or add to the class path
 * @param cause what led to the reason, if it was an exception
 */
public record Availability(
    boolean available, String description, @Nullable Throwable cause) {

  /** Checks that there is a description. */
  public Availability {
    requireNonNull(description, "description is null; expected the device or the reason");
  }

  /** It can be opened, on the described device. */
  public static Availability available(String device) {
    return new Availability(true, device, null);
  }

  /** It cannot be opened. */
  public static Availability unavailable(String reason, @Nullable Throwable cause) {
    return new Availability(false, reason, cause);
  }
}
