package dev.vbn.cuda;

/**
 * The device, or the host's pinned memory, had too little left. Nothing was changed, and what the
 * failed call had allocated is free again.
 */
public final class CudaOutOfMemoryException extends CudaException {
  private static final long serialVersionUID = 1;

  private final long requested;
  private final long free;
  private final long total;

  CudaOutOfMemoryException(
      String call,
      int code,
      String codeName,
      String driverText,
      long requested,
      long free,
      long total,
      String message) {
    super(call, code, codeName, driverText, message);
    this.requested = requested;
    this.free = free;
    this.total = total;
  }

  /** Bytes that were asked for. */
  public long requested() {
    return requested;
  }

  /** Bytes that the device had free when asked afterwards; -1 where the driver does not say. */
  public long free() {
    return free;
  }

  /** Bytes of the device's memory; -1 where the driver does not say. */
  public long total() {
    return total;
  }
}
