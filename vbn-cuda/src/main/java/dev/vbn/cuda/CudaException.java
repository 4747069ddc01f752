package dev.vbn.cuda;

/** A call of the NVIDIA driver that failed. */
public class CudaException extends RuntimeException {
  private static final long serialVersionUID = 1;

  private final String call;
  private final int code;
  private final String codeName;
  private final String driverText;

  CudaException(String call, int code, String codeName, String driverText, String message) {
    super(message);
    this.call = call;
    this.code = code;
    this.codeName = codeName;
    this.driverText = driverText;
  }

  /** The driver's function, such as {@code cuLaunchKernel}. */
  public final String call() {
    return call;
  }

  /** What it returned: a {@code CUresult}. */
  public final int code() {
    return code;
  }

  /** The code's name, such as {@code CUDA_ERROR_LAUNCH_FAILED}. */
  public final String codeName() {
    return codeName;
  }

  /** The driver's own words for the code. */
  public final String driverText() {
    return driverText;
  }

  /**
   * Whether every later use of the device in this process fails with the same code, as after a
   * kernel that went astray. Only a new process gets a new context.
   */
  public final boolean sticky() {
    return isSticky(code);
  }

  /** The codes for which the driver API says that the process must be terminated and relaunched. */
  static boolean isSticky(int code) {
    return switch (code) {
      case 214 /* ECC_UNCORRECTABLE */,
          220 /* NVLINK_UNCORRECTABLE */,
          226 /* CONTAINED */,
          700 /* ILLEGAL_ADDRESS */,
          702 /* LAUNCH_TIMEOUT */,
          709 /* CONTEXT_IS_DESTROYED */,
          710 /* ASSERT */,
          714 /* HARDWARE_STACK_ERROR */,
          715 /* ILLEGAL_INSTRUCTION */,
          716 /* MISALIGNED_ADDRESS */,
          717 /* INVALID_ADDRESS_SPACE */,
          718 /* INVALID_PC */,
          719 /* LAUNCH_FAILED */,
          721 /* TENSOR_MEMORY_LEAK */,
          810 /* MPS_CLIENT_TERMINATED */,
          911 /* EXTERNAL_DEVICE */ -> true;
      default -> false;
    };
  }
}
