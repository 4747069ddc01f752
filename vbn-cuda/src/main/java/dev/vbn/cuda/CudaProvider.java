package dev.vbn.cuda;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import org.jspecify.annotations.Nullable;

/**
 * The backend {@code cuda}: on one NVIDIA GPU, of compute capability 7.5 or newer. Its devices are
 * named by their ordinals, as the driver counts them: {@code "0"}, {@code "1"}. Each backend has a
 * stream of its own, or one {@linkplain #inStream of the caller's}.
 *
 * <p>The code that calls the driver is compiled for Java 22, and is reached from here by its name:
 * on an older Java this class still loads, and says what it needs.
 */
public final class CudaProvider implements VbnProvider<CudaTensor> {
  /** System property with the path of the driver's library, where it is not in its usual place. */
  public static final String LIBRARY_PROPERTY = "vbn.cuda.library";

  private static final int FIRST_JAVA = 22;
  private static final long PER_THREAD_STREAM = 2; // CU_STREAM_PER_THREAD

  private final @Nullable Long stream;

  /** What the code at Java 22 does for this class. */
  interface Driver {
    /** Which devices can be used. */
    Availability probe();

    /**
     * Opens one.
     *
     * @param device one that was named; null for the first
     * @param stream the caller's; null for a new one
     */
    Kernels<CudaTensor> open(@Nullable String device, @Nullable Long stream);
  }

  /**
   * For {@link java.util.ServiceLoader}, and for a backend in a new stream, which waits for work in
   * the legacy default stream, and vice versa.
   */
  public CudaProvider() {
    this(null);
  }

  private CudaProvider(@Nullable Long stream) {
    this.stream = stream;
  }

  /**
   * For a backend in a stream of the caller's, which must outlive it. It can be opened only on the
   * device whose primary context has the stream.
   *
   * @param stream a {@code CUstream} or {@code cudaStream_t}; 0 and 1 ({@code CU_STREAM_LEGACY}) are
   *     the default stream
   * @throws IllegalArgumentException if it is 2 ({@code CU_STREAM_PER_THREAD}), which is another
   *     stream in each thread
   */
  public static CudaProvider inStream(long stream) {
    if (stream == PER_THREAD_STREAM) {
      throw new IllegalArgumentException(
          "stream is 2, CU_STREAM_PER_THREAD, which is another stream in each thread; expected one"
              + " that was created, or 0 or 1 for the default stream");
    }
    return new CudaProvider(stream);
  }

  @Override
  public String name() {
    return "cuda";
  }

  @Override
  public int priority() {
    return 20;
  }

  @Override
  public TensorType<CudaTensor> tensorType() {
    return TensorType.of(CudaTensor.class);
  }

  @Override
  public Availability probe() {
    String tooOld = tooOld();
    return tooOld == null ? driver().probe() : Availability.unavailable(tooOld, null);
  }

  /**
   * {@inheritDoc} Without a device in the options, it is on the first that can be used.
   *
   * @throws IllegalStateException if there is no usable driver or device, with the reason
   * @throws IllegalArgumentException if the stream is another device's
   */
  @Override
  public Kernels<CudaTensor> open(BackendOptions options) {
    return driver().open(options.device(), stream);
  }

  private static @Nullable String tooOld() {
    return Runtime.version().feature() >= FIRST_JAVA
        ? null
        : "needs Java " + FIRST_JAVA + " or newer; this is Java " + Runtime.version();
  }

  private static Driver driver() {
    String tooOld = tooOld();
    if (tooOld != null) {
      throw new IllegalStateException("backend 'cuda' " + tooOld);
    }
    try {
      return Class.forName("dev.vbn.cuda.NvidiaDriver")
          .asSubclass(Driver.class)
          .getDeclaredConstructor()
          .newInstance();
    } catch (ReflectiveOperationException e) {
      throw new IllegalStateException("the jar of vbn-cuda is not whole: " + e, e);
    }
  }
}
