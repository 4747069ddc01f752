package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Iterator;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/**
 * The layer: normalises a batch with the statistics of a fixed reference batch, mixed with its own.
 *
 * <p>{@link #reference} normalises the reference batch by itself and yields its statistics; {@link
 * #forward} normalises live batches with them. Batches have rank 2 to 5 and the batch axis first.
 * Immutable and safe to share between threads.
 *
 * <p>Every argument is checked here, before the backend sees it: null gets a {@link
 * NullPointerException}, a wrong shape, axis or type an {@link IllegalArgumentException}, a type or
 * a service that the backend lacks an {@link UnsupportedCapabilityException}, and use after {@link
 * #close} an {@link IllegalStateException}; each names what was given and what was expected.
 *
 * @param <T> the backend's tensor type
 */
public final class VirtualBatchNorm<T> implements AutoCloseable {
  private static final double GAMMA_MEAN = 1;
  private static final double GAMMA_DEVIATION = 0.02;

  private final VbnBackend<T> backend;
  private final VbnConfig config;
  private final @Nullable T gamma;
  private final @Nullable T beta;
  private final boolean ownsParameters;
  private final Lifetime lifetime = new Lifetime("layer");

  private VirtualBatchNorm(
      VbnBackend<T> backend,
      VbnConfig config,
      @Nullable T gamma,
      @Nullable T beta,
      boolean ownsParameters) {
    this.backend = requireNonNull(backend, "backend is null; expected an open backend");
    this.config = requireNonNull(config, "config is null; expected a VbnConfig");
    this.gamma = gamma;
    this.beta = beta;
    this.ownsParameters = ownsParameters;
    requireParameter("gamma", gamma, config.scale());
    requireParameter("beta", beta, config.center());
    if (gamma != null && beta != null && backend.dtype(gamma) != backend.dtype(beta)) {
      throw new IllegalArgumentException("gamma is " + backend.dtype(gamma) + " and beta "
          + backend.dtype(beta) + "; expected one type");
    }
  }

  /**
   * A layer with given parameters, which stay the caller's.
   *
   * @param gamma scale, shape {@code [features]}, of type {@link DType#parameterType()} of the
   *     batches; null if and only if the configuration does not scale
   * @param beta offset, likewise; null if and only if the configuration does not center
   */
  public static <T> VirtualBatchNorm<T> of(
      VbnBackend<T> backend, VbnConfig config, @Nullable T gamma, @Nullable T beta) {
    return new VirtualBatchNorm<>(backend, config, gamma, beta, false);
  }

  /**
   * A layer with gamma drawn from N(1, 0.02) and beta 0, which the layer releases when closed.
   *
   * @param dtype type of the batches
   * @param seed the same seed gives the same gamma, on every backend
   */
  public static <T> VirtualBatchNorm<T> initialized(
      VbnBackend<T> backend, VbnConfig config, DType dtype, long seed) {
    requireNonNull(backend, "backend is null; expected an open backend");
    requireNonNull(config, "config is null; expected a VbnConfig");
    requireNonNull(dtype, "dtype is null; expected the type of the batches");
    requireType(backend, "dtype", dtype);
    DType type = dtype.parameterType();
    int features = config.features();
    T gamma = null;
    if (config.scale()) {
      Random random = new Random(seed);
      double[] values = new double[features];
      Arrays.setAll(values, i -> GAMMA_MEAN + GAMMA_DEVIATION * random.nextGaussian());
      gamma = backend.fromHost(HostTensor.of(values, features), type);
    }
    try {
      T beta = config.center() ? backend.fromHost(HostTensor.zeros(type, features), type) : null;
      return new VirtualBatchNorm<>(backend, config, gamma, beta, true);
    } catch (RuntimeException e) {
      if (gamma != null) {
        backend.release(gamma);
      }
      throw e;
    }
  }

  /**
   * The reference pass: normalises the reference batch by its own statistics, as batch
   * normalization in training does, and yields them.
   */
  public ReferenceOutput<T> reference(T x) {
    Geometry geometry = requireBatch("reference batch", x);
    Normalized<T> normalized = backend.forward(x, referencePass(geometry), null, gamma, beta, null);
    return new ReferenceOutput<>(
        normalized.output(), statisticsOf(x, geometry, normalized.moments()));
  }

