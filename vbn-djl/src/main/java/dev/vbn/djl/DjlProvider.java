package dev.vbn.djl;

import ai.djl.Device;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.vbn.kernels.MemoryKernels;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import java.util.ArrayList;
import java.util.List;
import java.util.ServiceConfigurationError;
import java.util.concurrent.ForkJoinPool;
import java.util.function.Supplier;

/**
 * The backend {@code djl}: on the arrays of whatever engine of DJL is on the class path.
 *
 * <p>Kernels compute where their arguments are: engine and device are those of the input's manager.
 * The engine and the device chosen here are where {@link dev.vbn.VbnBackend#fromHost} makes new
 * arrays. The engine is the one that the system property {@value #ENGINE_PROPERTY} names, or else
 * DJL's own default; devices have the names that DJL gives them: {@code cpu}, {@code gpu0}.
 *
 * <p>If DJL has not been started yet, it is started without its usage report, which connects to the
 * cloud's metadata address and to Amazon: the system property {@code OPT_OUT_TRACKING} is set to
 * {@code true}, unless it or the environment variable of that name is set already.
 */
public final class DjlProvider implements VbnProvider<NDArray> {
  /** System property that names the engine, such as {@code PyTorch}. */
  public static final String ENGINE_PROPERTY = "vbn.djl.engine";

  private static final String ARTIFACTS =
      "add an engine to the class path, such as ai.djl.pytorch:pytorch-engine with"
          + " ai.djl.pytorch:pytorch-native-cpu and ai.djl.pytorch:pytorch-jni for this platform";

  private final Supplier<Engine> engine;

  /** Whether to compute on an engine's own memory where that can be. */
  private final boolean onMemory;

  /** For {@link java.util.ServiceLoader}: on the engine that the settings name. */
  public DjlProvider() {
    this(() -> Engines.find(), true); // no method reference: it would load Engines now
  }

  private DjlProvider(Supplier<Engine> engine, boolean onMemory) {
    this.engine = engine;
    this.onMemory = onMemory;
  }

  /** A provider on a given engine, for {@link dev.vbn.VbnBackend#open(VbnProvider)}. */
  public static DjlProvider on(Engine engine) {
    return new DjlProvider(() -> engine, true);
  }

  /** A provider on the engine that the settings name, whose operations compute everything. */
  static DjlProvider ofOperations() {
    return new DjlProvider(() -> Engines.find(), false);
  }

  @Override
  public String name() {
    return "djl";
  }

  @Override
  public int priority() {
    return 10;
  }

  @Override
  public TensorType<NDArray> tensorType() {
    return TensorType.of(NDArray.class);
  }

  @Override
  public Availability probe() {
    try {
      Engine found = engine.get();
      requireArithmetic(found);
      List<String> devices = new ArrayList<>();
      add(devices, found.defaultDevice());
      for (Device device : found.getDevices()) {
        add(devices, device);
      }
      add(devices, Device.cpu());
      return Availability.available(describe(found, found.defaultDevice()), devices);
    } catch (RuntimeException | LinkageError | ServiceConfigurationError e) {
      return Availability.unavailable(
          "DJL has no engine to compute with: " + e.getMessage() + "; " + ARTIFACTS, e);
    }
  }

  static String describe(Engine engine, Device device) {
    return engine.getEngineName() + " " + engine.getVersion() + " on " + nameOf(device) + ", DJL "
        + Engine.getDjlVersion();
  }

  private static String nameOf(Device device) {
    boolean cpu = Device.Type.CPU.equals(device.getDeviceType());
    return device.getDeviceType() + (cpu ? "" : device.getDeviceId());
  }

  private static void add(List<String> names, Device device) {
    String name = nameOf(device);
    if (!names.contains(name)) {
      names.add(name);
    }
  }

  /** DJL also has engines that run models and know no arithmetic. */
  private static void requireArithmetic(Engine engine) {
    try (NDManager manager = engine.newBaseManager();
        NDArray ones = manager.ones(new Shape(2));
        NDArray sum = ones.sum()) {
      if (sum.getFloat() != 2) {
        throw new IllegalStateException(
            "engine " + engine.getEngineName() + " says that 1 + 1 is " + sum.getFloat());
      }
    }
  }

  @Override
  public Kernels<NDArray> open(BackendOptions options) {
    Engine found = engine.get();
    String device = options.device();
    return new MaskedDjlKernels(new DjlKernels(
        device == null
            ? found.newBaseManager()
            : found.newBaseManager(Device.fromName(device, found)),
        onMemory && MemoryKernels.availability().available()
            ? new EngineMemory(new MemoryKernels(ForkJoinPool.commonPool(), options.parallelism()))
            : null));
  }
}
