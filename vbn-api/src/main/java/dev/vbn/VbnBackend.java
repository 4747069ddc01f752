package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.GroupLines;
import dev.vbn.spi.GroupSums;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.MaskedKernels;
import dev.vbn.spi.MemoryRange;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.spi.UnsupportedCapabilityException;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import java.util.concurrent.atomic.LongAdder;
import org.jspecify.annotations.Nullable;

/**
 * An open backend: makes, shows and frees tensors of type {@code T}, and computes for the
 * {@link VirtualBatchNorm} layers made on it. Safe to share between threads.
 *
 * <p>After {@link #close} every use of it throws {@link IllegalStateException}, except
 * {@link #release} and closing what it gave, which stay harmless. If the backend itself fails, a
 * {@link BackendFailedException} has the backend's own exception as its cause.
 *
 * @param <T> the tensor type
 */
public final class VbnBackend<T> implements AutoCloseable {
  private final String name;
  private final String description;
  private final TensorType<T> tensorType;
  private final Kernels<T> kernels;
  private final TensorAccess<T> tensors;
  private final Set<Capability> capabilities;
  private final LongAdder openTensors = new LongAdder();
  private final Lifetime lifetime;

  VbnBackend(String name, String description, TensorType<T> tensorType, Kernels<T> kernels) {
    this.name = name;
    this.description = description;
    this.tensorType = tensorType;
    this.kernels = kernels;
    tensors = requireNonNull(kernels.tensors(), "tensors() returned null; expected the access");
    EnumSet<Capability> declared = EnumSet.noneOf(Capability.class);
    declared.addAll(
        requireNonNull(kernels.capabilities(), "capabilities() returned null; expected a set"));
    if (declared.contains(Capability.FLOAT64)
        && !declared.contains(Capability.FLOAT64_STATISTICS)) {
      throw new IllegalStateException("capabilities are " + declared
          + "; expected FLOAT64_STATISTICS with FLOAT64, which cannot do without");
    }
    capabilities = Collections.unmodifiableSet(declared);
    lifetime = new Lifetime("backend '" + name + "'");
  }

  /**
   * Opens the backend of a provider that the program names itself, with the default options.
   *
   * @throws BackendUnavailableException if it cannot be opened, with the reason
   */
  public static <T> VbnBackend<T> open(VbnProvider<T> provider) {
    return open(provider, BackendOptions.defaults());
  }

  /**
   * As {@link #open(VbnProvider)}, with a device or a number of threads.
   *
   * @throws IllegalArgumentException if the provider has no such device
   */
  public static <T> VbnBackend<T> open(VbnProvider<T> provider, BackendOptions options) {
    requireNonNull(provider, "provider is null; expected one to open a backend of");
    requireNonNull(options, "options is null; expected BackendOptions.defaults()");
    @SuppressWarnings("unchecked") // a candidate opens its own provider
    VbnBackend<T> backend = (VbnBackend<T>) BackendCandidate.of(provider).open(options);
    return backend;
  }

  /** The provider's name. */
  public String name() {
    return name;
  }

  /** The device that was opened and the library that computes, in words. */
  public String description() {
    return description;
  }

  /** The tensor type. */
  public TensorType<T> tensorType() {
    return tensorType;
  }

  /** The optional capabilities that this backend has. */
  public Set<Capability> capabilities() {
    return capabilities;
  }

  /**
   * What the provider opened, even if wrapped in {@link MaskedKernels}, for what it offers beyond
   * every backend: for instance {@code unwrap(CudaBackend.class)} to allocate device memory and to
   * wait for it.
   *
   * @throws IllegalArgumentException if it is of another class
   * @throws IllegalStateException if closed
   */
  public <X> X unwrap(Class<X> type) {
    lifetime.requireOpen();
    requireNonNull(type, "type is null; expected the class of what the provider opened");
    Kernels<?> opened = kernels instanceof HostKernels<?> copies ? copies.kernels() : kernels;
    if (opened instanceof MaskedKernels<?> masked) {
      opened = masked.kernels();
    }
    if (!type.isInstance(opened)) {
      throw new IllegalArgumentException("backend '" + name + "' is a "
          + opened.getClass().getName() + "; expected a " + type.getName());
    }
    return type.cast(opened);
  }

