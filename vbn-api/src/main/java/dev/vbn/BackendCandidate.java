package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.security.CodeSource;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;

/**
 * A provider that was found, or what is known of one that could not be loaded. Nothing is probed
 * before it is asked for.
 */
public final class BackendCandidate {
  private static final String NAME_GRAMMAR = "[a-z][a-z0-9-]{0,31}";

  private final String name;
  private final int priority;
  private final String origin;
  private final @Nullable VbnProvider<?> provider;
  private final @Nullable Availability refusal;
  private volatile @Nullable Availability lastAnswer;

  private BackendCandidate(
      String name,
      int priority,
      String origin,
      @Nullable VbnProvider<?> provider,
      @Nullable Availability refusal) {
    this.name = name;
    this.priority = priority;
    this.origin = origin;
    this.provider = provider;
    this.refusal = refusal;
    lastAnswer = refusal;
  }

  static BackendCandidate of(VbnProvider<?> provider) {
    Class<?> type = provider.getClass();
    try {
      String name = provider.name();
      if (name == null || !name.matches(NAME_GRAMMAR)) {
        return broken(
            type,
            "name is '" + name + "'; expected lower-case letters, digits and hyphens, a letter"
                + " first, at most 32",
            null);
      }
      return new BackendCandidate(name, provider.priority(), originOf(type), provider, null);
    } catch (Throwable e) {
      return broken(type, Failure.explain(e), e);
    }
  }

  /** A candidate for a provider whose class is known. */
  static BackendCandidate broken(Class<?> type, String reason, @Nullable Throwable cause) {
    return broken(type.getName(), originOf(type), reason, cause);
  }

  static BackendCandidate broken(
      String name, String origin, String reason, @Nullable Throwable cause) {
    return new BackendCandidate(
        name, Integer.MIN_VALUE, origin, null, Availability.unavailable(reason, cause));
  }

  BackendCandidate refused(String reason) {
    return new BackendCandidate(
        name, priority, origin, null, Availability.unavailable(reason, null));
  }

  private static String originOf(Class<?> type) {
    CodeSource source = type.getProtectionDomain().getCodeSource();
    return source == null || source.getLocation() == null
        ? type.getName()
        : source.getLocation().toString();
  }

  /**
   * Name by which the backend is chosen; for a provider that could not be loaded, what is known.
   */
  public String name() {
    return name;
  }

  /** Higher is preferred. */
  public int priority() {
    return priority;
  }

  /** The jar or folder that it came from. */
  public String origin() {
    return origin;
  }

  /** The provider; null if it could not be loaded or was refused. */
  public @Nullable VbnProvider<?> provider() {
    return provider;
  }

  /** Whether the backend can be opened; asks the provider each time. */
  public Availability availability() {
    if (refusal != null) {
      return refusal;
    }
    Availability answer = probe(requireNonNull(provider));
    lastAnswer = answer;
    return answer;
  }

  private static Availability probe(VbnProvider<?> provider) {
    try {
      Availability answer = withLoaderOf(provider, provider::probe);
      return answer != null
          ? answer
          : Availability.unavailable("probe() returned null; expected an Availability", null);
    } catch (Throwable e) {
      return Availability.unavailable("probe() threw " + Failure.explain(e), e);
    }
  }

  /**
   * DJL, ND4J and others look for their engines through the thread's context class loader, which in
   * the common pool or in a web application may see none of them; and where the library is shared,
   * only the caller's may see one.
   */
  private static <R> R withLoaderOf(VbnProvider<?> provider, Supplier<R> call) {
    Thread thread = Thread.currentThread();
    ClassLoader before = thread.getContextClassLoader();
    thread.setContextClassLoader(JoinedLoader.of(provider.getClass().getClassLoader(), before));
    try {
      return call.get();
    } finally {
      thread.setContextClassLoader(before);
    }
  }

  /** The tensor type that the provider states; null where it cannot be told. */
  public @Nullable TensorType<?> tensorType() {
    if (provider == null) {
      return null;
    }
    try {
      return provider.tensorType();
    } catch (Throwable e) {
      return null; // the tensor library is not on the class path: probe() has the words for it
    }
  }

