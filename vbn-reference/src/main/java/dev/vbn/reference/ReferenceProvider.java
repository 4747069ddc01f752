package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;

/**
 * The backend {@code reference}: always available, and opened where nothing better is.
 *
 * <p>It computes with SIMD instructions where the JVM was started with {@code --add-modules
 * jdk.incubator.vector}. The system property {@code vbn.reference.kernel} asks for {@code scalar} or
 * {@code simd}; without what it asks for, the backend is not available.
 */
public final class ReferenceProvider implements VbnProvider {
  private final Workers workers;

  /** For {@link java.util.ServiceLoader}: the common pool, and a thread for every processor. */
  public ReferenceProvider() {
    this(ForkJoinPool.commonPool(), Runtime.getRuntime().availableProcessors());
  }

  /**
   * Large batches are spread over threads of {@code executor} and the calling one. Results do not
   * depend on their number.
   *
   * @param executor stays the caller's; a busy one costs speed, and blocks nothing
   * @param parallelism threads at most, the calling one included; 1 for that one alone
   * @throws IllegalArgumentException if {@code parallelism} is below 1
   * @throws NullPointerException if {@code executor} is null
   */
  public ReferenceProvider(Executor executor, int parallelism) {
    requireNonNull(executor, "executor is null; expected one to run tasks on");
    if (parallelism < 1) {
      throw new IllegalArgumentException("parallelism is " + parallelism + "; expected 1 or more");
    }
    workers = new Workers(executor, parallelism);
  }

  @Override
  public String name() {
    return "reference";
  }

  @Override
  public int priority() {
    return 0;
  }

  @Override
  public Class<HostTensor> tensorType() {
    return HostTensor.class;
  }

  @Override
  public Availability probe() {
    Kernels kernels = Kernels.chosen();
    return kernels.available()
        ? Availability.available("CPU, plain Java " + Runtime.version().feature() + ", "
            + workers.parallelism + " threads, " + kernels.description())
        : Availability.unavailable(kernels.description(), kernels.failure());
  }

  @Override
  public VbnBackend<HostTensor> open() {
    return new ReferenceBackend(Kernels.chosen(), workers);
  }
}
