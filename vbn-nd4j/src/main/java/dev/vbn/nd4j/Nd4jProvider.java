package dev.vbn.nd4j;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/** The backend {@code nd4j}: on ND4J's arrays in main memory, with its CPU backend. */
public final class Nd4jProvider implements VbnProvider<INDArray> {
  private static final String ARTIFACTS =
      "add org.nd4j:nd4j-native to the class path, without a classifier and with the one of this"
          + " platform";

  /** For {@link java.util.ServiceLoader}. */
  public Nd4jProvider() {}

  @Override
  public String name() {
    return "nd4j";
  }

  @Override
  public int priority() {
    return 5;
  }

  @Override
  public TensorType<INDArray> tensorType() {
    return TensorType.of(INDArray.class);
  }

  @Override
  public Availability probe() {
    try {
      String backend = Nd4j.getBackend().getClass().getSimpleName();
      if (!Nd4j.getEnvironment().isCPU()) {
        return Availability.unavailable(
            "ND4J runs on " + backend + ", whose arrays are not in main memory; " + ARTIFACTS,
            null);
      }
      return Availability.available(
          "ND4J " + backend + ", " + Runtime.getRuntime().availableProcessors() + " threads");
    } catch (RuntimeException | LinkageError e) {
      // Without a backend the first touch of Nd4j is an ExceptionInInitializerError.
      return Availability.unavailable("ND4J has no backend to compute with; " + ARTIFACTS, e);
    }
  }

  @Override
  public Kernels<INDArray> open(BackendOptions options) {
    Availability here = probe();
    if (!here.available()) {
      throw new IllegalStateException(here.description(), here.cause());
    }
    return new Nd4jKernels(options.parallelism());
  }
}
