package dev.vbn.cuda;

/**
 * A device's primary context: the one that the CUDA runtime uses too, so that memory and streams of
 * other libraries in the process are valid here.
 */
final class PrimaryContext {
  private final CudaDriver driver;
  private final int device;
  private final long handle;

  private PrimaryContext(CudaDriver driver, int device, long handle) {
    this.driver = driver;
    this.device = device;
    this.handle = handle;
  }

  static PrimaryContext retain(CudaDriver driver, int device) {
    return new PrimaryContext(driver, device, driver.retainPrimaryContext(device));
  }

  long handle() {
    return handle;
  }

  /**
   * Makes this the thread's context.
   *
   * @return the one it had, for {@link #restore}
   */
  long enter() {
    long previous = driver.currentContext();
    if (previous != handle) {
      driver.setCurrentContext(handle);
    }
    return previous;
  }

  void restore(long previous) {
    if (previous != handle) {
      driver.setCurrentContext(previous);
    }
  }

  void release() {
    driver.releasePrimaryContext(device);
  }
}
