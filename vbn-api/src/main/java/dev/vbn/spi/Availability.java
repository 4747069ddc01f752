package dev.vbn.spi;

import static java.util.Objects.requireNonNull;

import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * Whether a backend can be opened here, as a value with its reason.
 *
 * @param available whether it can
 * @param description the device and library that would compute; or the reason why none can and what
 *     to install or add to the class path
 * @param devices names to open a backend by, the default first; empty where there is no choice
 * @param cause what led to the reason, if it was an exception
 */
public record Availability(
    boolean available,
    String description,
    List<String> devices,
    @Nullable Throwable cause) {

  /** Checks that there is a description. */
  public Availability {
    requireNonNull(description, "description is null; expected the device or the reason");
    devices = List.copyOf(devices);
  }

  /** It can be opened, on the described device. */
  public static Availability available(String device) {
    return available(device, List.of());
  }

  /** It can be opened, on the described device or on another of {@code devices}. */
  public static Availability available(String description, List<String> devices) {
    return new Availability(true, description, devices, null);
  }

  /** It cannot be opened. */
  public static Availability unavailable(String reason, @Nullable Throwable cause) {
    return new Availability(false, reason, List.of(), cause);
  }
}
