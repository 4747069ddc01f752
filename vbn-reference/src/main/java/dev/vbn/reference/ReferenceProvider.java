package dev.vbn.reference;

import static java.util.Objects.requireNonNull;

import dev.vbn.kernels.MemoryKernels;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;

/**
 * The backend {@code reference}: always available, and opened where there is nothing better.
 *
 * <p>It computes with SIMD instructions where the JVM was started with {@code --add-modules
 * jdk.incubator.vector}. The system property {@code vbn.kernel} asks for {@code scalar} or
 * {@code simd}; if that is missing, the backend is not available.
 *
 * <p>Large batches are spread over the calling thread and, with {@link BackendOptions#parallelism},
 * others. Results do not depend on their number.
 */
public final class ReferenceProvider implements VbnProvider<HostTensor> {
  private final Executor executor;

  /** For {@link java.util.ServiceLoader}: other threads are those of the common pool. */
  public ReferenceProvider() {
    this(ForkJoinPool.commonPool());
  }

  /**
   * With threads other than those of the common pool.
   *
   * @param executor stays the caller's; one that is busy or refuses costs speed, and blocks nothing
   * @throws NullPointerException if {@code executor} is null
   */
  public ReferenceProvider(Executor executor) {
    this.executor = requireNonNull(executor, "executor is null; expected one to run tasks on");
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
  public TensorType<HostTensor> tensorType() {
    return TensorType.of(HostTensor.class);
  }

  @Override
  public Availability probe() {
    Availability kernels = MemoryKernels.availability();
    return kernels.available()
        ? Availability.available(
            "CPU, plain Java " + Runtime.version().feature() + ", " + kernels.description())
        : kernels;
  }

  @Override
  public Kernels<HostTensor> open(BackendOptions options) {
    return new ReferenceBackend(new MemoryKernels(executor, options.parallelism()));
  }
}