  /** The statistics of a reference batch, without normalising it. */
  public ReferenceStatistics<T> referenceStatistics(T x) {
    Geometry geometry = requireBatch("reference batch", x);
    return statisticsOf(x, geometry, backend.statistics(x, geometry));
  }

  /**
   * The statistics of a reference batch that comes in chunks: however it is split, the result is
   * the same up to rounding. One chunk is held at a time.
   *
   * @throws IllegalArgumentException also if there is no chunk, or the chunks' types differ
   */
  public ReferenceStatistics<T> referenceStatistics(Iterable<? extends T> chunks) {
    lifetime.requireOpen();
    requireNonNull(chunks, "chunks is null; expected chunks of the reference batch");
    Iterator<? extends T> iterator = chunks.iterator();
    if (!iterator.hasNext()) {
      throw new IllegalArgumentException("reference batch has no chunks; expected at least one");
    }
    ReferenceStatistics.Host total = null;
    DType dtype = null;
    while (iterator.hasNext()) {
      try (ReferenceStatistics<T> chunk = referenceStatistics(iterator.next())) {
        if (dtype != null && dtype != chunk.dtype()) {
          throw new IllegalArgumentException(
              "a chunk is " + chunk.dtype() + " after " + dtype + "; expected one type");
        }
        dtype = chunk.dtype();
        total = total == null ? chunk.toHost() : total.merge(chunk.toHost());
      }
    }
    return ReferenceStatistics.toBackend(backend, requireNonNull(dtype), requireNonNull(total));
  }

  /**
   * Normalises a live batch.
   *
   * @param x the live batch, of the type of the reference batch; its positions may differ
   * @param reference statistics of the reference batch
   */
  public LiveOutput<T> forward(T x, ReferenceStatistics<T> reference) {
    return forwardChecked(x, requireBatch("x", x), reference, null);
  }

  /**
   * Normalises a live batch into a given tensor.
   *
   * @param output takes the output: of the shape and type of {@code x}, or {@code x} itself
   * @throws UnsupportedCapabilityException also if the backend lacks {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   */
  public LiveOutput<T> forward(T x, ReferenceStatistics<T> reference, T output) {
    Geometry geometry = requireBatch("x", x);
    requireOutput("output", output, x);
    return forwardChecked(x, geometry, reference, output);
  }

  private LiveOutput<T> forwardChecked(
      T x, Geometry geometry, ReferenceStatistics<T> reference, @Nullable T output) {
    Normalization normalization = live(x, geometry, reference);
    Normalized<T> normalized =
        backend.forward(x, normalization, reference.moments(), gamma, beta, output);
    return new LiveOutput<>(
        normalized.output(), new MixedStatistics<>(backend, normalized.moments()));
  }

  /**
   * Gradients of {@link #forward}.
   *
   * @param x the live batch
   * @param reference the statistics it was normalised with
   * @param upstream gradient with respect to the output, of the shape and type of {@code x}
   */
  public Gradients<T> backward(T x, ReferenceStatistics<T> reference, T upstream) {
    return backwardChecked(x, requireBatch("x", x), reference, upstream, null);
  }

  /**
   * Gradients of {@link #forward}, that of the input in a given tensor.
   *
   * @param dx takes the gradient with respect to {@code x}: of its shape and type, or {@code
   *     upstream} or {@code x} itself
   * @throws UnsupportedCapabilityException also if the backend lacks {@link
   *     Capability#CALLER_SUPPLIED_OUTPUT}
   */
  public Gradients<T> backward(T x, ReferenceStatistics<T> reference, T upstream, T dx) {
    Geometry geometry = requireBatch("x", x);
    requireOutput("dx", dx, x);
    return backwardChecked(x, geometry, reference, upstream, dx);
  }

  private Gradients<T> backwardChecked(
      T x, Geometry geometry, ReferenceStatistics<T> reference, T upstream, @Nullable T dx) {
    Normalization normalization = live(x, geometry, reference);
    requireLike("upstream", upstream, x);
    return backend.backward(x, upstream, normalization, reference.moments(), gamma, dx);
  }

