package dev.vbn.cuda;

import dev.vbn.spi.Availability;
import dev.vbn.spi.Kernels;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** Finds the driver and its devices, or says what is missing. */
final class NvidiaDriver implements CudaProvider.Driver {
  /** First version of the driver API that reads the kernels' PTX, as the driver tells it. */
  private static final int FIRST_VERSION = 10_000;

  private static final int FIRST_CAPABILITY = 75;
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
  public Availability probe() {
    try {
      CudaDriver driver = driver();
      List<Integer> usable = usable(driver);
      return Availability.available(
          describe(driver, usable, usable), usable.stream().map(String::valueOf).toList());
    } catch (Unavailable e) {
      return Availability.unavailable(String.valueOf(e.getMessage()), e.getCause());
    } catch (CudaException e) {
      return Availability.unavailable(String.valueOf(e.getMessage()), e);
    }
  }

  /** Ordinals of the devices that the kernels run on; at least one. */
  private static List<Integer> usable(CudaDriver driver) throws Unavailable {
    int count = driver.deviceCount();
    if (count == 0) {
      throw new Unavailable("the NVIDIA driver sees no device", null);
    }
    List<Integer> usable = new ArrayList<>();
    List<String> tooOld = new ArrayList<>();
    for (int ordinal = 0; ordinal < count; ordinal++) {
      int device = driver.device(ordinal);
      if (10 * major(driver, device) + minor(driver, device) >= FIRST_CAPABILITY) {
        usable.add(ordinal);
      } else {
        tooOld.add("device " + ordinal + ", " + describe(driver, device));
      }
    }
    if (usable.isEmpty()) {
      throw new Unavailable(
          String.join("; ", tooOld) + "; expected compute capability 7.5 or newer", null);
    }
    return usable;
  }

  /** Devices with the driver; by their ordinals too where there is a choice. */
  private static String describe(CudaDriver driver, List<Integer> ordinals, List<Integer> choice) {
    return ordinals.stream()
        .map(ordinal ->
            (choice.size() == 1 ? "" : ordinal + ": ") + describe(driver, driver.device(ordinal)))
        .collect(Collectors.joining(", ", "", ", driver for CUDA " + text(driver.version())));
  }

  private static String describe(CudaDriver driver, int device) {
    return driver.deviceName(device) + ", compute capability " + major(driver, device) + "."
        + minor(driver, device);
  }

  private static int major(CudaDriver driver, int device) {
    return driver.attribute(device, COMPUTE_CAPABILITY_MAJOR);
  }

  private static int minor(CudaDriver driver, int device) {
    return driver.attribute(device, COMPUTE_CAPABILITY_MINOR);
  }

  /** A version of the driver API, in words. */
  private static String text(int version) {
    return version / 1000 + "." + version % 1000 / 10;
  }

  @Override
  public Kernels<CudaTensor> open(@Nullable String device, @Nullable Long stream) {
    try {
      CudaDriver driver = driver();
      List<Integer> usable = usable(driver);
      int ordinal = device == null ? usable.get(0) : Integer.parseInt(device);
      return StreamBackend.open(
          driver,
          ordinal,
          driver.device(ordinal),
          stream,
          describe(driver, List.of(ordinal), usable));
    } catch (Unavailable e) {
      throw new IllegalStateException(e.getMessage(), e);
    }
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