  private <T> TensorType<T> requireTensorType(VbnProvider<T> provider) {
    TensorType<T> type;
    try {
      type = provider.tensorType();
    } catch (Throwable e) {
      throw unavailable("tensorType() threw " + Failure.explain(e), e);
    }
    if (type == null) {
      throw unavailable("tensorType() returned null; expected the type", null);
    }
    return type;
  }

  /**
   * Opens the backend, which the caller closes, with the default options.
   *
   * @throws BackendUnavailableException if it cannot be opened, with the reason
   */
  public VbnBackend<?> open() {
    return open(BackendOptions.defaults());
  }

  /**
   * Opens the backend, which the caller closes.
   *
   * @throws BackendUnavailableException if it cannot be opened, with the reason
   * @throws IllegalArgumentException if it has no such device
   */
  public VbnBackend<?> open(BackendOptions options) {
    requireNonNull(options, "options is null; expected BackendOptions.defaults()");
    Availability answer = requireAvailable(options);
    return open(requireNonNull(provider), answer, options);
  }

  private <T> VbnBackend<T> open(
      VbnProvider<T> opener, Availability answer, BackendOptions options) {
    requireTensorType(opener);
    Kernels<T> kernels = kernels(opener, options);
    return handle(answer, options, kernels, () -> requireTensorType(opener), () -> kernels);
  }

  /** Opens the backend for plain arrays, whatever its own tensors are. */
  VbnBackend<HostTensor> openForArrays(BackendOptions options) {
    Availability answer = requireAvailable(options);
    VbnProvider<?> opener = requireNonNull(provider);
    TensorType<HostTensor> arrays = TensorType.of(HostTensor.class);
    if (requireTensorType(opener).equals(arrays)) {
      @SuppressWarnings("unchecked") // the provider's own type token says so
      VbnProvider<HostTensor> onArrays = (VbnProvider<HostTensor>) opener;
      return open(onArrays, answer, options);
    }
    Kernels<?> kernels = kernels(opener, options);
    return handle(answer, options, kernels, () -> arrays, () -> new HostKernels<>(kernels));
  }

  private Availability requireAvailable(BackendOptions options) {
    Availability answer = availability();
    if (provider == null || !answer.available()) {
      throw unavailable(answer.description(), answer.cause());
    }
    String device = options.device();
    if (device != null && !answer.devices().contains(device)) {
      throw new IllegalArgumentException("device is '" + device + "'; expected "
          + (answer.devices().isEmpty()
              ? "none, for backend '" + name + "' has no choice of them"
              : "one of backend '" + name + "': " + String.join(", ", answer.devices())));
    }
    return answer;
  }

  private <T> Kernels<T> kernels(VbnProvider<T> opener, BackendOptions options) {
    Kernels<T> kernels;
    try {
      kernels = withLoaderOf(opener, () -> opener.open(options));
    } catch (Throwable e) {
      throw unavailable("open() threw " + Failure.explain(e), e);
    }
    if (kernels == null) {
      throw unavailable("open() returned null; expected kernels", null);
    }
    return kernels;
  }

  /** Closes what was opened if the handle to it cannot be made. */
  private <T> VbnBackend<T> handle(
      Availability answer,
      BackendOptions options,
      Kernels<?> opened,
      Supplier<TensorType<T>> tensorType,
      Supplier<Kernels<T>> kernels) {
    try {
      return new VbnBackend<>(
          name, description(opened, answer, options), tensorType.get(), kernels.get());
    } catch (Throwable e) {
      BackendUnavailableException failure =
          unavailable("what it opened cannot be used: " + Failure.explain(e), e);
      try {
        opened.close();
      } catch (Throwable closing) {
        failure.addSuppressed(closing);
      }
      throw failure;
    }
  }

  /** What the opened backend says; else the device asked for, or by default what probing said. */
  private static String description(
      Kernels<?> opened, Availability answer, BackendOptions options) {
    String description = opened.description();
    if (description != null) {
      return description;
    }
    String device = options.device();
    return device == null || answer.devices().size() == 1
        ? answer.description()
        : "device " + device;
  }

  private BackendUnavailableException unavailable(String reason, @Nullable Throwable cause) {
    return new BackendUnavailableException(name + ": " + reason, cause);
  }

  /** Name, origin and what is known of the availability without asking. */
  @Override
  public String toString() {
    Availability known = lastAnswer;
    return name + " (" + origin
        + (known == null ? "" : known.available() ? ", available" : ", unavailable") + ")";
  }
}