  /**
   * Gradients of the output of {@link #reference}: with the statistics as constants when detached,
   * the backward of batch normalization when attached.
   *
   * @param x the reference batch
   * @param reference its statistics
   * @param upstream gradient with respect to the output, of the shape and type of {@code x}
   */
  public Gradients<T> referenceBackward(T x, ReferenceStatistics<T> reference, T upstream) {
    Geometry geometry = requireBatch("reference batch", x);
    requireStatistics("reference batch", x, reference);
    requirePart(geometry, reference, config.referenceGradient() == ReferenceGradient.ATTACHED);
    requireLike("upstream", upstream, x);
    return switch (config.referenceGradient()) {
      case DETACHED ->
        backend.backward(
            x,
            upstream,
            new Normalization(
                geometry, Scope.NONE, 0, config.epsilon(), ReferenceGradient.DETACHED),
            reference.moments(),
            gamma,
            null);
      case ATTACHED -> backend.backward(x, upstream, referencePass(geometry), null, gamma, null);
    };
  }

  /**
   * Gradient that a live batch sends into the reference batch.
   *
   * @param x the reference batch, or a chunk of it
   * @param reference statistics of the whole reference batch
   * @param gradients what {@link #backward} gave for the live batch
   * @return gradient with respect to {@code x}, of its shape and type
   * @throws IllegalStateException also if this layer is {@link ReferenceGradient#DETACHED}
   */
  public T referenceGradient(T x, ReferenceStatistics<T> reference, Gradients<T> gradients) {
    Geometry geometry = requireBatch("reference batch", x);
    requireStatistics("reference batch", x, reference);
    requireNonNull(gradients, "gradients is null; expected the gradients of a live batch");
    Moments<T> gradient = gradients.reference();
    if (config.referenceGradient() != ReferenceGradient.ATTACHED || gradient == null) {
      throw new IllegalStateException(
          "a reference gradient was asked of detached statistics; expected ATTACHED");
    }
    requirePart(geometry, reference, false);
    return backend.referenceGradient(
        x, geometry, reference.moments(), gradient, reference.elements());
  }

  /** The configuration. */
  public VbnConfig config() {
    return config;
  }

  /** The scale, null if the layer does not scale. */
  public @Nullable T gamma() {
    return gamma;
  }

  /** The offset, null if the layer does not center. */
  public @Nullable T beta() {
    return beta;
  }

  /** Releases the parameters that {@link #initialized} made; harmless when repeated. */
  @Override
  public void close() {
    if (lifetime.end() && ownsParameters) {
      if (gamma != null) {
        backend.release(gamma);
      }
      if (beta != null) {
        backend.release(beta);
      }
    }
  }

  /** Features, epsilon and variant. */
  @Override
  public String toString() {
    return "VirtualBatchNorm(features=" + config.features() + ", epsilon=" + config.epsilon()
        + ", variant=" + config.variant().label() + ")";
  }

  private Normalization referencePass(Geometry geometry) {
    return new Normalization(
        geometry, Scope.BATCH, 1, config.epsilon(), config.referenceGradient());
  }

  private Normalization live(T x, Geometry geometry, ReferenceStatistics<T> reference) {
    requireStatistics("x", x, reference);
    Variant variant = config.variant();
    double weight = variant.weight(
        geometry.batch(),
        geometry.elementsPerFeature(),
        reference.examples(),
        reference.elements());
    return new Normalization(
        geometry, variant.scope(), weight, config.epsilon(), config.referenceGradient());
  }

  private ReferenceStatistics<T> statisticsOf(T x, Geometry geometry, Moments<T> moments) {
    return new ReferenceStatistics<>(
        backend,
        backend.dtype(x),
        moments,
        config.features(),
        geometry.batch(),
        geometry.elementsPerFeature());
  }

  private void requireParameter(String name, @Nullable T parameter, boolean wanted) {
    if (!wanted) {
      if (parameter != null) {
        throw new IllegalArgumentException(
            name + " was given to a layer without it; expected null");
      }
      return;
    }
    requireNonNull(parameter, name + " is null; expected shape [" + config.features() + "]");
    long[] shape = backend.shape(parameter);
    if (shape.length != 1 || shape[0] != config.features()) {
      throw new IllegalArgumentException(
          name + " has shape " + Arrays.toString(shape) + "; expected [" + config.features() + "]");
    }
    DType dtype = backend.dtype(parameter);
    if (dtype != dtype.parameterType()) {
      throw new IllegalArgumentException(name + " is " + dtype + "; expected FLOAT32 or FLOAT64");
    }
  }

