package dev.vbn.cuda;

import dev.vbn.spi.Availability;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.jspecify.annotations.Nullable;

/** Finds the driver and its devices, or says what is missing. */
final class NvidiaDriver implements CudaProvider.Driver {
  /** First version of the driver API that reads the kernels' PTX, as the driver tells it. */
  private static final int FIRST_VERSION = 10_000;

  private static final int COMPUTE_CAPABILITY_MAJOR = 75; // CUdevice_attribute
  private static final int COMPUTE_CAPABILITY_MINOR = 76;

  /** Libraries stay loaded for the life of the process; one is bound once. */
  private static final Map<String, CudaDriver> LOADED = new ConcurrentHashMap<>();

  /** Why there is no usable driver or device, in words for the user. */
  private static final class Unavailable extends Exception {
    private static final long serialVersionUID = 1;

    Unavailable(String reason, @Nullable Throwable cause) {
      super(reason, cause);
    }
  }

  @Override
  public Availability probe(int ordinal) {
    try {
      CudaDriver driver = driver();
      int count = count(driver);
      if (ordinal < 0 || ordinal >= count) {
        return Availability.unavailable(noSuchDevice(ordinal, count), null);
      }
      int device = driver.device(ordinal);
      requireCapability(driver, device, ordinal);
      return Availability.available(
          describe(driver, device) + (count == 1 ? "" : ", device " + ordinal + " of " + count));
    } catch (Unavailable e) {
      return Availability.unavailable(String.valueOf(e.getMessage()), e.getCause());
    } catch (CudaException e) {
      return Availability.unavailable(String.valueOf(e.getMessage()), e);
    }
  }

  private static String noSuchDevice(int ordinal, int count) {
    return "device is " + ordinal + "; expected 0 to " + (count - 1) + ", for the driver counts "
        + count + (count == 1 ? " device" : " devices");
  }

  private static String describe(CudaDriver driver, int device) {
    int version = driver.version();
    return driver.deviceName(device) + ", compute capability " + capability(driver, device)
        + ", driver for CUDA " + text(version);
  }

  private static String text(int version) {
    return version / 1000 + "." + version % 1000 / 10;
  }

  private static String capability(CudaDriver driver, int device) {
    return driver.attribute(device, COMPUTE_CAPABILITY_MAJOR) + "."
        + driver.attribute(device, COMPUTE_CAPABILITY_MINOR);
  }

  private static void requireCapability(CudaDriver driver, int device, int ordinal)
      throws Unavailable {
    int major = driver.attribute(device, COMPUTE_CAPABILITY_MAJOR);
    int minor = driver.attribute(device, COMPUTE_CAPABILITY_MINOR);
    if (10 * major + minor < 75) {
      throw new Unavailable(
          "device " + ordinal + ", " + driver.deviceName(device) + ", has compute capability "
              + major + "." + minor + "; expected 7.5 or newer",
          null);
    }
  }

  @Override
  public CudaBackend open(int ordinal, @Nullable Long stream) {
    try {
      CudaDriver driver = driver();
      int count = count(driver);
      if (ordinal < 0 || ordinal >= count) {
        throw new IllegalArgumentException(noSuchDevice(ordinal, count));
      }
      int device = driver.device(ordinal);
      requireCapability(driver, device, ordinal);
      return StreamBackend.open(driver, ordinal, device, stream);
    } catch (Unavailable e) {
      throw new IllegalStateException("backend 'cuda' cannot be opened: " + e.getMessage(), e);
    }
  }

  @Override
  public int devices() {
    try {
      return count(driver());
    } catch (Unavailable e) {
      throw new IllegalStateException("devices cannot be counted: " + e.getMessage(), e);
    }
  }

  /** At least 1. */
  private static int count(CudaDriver driver) throws Unavailable {
    int count = driver.deviceCount();
    if (count == 0) {
      throw new Unavailable("the NVIDIA driver sees no device", null);
    }
    return count;
  }

  private static CudaDriver driver() throws Unavailable {
    CudaDriver driver = load();
    int version = driver.version();
    if (version < FIRST_VERSION) {
      throw new Unavailable(
          "the NVIDIA driver is too old: it is for CUDA " + text(version)
              + "; expected CUDA 10.0 or newer, which is driver 410.48 or newer",
          null);
    }
    try {
      driver.init();
    } catch (CudaException e) {
      throw new Unavailable("the NVIDIA driver found no usable device: " + e.getMessage(), e);
    }
    return driver;
  }

  private static CudaDriver load() throws Unavailable {
    String named = System.getProperty(CudaProvider.LIBRARY_PROPERTY);
    List<String> names = named == null ? usualNames() : List.of(named);
    IllegalArgumentException notFound = null;
    for (String name : names) {
      try {
        return LOADED.computeIfAbsent(name, CudaDriver::load);
      } catch (IllegalArgumentException e) {
        if (notFound == null) {
          notFound = e;
        } else {
          notFound.addSuppressed(e);
        }
      } catch (IllegalCallerException e) {
        throw new Unavailable(
            "native access is denied; add --enable-native-access=" + moduleName()
                + " to the command line of Java",
            e);
      } catch (CudaDriver.MissingFunctionException e) {
        throw new Unavailable(
            name + " is no NVIDIA driver, or one too old: " + e.getMessage()
                + "; expected driver 410.48 or newer",
            e);
      }
    }
    if (named != null) {
      throw new Unavailable(
          "no " + named + ", which the system property " + CudaProvider.LIBRARY_PROPERTY
              + " names; expected the library of the NVIDIA driver",
          notFound);
    }
    throw new Unavailable(
        names.isEmpty()
            ? "no NVIDIA driver exists for " + System.getProperty("os.name")
            : "no " + names.get(0) + "; install the NVIDIA driver, or name its library by -D"
                + CudaProvider.LIBRARY_PROPERTY + "=PATH",
        notFound);
  }

  /** Where the driver's library is looked for. */
  private static List<String> usualNames() {
    String system = System.getProperty("os.name", "").toLowerCase(Locale.ROOT);
    if (system.contains("windows")) {
      return List.of("nvcuda.dll");
    }
    return system.contains("linux")
        ? List.of("libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1")
        : List.of();
  }

  private static String moduleName() {
    Module module = NvidiaDriver.class.getModule();
    return module.isNamed() ? module.getName() : "ALL-UNNAMED";
  }
}
