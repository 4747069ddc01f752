package dev.vbn.djl;

import ai.djl.engine.Engine;
import ai.djl.engine.EngineException;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;

/**
 * The backend {@code djl}: on the arrays of whatever engine of DJL is on the class path.
 *
 * <p>Kernels compute where their arguments are: engine and device are those of the input's manager.
 * The engine chosen here is where {@link VbnBackend#fromHost} makes new arrays: the one that the
 * system property {@value #ENGINE_PROPERTY} names, or else DJL's own default.
 */
public final class DjlProvider implements VbnProvider {
  /** System property that names the engine, such as {@code PyTorch}. */
  public static final String ENGINE_PROPERTY = "vbn.djl.engine";

  private static final String ARTIFACTS =
      "add an engine to the class path, such as ai.djl.pytorch:pytorch-engine with"
          + " ai.djl.pytorch:pytorch-native-cpu and ai.djl.pytorch:pytorch-jni for this platform";

  /** For {@link java.util.ServiceLoader}. */
  public DjlProvider() {}

  @Override
  public String name() {
    return "djl";
  }

  @Override
  public int priority() {
    return 10;
  }

  @Override
  public Class<NDArray> tensorType() {
    return NDArray.class;
  }

  @Override
  public Availability probe() {
    try {
      Engine engine = engine();
      requireArithmetic(engine);
      return Availability.available(engine.getEngineName() + " " + engine.getVersion() + " on "
          + engine.defaultDevice() + ", DJL " + Engine.getDjlVersion());
    } catch (EngineException
        | IllegalArgumentException
        | IllegalStateException
        | UnsupportedOperationException
        | LinkageError e) {
      return Availability.unavailable("DJL has no engine to compute with; " + ARTIFACTS, e);
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
  public VbnBackend<NDArray> open() {
    return open(engine());
  }

  /** A backend whose own arrays are {@code engine}'s. */
  public static VbnBackend<NDArray> open(Engine engine) {
    return new DjlBackend(engine);
  }

  private static Engine engine() {
    String name = System.getProperty(ENGINE_PROPERTY);
    if (name == null) {
      return Engine.getInstance();
    }
    if (!Engine.hasEngine(name)) {
      throw new IllegalArgumentException(ENGINE_PROPERTY + " is '" + name
          + "'; expected an engine on the class path, which has " + Engine.getAllEngines());
    }
    return Engine.getEngine(name);
  }
}