  private Geometry requireBatch(String name, T x) {
    lifetime.requireOpen();
    requireNonNull(x, name + " is null; expected a batch of rank 2 to 5");
    DType dtype = backend.dtype(x);
    requireType(backend, name, dtype);
    long[] shape = backend.shape(x);
    Geometry geometry;
    try {
      geometry = Geometry.of(shape, config.featureAxis());
    } catch (IllegalArgumentException e) {
      throw new IllegalArgumentException(name + ": " + e.getMessage(), e);
    }
    if (geometry.features() != config.features()) {
      throw new IllegalArgumentException(
          name + " has " + geometry.features() + " features, shape " + Arrays.toString(shape)
              + ", feature axis " + config.featureAxis() + "; expected " + config.features());
    }
    requireParameterType(name, dtype, "gamma", gamma);
    requireParameterType(name, dtype, "beta", beta);
    return geometry;
  }

  private void requireParameterType(
      String name, DType dtype, String parameterName, @Nullable T parameter) {
    if (parameter != null && backend.dtype(parameter) != dtype.parameterType()) {
      throw new IllegalArgumentException(
          name + " is " + dtype + " and " + parameterName + " " + backend.dtype(parameter)
              + "; expected " + parameterName + " to be " + dtype.parameterType());
    }
  }

  private void requireStatistics(String name, T x, ReferenceStatistics<T> reference) {
    requireNonNull(reference, "reference is null; expected the statistics of a reference batch");
    reference.requireOpen();
    if (reference.features() != config.features()) {
      throw new IllegalArgumentException("reference statistics have " + reference.features()
          + " features; expected " + config.features());
    }
    DType dtype = backend.dtype(x);
    if (reference.dtype() != dtype) {
      throw new IllegalArgumentException(
          name + " is " + dtype + " and the reference statistics are of " + reference.dtype()
              + " batches; expected one type");
    }
    VbnBackend<T> other = reference.backend();
    if (!other.equals(backend) && other.statisticsType(dtype) != backend.statisticsType(dtype)) {
      throw new IllegalArgumentException("reference statistics are " + other.statisticsType(dtype)
          + " tensors of another backend; expected " + backend.statisticsType(dtype)
          + ": convert them with to(backend)");
    }
  }

  private static void requirePart(
      Geometry geometry, ReferenceStatistics<?> reference, boolean whole) {
    long elements = geometry.elementsPerFeature();
    if (elements > reference.elements() || (whole && elements != reference.elements())) {
      throw new IllegalArgumentException(
          "reference batch has " + elements + " elements per feature; expected "
              + (whole ? "the " : "at most ") + reference.elements() + " of its statistics");
    }
  }

  /** A tensor of the caller's, to be written to. */
  private void requireOutput(String name, T tensor, T x) {
    requireNonNull(tensor, name + " is null; expected a tensor to write to");
    requireCapability(
        backend, Capability.CALLER_SUPPLIED_OUTPUT, "a tensor for " + name + " was given");
    requireLike(name, tensor, x);
  }

  private void requireLike(String name, T tensor, T x) {
    requireNonNull(tensor, name + " is null; expected the shape of x");
    long[] shape = backend.shape(tensor);
    long[] expected = backend.shape(x);
    if (!Arrays.equals(shape, expected)) {
      throw new IllegalArgumentException(name + " has shape " + Arrays.toString(shape)
          + "; expected that of x, " + Arrays.toString(expected));
    }
    if (backend.dtype(tensor) != backend.dtype(x)) {
      throw new IllegalArgumentException(
          name + " is " + backend.dtype(tensor) + "; expected the type of x, " + backend.dtype(x));
    }
  }

  /** Refuses a type of batches that the backend lacks. */
  static void requireType(VbnBackend<?> backend, String name, DType dtype) {
    switch (dtype) {
      case FLOAT32 -> {}
      case FLOAT64 -> requireCapability(backend, Capability.FLOAT64, name + " is FLOAT64");
      case FLOAT16 -> requireCapability(backend, Capability.FLOAT16, name + " is FLOAT16");
      case BFLOAT16 -> requireCapability(backend, Capability.BFLOAT16, name + " is BFLOAT16");
    }
  }

  private static void requireCapability(
      VbnBackend<?> backend, Capability capability, String given) {
    if (!backend.capabilities().contains(capability)) {
      throw new UnsupportedCapabilityException(
          capability,
          given + ", which this backend lacks; expected a use of what it has: FLOAT32 and "
              + backend.capabilities());
    }
  }
}
