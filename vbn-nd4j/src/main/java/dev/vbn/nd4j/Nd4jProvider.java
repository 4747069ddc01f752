package dev.vbn.nd4j;

import dev.vbn.kernels.MemoryKernels;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import org.jspecify.annotations.Nullable;
import org.nd4j.common.config.ND4JClassLoading;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.factory.Nd4jBackend;

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
      if (!findsBackend()) {
        return Availability.unavailable("ND4J has no backend to compute with; " + ARTIFACTS, null);
      }
      String backend = Nd4j.getBackend().getClass().getSimpleName();
      if (!Nd4j.getEnvironment().isCPU()) {
        return Availability.unavailable(
            "ND4J runs on " + backend + ", whose arrays are not in main memory; " + ARTIFACTS,
            null);
      }
      Availability kernels = MemoryKernels.availability();
      return kernels.available() ? Availability.available("ND4J " + backend) : kernels;
    } catch (RuntimeException | LinkageError e) {
      return Availability.unavailable(
          "ND4J does not start here (" + root(e) + "); " + ARTIFACTS, e);
    }
  }

  /**
   * Whether ND4J will find a backend, asked before its class {@code Nd4j} is touched: that looks for
   * one in a static initialiser, and having failed once fails for ever. It looks through the class
   * loader that was the thread's when ND4J's first class was touched, perhaps by another library,
   * perhaps in a thread that sees no backend; then through ours.
   */
  private static boolean findsBackend() {
    if (seesBackend(ND4JClassLoading.getNd4jClassloader())) {
      return true;
    }
    ClassLoader here = Thread.currentThread().getContextClassLoader();
    if (!seesBackend(here)) {
      return false;
    }
    ND4JClassLoading.setNd4jClassloader(here);
    return true;
  }

  private static boolean seesBackend(@Nullable ClassLoader loader) {
    try {
      return ServiceLoader.load(Nd4jBackend.class, loader).stream().findAny().isPresent();
    } catch (ServiceConfigurationError e) {
      return false; // what it sees belongs to another ND4J
    }
  }

  private static Throwable root(Throwable failure) {
    Throwable root = failure;
    for (Throwable cause = root.getCause(); cause != null; cause = root.getCause()) {
      root = cause;
    }
    return root;
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
