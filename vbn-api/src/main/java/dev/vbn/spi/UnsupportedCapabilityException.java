package dev.vbn.spi;

/** Refusal of what a backend has declared absent. */
public final class UnsupportedCapabilityException extends UnsupportedOperationException {
  private static final long serialVersionUID = 1;

  private final Capability capability;

  /** The refusal of what needs {@code capability}. */
  public UnsupportedCapabilityException(Capability capability, String message) {
    super(message);
    this.capability = capability;
  }

  /** What is lacking. */
  public Capability capability() {
    return capability;
  }
}
