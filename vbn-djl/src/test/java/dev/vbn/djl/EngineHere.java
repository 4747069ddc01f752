package dev.vbn.djl;

import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import java.util.Arrays;
import java.util.Random;

/** The engine that the build names for this JVM; without it a test is skipped, with the reason. */
final class EngineHere implements AutoCloseable {
  final Engine engine;
  final VbnBackend<NDArray> backend;

  /** Where a caller has arrays of its own. */
  final NDManager manager;

  private EngineHere(Engine engine) {
    this.engine = engine;
    backend = VbnBackend.open(DjlProvider.on(engine));
    manager = engine.newBaseManager();
  }

  static EngineHere open() {
    VbnConformance.assumeDevice(new DjlProvider());
    return new EngineHere(Engine.getEngine(System.getProperty(DjlProvider.ENGINE_PROPERTY)));
  }

  /** Normally distributed, {@code offset + scale * value}, in memory of the engine. */
  NDArray normal(
      NDManager owner, long seed, double offset, double scale, DataType type, Shape shape) {
    Random random = new Random(seed);
    double[] values = new double[(int) shape.size()];
    Arrays.setAll(values, i -> (float) (offset + scale * random.nextGaussian()));
    if (type == DataType.FLOAT16) {
      try (NDArray wide = Workspace.copyOf(owner, values, shape, DataType.FLOAT32)) {
        return wide.toType(type, true);
      }
    }
    return Workspace.copyOf(owner, values, shape, type);
  }

  static double[] doubles(NDArray array) {
    if (array.getDataType() == DataType.FLOAT64) {
      return array.toDoubleArray();
    }
    try (NDArray wide = array.toType(DataType.FLOAT64, true)) {
      return wide.toDoubleArray();
    }
  }

  @Override
  public void close() {
    manager.close();
    backend.close();
  }
}