  /**
   * Type of the statistics and of gradients with respect to them: {@link DType#FLOAT64} with {@link
   * Capability#FLOAT64_STATISTICS}, else {@link DType#FLOAT32}.
   */
  public DType statisticsType() {
    return capabilities.contains(Capability.FLOAT64_STATISTICS) ? DType.FLOAT64 : DType.FLOAT32;
  }

  /**
   * Lengths of a tensor's axes, outermost first.
   *
   * @throws IllegalArgumentException if the tensor is another backend's and cannot be used here
   */
  public long[] shape(T tensor) {
    lifetime.requireOpen();
    requireNonNull(tensor, "tensor is null; expected one to look at");
    try {
      return notNull("shape", tensors.shape(tensor));
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw e; // the caller's mistake, as the SPI says
    } catch (Throwable e) {
      throw failed("shape", e);
    }
  }

  /**
   * Element type of a tensor.
   *
   * @throws IllegalArgumentException if the tensor's type has no {@link DType}, or as {@link #shape}
   */
  public DType dtype(T tensor) {
    lifetime.requireOpen();
    requireNonNull(tensor, "tensor is null; expected one to look at");
    try {
      return notNull("dtype", tensors.dtype(tensor));
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw e; // the caller's mistake, as the SPI says
    } catch (Throwable e) {
      throw failed("dtype", e);
    }
  }

  /** A new tensor of the host tensor's shape, type and elements. */
  public T fromHost(HostTensor host) {
    requireNonNull(host, "host is null; expected a tensor to copy");
    return fromHost(host, host.dtype());
  }

  /**
   * A new tensor of the host tensor's shape and elements, rounded to nearest even.
   *
   * @throws UnsupportedCapabilityException if this backend has no tensors of {@code dtype}
   * @throws IllegalArgumentException if its library has no tensor of that size
   */
  public T fromHost(HostTensor host, DType dtype) {
    lifetime.requireOpen();
    requireNonNull(host, "host is null; expected a tensor to copy");
    requireNonNull(dtype, "dtype is null; expected the type of the new tensor");
    if (dtype != statisticsType()) {
      requireBatchType("dtype", dtype);
    }
    try {
      return made("fromHost", tensors.fromHost(host, dtype));
    } catch (IllegalArgumentException e) {
      throw e; // the caller's mistake, as the SPI says
    } catch (Throwable e) {
      throw failed("fromHost", e);
    }
  }

  /**
   * A copy of the tensor on the host, of type {@link DType#hostType()}.
   *
   * @throws IllegalArgumentException if no host tensor is that large, or as {@link #shape}
   */
  public HostTensor toHost(T tensor) {
    lifetime.requireOpen();
    requireNonNull(tensor, "tensor is null; expected one to copy");
    try {
      return notNull("toHost", tensors.toHost(tensor));
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw e; // the caller's mistake, as the SPI says
    } catch (Throwable e) {
      throw failed("toHost", e);
    }
  }

  /**
   * Frees a tensor that this backend made: one of {@link #fromHost}, or one taken out of a result.
   * Harmless when repeated, and after {@link #close}. Where tensors are garbage-collected, only
   * code that is to run on any backend needs it.
   */
  public void release(T tensor) {
    requireNonNull(tensor, "tensor is null; expected one to free");
    openTensors.decrement();
    try {
      tensors.release(tensor);
    } catch (Throwable e) {
      throw failed("release", e);
    }
  }

  /**
   * Tensors that this backend has made, less those released or closed with a result: above 0 in a
   * program that leaks some, below 0 in one that releases some twice.
   */
  public long openTensors() {
    return openTensors.sum();
  }

  /** Frees what the backend holds; harmless when repeated. */
  @Override
  public void close() {
    if (lifetime.end()) {
      try {
        kernels.close();
      } catch (Throwable e) {
        throw new BackendFailedException(name, "close", e);
      }
    }
  }

