package dev.vbn.cuda;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnProvider;
import org.jspecify.annotations.Nullable;

/**
 * The backend {@code cuda}: on one NVIDIA GPU, of compute capability 7.5 or newer.
 *
 * <p>What calls the driver is compiled for Java 22, and is reached from here by its name: on an
 * older Java this class still loads, and says what it needs.
 */
public final class CudaProvider implements VbnProvider {
  /** System property with the path of the driver's library, where it is not in its usual place. */
  public static final String LIBRARY_PROPERTY = "vbn.cuda.library";

  /** System property with the ordinal of the device that {@link #open()} takes; 0 by default. */
  public static final String DEVICE_PROPERTY = "vbn.cuda.device";

  private static final int FIRST_JAVA = 22;

  /** What the code at Java 22 does for this class. */
  interface Driver {
    /** Whether the device can be used, in the words of {@link VbnProvider#probe}. */
    Availability probe(int device);

    /** Opens it, with a stream of the caller's or, where that is null, a new one. */
    CudaBackend open(int device, @Nullable Long stream);

    /** Number of devices. */
    int devices();
  }

  /** For {@link java.util.ServiceLoader}. */
  public CudaProvider() {}

  @Override
  public String name() {
    return "cuda";
  }

  @Override
  public int priority() {
    return 20;
  }

  @Override
  public Class<CudaTensor> tensorType() {
    return CudaTensor.class;
  }

  @Override
  public Availability probe() {
    String tooOld = tooOld();
    if (tooOld != null) {
      return Availability.unavailable(tooOld, null);
    }
    try {
      return driver().probe(chosenDevice());
    } catch (IllegalArgumentException e) {
      return Availability.unavailable(String.valueOf(e.getMessage()), e);
    }
  }

  /** A backend on the device that the system property {@value #DEVICE_PROPERTY} names. */
  @Override
  public CudaBackend open() {
    return open(chosenDevice());
  }

  /**
   * A backend in a new stream, which waits for work in the legacy default stream as that waits for
   * it.
   *
   * @param device ordinal of the device, as the driver counts them
   * @throws IllegalStateException if there is no usable driver or device, with the reason
   * @throws IllegalArgumentException if there is no device of that ordinal
   */
  public static CudaBackend open(int device) {
    return driver().open(device, null);
  }

  /**
   * A backend in a stream of the caller's, which must outlive it.
   *
   * @param device ordinal of the device, as the driver counts them
   * @param stream a {@code CUstream} or {@code cudaStream_t} of the device's primary context; 0 is
   *     the default stream
   * @throws IllegalStateException if there is no usable driver or device, with the reason
   * @throws IllegalArgumentException if there is no device of that ordinal, or the stream is
   *     another device's
   */
  public static CudaBackend open(int device, long stream) {
    return driver().open(device, stream);
  }

  /**
   * Number of devices.
   *
   * @throws IllegalStateException if there is no usable driver, with the reason
   */
  public static int devices() {
    return driver().devices();
  }

  private static int chosenDevice() {
    String chosen = System.getProperty(DEVICE_PROPERTY, "0");
    try {
      return Integer.parseInt(chosen);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          DEVICE_PROPERTY + " is '" + chosen + "'; expected the ordinal of a device, such as 0", e);
    }
  }

  private static @Nullable String tooOld() {
    return Runtime.version().feature() >= FIRST_JAVA
        ? null
        : "needs Java " + FIRST_JAVA + " or newer; this is Java " + Runtime.version();
  }

  private static Driver driver() {
    String tooOld = tooOld();
    if (tooOld != null) {
      throw new IllegalStateException("backend 'cuda' " + tooOld);
    }
    try {
      return Class.forName("dev.vbn.cuda.NvidiaDriver")
          .asSubclass(Driver.class)
          .getDeclaredConstructor()
          .newInstance();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("the jar of vbn-cuda is not whole: " + e, e);
    }
  }
}
