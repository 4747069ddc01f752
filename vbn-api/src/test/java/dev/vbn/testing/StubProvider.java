package dev.vbn.testing;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * A provider that keeps what is asked of it. Fixtures extend it and spoil one thing. It is loaded by
 * the tests' own class loader, so that a test can ask the provider that was found.
 *
 * @param <T> the tensor type
 */
public abstract class StubProvider<T> implements VbnProvider<T> {
  private final String name;
  private final int priority;
  private final List<RecordingKernels> opened = new ArrayList<>();
  private final List<BackendOptions> options = new ArrayList<>();
  private final List<@Nullable ClassLoader> contextLoaders = new ArrayList<>();
  private int probes;

  /** A provider without fault. */
  protected StubProvider(String name, int priority) {
    this.name = name;
    this.priority = priority;
  }

  /** How often {@link #probe} was asked. */
  public int probes() {
    return probes;
  }

  /** The kernels that {@link #open} gave, or computes on. */
  public List<RecordingKernels> opened() {
    return List.copyOf(opened);
  }

  /** What {@link #open} was given. */
  public List<BackendOptions> options() {
    return List.copyOf(options);
  }

  /** The context class loader of each {@link #probe} and {@link #open}. */
  public List<@Nullable ClassLoader> contextLoaders() {
    return new ArrayList<>(contextLoaders);
  }

  /** The device, or the reason that there is none; fixtures override it. */
  protected Availability answer() {
    return Availability.available("device of " + name);
  }

  /** What records the calls of the backend to be opened; fixtures override it. */
  protected RecordingKernels kernels() {
    return RecordingKernels.capable();
  }

  /** The kernels that are opened. */
  protected abstract Kernels<T> over(RecordingKernels kernels);

  @Override
  public String name() {
    return name;
  }

  @Override
  public int priority() {
    return priority;
  }

  @Override
  public Availability probe() {
    contextLoaders.add(Thread.currentThread().getContextClassLoader());
    probes++;
    return answer();
  }

  @Override
  public Kernels<T> open(BackendOptions how) {
    contextLoaders.add(Thread.currentThread().getContextClassLoader());
    options.add(how);
    RecordingKernels kernels = kernels();
    opened.add(kernels);
    return over(kernels);
  }
}