  /** Name, tensor type and description. */
  @Override
  public String toString() {
    return "VbnBackend '" + name + "' of " + tensorType + " (" + description + ")";
  }

  boolean isClosed() {
    return lifetime.hasEnded();
  }

  void requireOpen() {
    lifetime.requireOpen();
  }

  /** Refuses a batch type that the backend lacks. */
  void requireBatchType(String what, DType dtype) {
    Capability needed = Capability.of(dtype).orElse(null);
    if (needed != null) {
      require(needed, what + " is " + dtype);
    }
  }

  void require(Capability capability, String given) {
    if (!capabilities.contains(capability)) {
      throw new UnsupportedCapabilityException(
          capability,
          given + ", which backend '" + name
              + "' lacks; expected a use of what it has: FLOAT32 and " + capabilities);
    }
  }

  /** Refuses memory that is to be written and overlaps what is read without being the same. */
  void requireApart(String writtenName, T written, String readName, T read) {
    requireApart(writtenName, memory(written), readName, memory(read), true);
  }

  /** Refuses memory that is to be written and overlaps what is read. */
  void requireDisjoint(String writtenName, T written, String readName, T read) {
    requireApart(writtenName, memory(written), readName, memory(read), false);
  }

  private static void requireApart(
      String writtenName,
      @Nullable MemoryRange written,
      String readName,
      @Nullable MemoryRange read,
      boolean orSame) {
    if (written == null || read == null || (orSame && written.same(read))) {
      return; // before the search for an overlap, which takes as long as a small call
    }
    if (written.overlaps(read)) {
      throw new IllegalArgumentException(
          writtenName + " is at " + written + " and overlaps " + readName + " at " + read
              + "; expected " + (orSame ? "the same elements in the same order, or " : "")
              + "memory apart");
    }
  }

  private @Nullable MemoryRange memory(T tensor) {
    try {
      return tensors.memory(tensor);
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw e; // the caller's mistake, as the SPI says
    } catch (Throwable e) {
      throw failed("memory", e);
    }
  }

  Moments<T> statistics(T x, Geometry geometry, Scope scope) {
    requireOpen();
    try {
      Moments<T> result = notNull("statistics", kernels.statistics(x, geometry, scope));
      made("statistics", Arrays.asList(result.mean(), result.variance()));
      return result;
    } catch (Throwable e) {
      throw failed("statistics", e);
    }
  }

  Normalized<T> reference(T x, Normalization how, @Nullable T gamma, @Nullable T beta) {
    requireOpen();
    try {
      Normalized<T> result = notNull("reference", kernels.reference(x, how, gamma, beta));
      Moments<T> statistics = result.statistics();
      made("reference", Arrays.asList(result.output(), meanOf(statistics), varianceOf(statistics)));
      return result;
    } catch (Throwable e) {
      throw failed("reference", e);
    }
  }

  T forward(
      T x,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma,
      @Nullable T beta,
      @Nullable T output) {
    requireOpen();
    try {
      T result = notNull("forward", kernels.forward(x, how, reference, gamma, beta, output));
      return output != null ? output : made("forward", result);
    } catch (Throwable e) {
      throw failed("forward", e);
    }
  }

  Differentiated<T> backward(
      T x, T upstream, Normalization how, Moments<T> reference, @Nullable T gamma, @Nullable T dx) {
    requireOpen();
    try {
      Differentiated<T> result =
          notNull("backward", kernels.backward(x, upstream, how, reference, gamma, dx));
      List<@Nullable T> made = new ArrayList<>(5);
      if (dx == null) {
        made.add(result.dx());
      }
      made.add(result.dgamma());
      made.add(result.dbeta());
      Moments<T> dreference = result.dreference();
      if (dreference != null || how.referenceGradient() == ReferenceGradient.ATTACHED) {
        made.add(meanOf(dreference));
        made.add(varianceOf(dreference));
      }
      made("backward", made);
      return result;
    } catch (Throwable e) {
      throw failed("backward", e);
    }
  }

  TwiceDifferentiated<T> doubleBackward(
      T x,
      T upstream,
      GradientUpstream<T> second,
      Normalization how,
      Moments<T> reference,
      @Nullable T gamma) {
    requireOpen();
    try {
      TwiceDifferentiated<T> result = notNull(
          "doubleBackward", kernels.doubleBackward(x, upstream, second, how, reference, gamma));
      made("doubleBackward", Arrays.asList(result.x(), result.upstream(), result.gamma()));
      return result;
    } catch (Throwable e) {
      throw failed("doubleBackward", e);
    }
  }

  T referenceGradient(
      T r, Geometry geometry, Moments<T> statistics, Moments<T> gradient, long elements) {
    requireOpen();
    try {
      return made(
          "referenceGradient",
          kernels.referenceGradient(r, geometry, statistics, gradient, elements));
    } catch (Throwable e) {
      throw failed("referenceGradient", e);
    }
  }

  GroupSums sums(T x, T upstream, Normalization how, Moments<T> reference) {
    requireOpen();
    try {
      GroupSums sums = notNull("sums", kernels.sums(x, upstream, how, reference));
      long expected = how.groups() * how.geometry().features();
      requireLength("a", notNull("sums", sums.upstream()), expected);
      requireLength("b", notNull("sums", sums.upstreamInput()), expected);
      return sums;
    } catch (Throwable e) {
      throw failed("sums", e);
    }
  }

  private void requireLength(String name, double[] sums, long expected) {
    if (sums.length != expected) {
      throw new BackendFailedException(
          this.name,
          "sums",
          "gave " + sums.length + " of " + name + "; expected " + expected
              + ", one for each group and feature");
    }
  }

  T write(
      T x,
      @Nullable T upstream,
      Geometry geometry,
      Scope scope,
      GroupLines lines,
      @Nullable T output) {
    requireOpen();
    try {
      T result = notNull("write", kernels.write(x, upstream, geometry, scope, lines, output));
      return output != null ? output : made("write", result);
    } catch (Throwable e) {
      throw failed("write", e);
    }
  }

  /** Frees both tensors, the second even if the first cannot be freed. */
  void releaseBoth(Moments<T> moments) {
    try {
      release(moments.mean());
    } finally {
      release(moments.variance());
    }
  }

  /** Frees a tensor after a failure, which stays the one that is reported. */
  void releaseAfter(Throwable failure, T tensor) {
    try {
      release(tensor);
    } catch (RuntimeException | Error e) {
      failure.addSuppressed(e);
    }
  }

  /** Counts a tensor that the backend has made. */
  private T made(String call, @Nullable T tensor) {
    T result = notNull(call, tensor);
    openTensors.increment();
    return result;
  }

  /** Counts the tensors that the backend has made; where one is missing, the others are freed. */
  private void made(String call, List<@Nullable T> tensors) {
    openTensors.add(tensors.size());
    if (tensors.contains(null)) {
      BackendFailedException failure = gaveNull(call);
      for (T tensor : tensors) {
        if (tensor == null) {
          openTensors.decrement();
        } else {
          releaseAfter(failure, tensor);
        }
      }
      throw failure;
    }
  }

  private static <T> @Nullable T meanOf(@Nullable Moments<T> moments) {
    return moments == null ? null : moments.mean();
  }

  private static <T> @Nullable T varianceOf(@Nullable Moments<T> moments) {
    return moments == null ? null : moments.variance();
  }

  private <X> X notNull(String call, @Nullable X result) {
    if (result == null) {
      throw gaveNull(call);
    }
    return result;
  }

  private BackendFailedException gaveNull(String call) {
    return new BackendFailedException(name, call, "gave null; expected a result");
  }

  /** Except for what the JVM itself lacks, such as memory, which says nothing about the backend. */
  private BackendFailedException failed(String call, Throwable cause) {
    if (cause instanceof VirtualMachineError error) {
      throw error;
    }
    return cause instanceof BackendFailedException known
        ? known
        : new BackendFailedException(name, call, cause);
  }
}
