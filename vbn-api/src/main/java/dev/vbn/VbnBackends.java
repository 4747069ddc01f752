package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.Collections;
import java.util.HashMap;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * The backends on the class path. {@link #open()} opens the best one available,
 * {@link #open(String)} the named one or none; {@link #open(Class)} opens one on tensors of a type.
 *
 * <p>The system property {@value #BACKEND_PROPERTY} chooses where the program names no backend and
 * there is a choice: a program that asks for tensors of a type on which the named backend does not
 * compute gets the best one that does. {@link HostTensor} goes with every backend: those on other
 * tensors are given copies.
 *
 * <p>Providers that cannot be loaded, or fail, are listed with their reason and do not affect the
 * others.
 */
public final class VbnBackends {
  /** System property that names the backend to open where the program names none. */
  public static final String BACKEND_PROPERTY = "vbn.backend";

  private static final String BY_PROPERTY =
      "; the system property " + BACKEND_PROPERTY + " asks for it";

  private static final TensorType<HostTensor> ARRAYS = TensorType.of(HostTensor.class);

  private final @Nullable ClassLoader classLoader;
  private final List<BackendCandidate> candidates;
  private final @Nullable String device;
  private final @Nullable Integer parallelism;
  private final @Nullable Map<Opening, VbnBackend<?>> shared;

  private VbnBackends(
      @Nullable ClassLoader classLoader,
      List<BackendCandidate> candidates,
      @Nullable String device,
      @Nullable Integer parallelism,
      @Nullable Map<Opening, VbnBackend<?>> shared) {
    this.classLoader = classLoader;
    this.candidates = candidates;
    this.device = device;
    this.parallelism = parallelism;
    this.shared = shared;
  }

  /** What one shared backend was opened for. */
  private record Opening(BackendCandidate candidate, boolean forArrays) {}

  /** The backends next to this API: those that its own class loader sees. */
  public static VbnBackends find() {
    return find(VbnBackends.class.getClassLoader());
  }

  /** The backends that {@code classLoader} sees; null means the system class loader. */
  public static VbnBackends find(@Nullable ClassLoader classLoader) {
    return new VbnBackends(classLoader, Discovery.find(classLoader), null, null, null);
  }

  /**
   * The same backends, opened on one of their devices: where no backend is named, on the first that
   * has a device of that name.
   *
   * @param device one of the names that {@link Availability#devices} gives
   */
  public VbnBackends withDevice(String device) {
    requireNonNull(device, "device is null; expected the name of one");
    return new VbnBackends(
        classLoader, candidates, device, parallelism, shared == null ? null : new HashMap<>());
  }

  /**
   * The same backends, opened with a number of threads.
   *
   * @param parallelism threads that one call may use at most, at least 1; backends whose library
   *     has threads of its own go by the library's setting
   * @throws IllegalArgumentException if it is below 1
   */
  public VbnBackends withParallelism(int parallelism) {
    int checked = new BackendOptions(null, parallelism).parallelism();
    return new VbnBackends(
        classLoader, candidates, device, checked, shared == null ? null : new HashMap<>());
  }

  /**
   * The same backends, each opened once: later openings give the first instance, unless it has been
   * closed. For code that hands out backends to a whole application.
   */
  public VbnBackends shared() {
    return new VbnBackends(classLoader, candidates, device, parallelism, new HashMap<>());
  }

  /** Every provider found, in the order in which {@link #open()} tries them; none is probed. */
  public List<BackendCandidate> list() {
    return candidates;
  }

  /**
   * The tensor types to ask for: {@link HostTensor}, those of the providers found, and those of VBN's
   * other backends whose library is there; asking for one of these says what to put on the class
   * path.
   */
  public Set<TensorType<?>> tensorTypes() {
    Set<TensorType<?>> types = new LinkedHashSet<>();
    types.add(ARRAYS);
    for (BackendCandidate candidate : candidates) {
      TensorType<?> type = candidate.tensorType();
      if (type != null) {
        types.add(type);
      }
    }
    types.addAll(Discovery.unserved(classLoader, candidates));
    return Collections.unmodifiableSet(types);
  }

  /**
   * Opens the backend that the system property {@value #BACKEND_PROPERTY} names, or else the
   * available one of the highest priority.
   *
   * @throws BackendUnavailableException if the named one, or every one, is unavailable
   */
  public VbnBackend<?> open() {
    BackendCandidate named = namedByProperty();
    return named != null
        ? openNamed(named, null, BY_PROPERTY)
        : openFirst(candidates.stream(), null, "no backend can be opened");
  }

  /**
   * As {@link #open()}, for tensors of type {@code tensorType}.
   *
   * @throws BackendUnavailableException if there is none
   */
  public <T> VbnBackend<T> open(Class<T> tensorType) {
    requireNonNull(tensorType, "tensorType is null; expected the class of the tensors");
    return open(TensorType.of(tensorType));
  }

  /**
   * As {@link #open(Class)}, for a tensor type that has arguments of its own.
   *
   * @throws BackendUnavailableException if there is none
   */
  public <T> VbnBackend<T> open(TensorType<T> tensorType) {
    requireNonNull(tensorType, "tensorType is null; expected the type of the tensors");
    boolean forArrays = tensorType.equals(ARRAYS);
    BackendCandidate named = namedByProperty();
    if (named != null && (forArrays || named.provider() == null || isOf(named, tensorType))) {
      return typed(openNamed(named, tensorType, BY_PROPERTY));
    }
    Stream<BackendCandidate> ofType =
        candidates.stream().filter(candidate -> isOf(candidate, tensorType));
    Stream<BackendCandidate> others = forArrays
        ? candidates.stream().filter(candidate -> !isOf(candidate, tensorType))
        : Stream.empty();
    return typed(openFirst(
        Stream.concat(ofType, others),
        tensorType,
        "no backend of tensor type " + tensorType + " can be opened" + remedy(tensorType)));
  }

  /**
   * Opens the named backend, never another.
   *
   * @throws BackendUnavailableException if there is none of that name, or it is unavailable
   * @throws IllegalArgumentException if it does not have the device asked for
   */
  public VbnBackend<?> open(String name) {
    return openNamed(named(name, ""), null, "");
  }

  /**
   * Opens the named backend, never another, for tensors of type {@code tensorType}.
   *
   * @throws BackendUnavailableException if there is none of that name and type, or it is
   *     unavailable
   * @throws IllegalArgumentException if it does not have the device asked for
   */
  public <T> VbnBackend<T> open(String name, Class<T> tensorType) {
    requireNonNull(tensorType, "tensorType is null; expected the class of the tensors");
    return open(name, TensorType.of(tensorType));
  }

  /** As {@link #open(String, Class)}, for a tensor type that has arguments of its own. */
  public <T> VbnBackend<T> open(String name, TensorType<T> tensorType) {
    requireNonNull(tensorType, "tensorType is null; expected the type of the tensors");
    BackendCandidate candidate = named(name, "");
    if (candidate.provider() != null
        && !tensorType.equals(ARRAYS)
        && !isOf(candidate, tensorType)) {
      throw unavailable("backend '" + name + "' is not of tensor type " + tensorType, Map.of());
    }
    return typed(openNamed(candidate, tensorType, ""));
  }

  private @Nullable BackendCandidate namedByProperty() {
    String name = System.getProperty(BACKEND_PROPERTY);
    return name == null ? null : named(name, BY_PROPERTY);
  }

  /** @param why who asks for it, at the end of a message; empty if the program itself does */
  private BackendCandidate named(String name, String why) {
    requireNonNull(name, "name is null; expected the name of a backend");
    return candidates.stream()
        .filter(candidate -> candidate.name().equals(name))
        .findFirst()
        .orElseThrow(() -> unavailable("no backend '" + name + "' was found" + why, Map.of()));
  }

  private String remedy(TensorType<?> wanted) {
    String artifact = Discovery.artifact(wanted, candidates);
    return artifact == null
        ? ""
        : "; add " + artifact + ", which computes on it, to the class path";
  }

  private static boolean isOf(BackendCandidate candidate, TensorType<?> wanted) {
    TensorType<?> type = candidate.tensorType();
    return type != null && matches(type, wanted);
  }

  /** A class without its arguments stands for all of them. */
  private static boolean matches(TensorType<?> type, TensorType<?> wanted) {
    return type.equals(wanted) || type.rawClass().equals(wanted.type());
  }

  /** @param wanted null for the backend's own tensor type, whatever it is */
  private VbnBackend<?> openNamed(
      BackendCandidate candidate, @Nullable TensorType<?> wanted, String why) {
    try {
      return open(candidate, wanted, options());
    } catch (BackendUnavailableException e) {
      throw unavailable(
          "backend '" + candidate.name() + "' cannot be opened" + why, Map.of(candidate, e));
    }
  }

  /** @param wanted null for the backend's own tensor type, whatever it is */
  private VbnBackend<?> openFirst(
      Stream<BackendCandidate> inOrder, @Nullable TensorType<?> wanted, String problem) {
    BackendOptions options = options();
    Map<BackendCandidate, BackendUnavailableException> failures = new LinkedHashMap<>();
    for (BackendCandidate candidate : inOrder.toList()) {
      try {
        return open(candidate, wanted, options);
      } catch (BackendUnavailableException e) {
        failures.put(candidate, e);
      } catch (IllegalArgumentException e) { // it has no such device; another may
        failures.put(
            candidate,
            new BackendUnavailableException(candidate.name() + ": " + e.getMessage(), null));
      }
    }
    throw unavailable(problem, failures);
  }

  private VbnBackend<?> open(
      BackendCandidate candidate, @Nullable TensorType<?> wanted, BackendOptions options) {
    if (shared == null) {
      return openNew(candidate, wanted, options);
    }
    // Arrays are the backend's own tensors, or else a backend opened for copies.
    boolean copies = ARRAYS.equals(wanted) && !isOf(candidate, ARRAYS);
    synchronized (shared) {
      Opening opening = new Opening(candidate, copies);
      VbnBackend<?> backend = shared.get(opening);
      if (backend == null || backend.isClosed()) {
        backend = openNew(candidate, wanted, options);
        shared.put(opening, backend);
      } else if (wanted != null && !matches(backend.tensorType(), wanted)) {
        throw ofAnotherType(backend, wanted);
      }
      return backend;
    }
  }

  private static VbnBackend<?> openNew(
      BackendCandidate candidate, @Nullable TensorType<?> wanted, BackendOptions options) {
    VbnBackend<?> backend =
        ARRAYS.equals(wanted) ? candidate.openForArrays(options) : candidate.open(options);
    if (wanted != null && !matches(backend.tensorType(), wanted)) {
      BackendUnavailableException refusal = ofAnotherType(backend, wanted);
      try {
        backend.close();
      } catch (BackendFailedException e) {
        refusal.addSuppressed(e);
      }
      throw refusal;
    }
    return backend;
  }

  private static BackendUnavailableException ofAnotherType(
      VbnBackend<?> backend, TensorType<?> wanted) {
    return new BackendUnavailableException(
        backend.name() + ": opened with tensor type " + backend.tensorType() + "; expected "
            + wanted + ", as its provider said before",
        null);
  }

  private BackendOptions options() {
    BackendOptions options =
        parallelism == null ? BackendOptions.defaults() : new BackendOptions(null, parallelism);
    return device == null ? options : options.withDevice(device);
  }

  @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"}) // opened for tensors of type T
  private static <T> VbnBackend<T> typed(VbnBackend<?> backend) {
    return (VbnBackend<T>) backend;
  }

  private BackendUnavailableException unavailable(
      String problem, Map<BackendCandidate, BackendUnavailableException> failures) {
    StringBuilder message = new StringBuilder(problem).append("; considered:");
    for (BackendCandidate candidate : candidates) {
      message.append("\n  ").append(candidate.name()).append(": ");
      message.append(verdict(candidate, failures.get(candidate)));
      TensorType<?> type = candidate.tensorType();
      if (type != null) {
        message.append(", on ").append(type);
      }
      message.append(" [").append(candidate.origin()).append(']');
    }
    if (candidates.isEmpty()) {
      message.append(" none, for ").append(seen()).append(" sees no provider");
    }
    message
        .append("\nA backend NAME is found when its jar, such as dev.vbn:vbn-NAME, is on the class")
        .append(" path; dev.vbn:vbn-reference runs everywhere.");
    if (candidates.isEmpty()) {
      message
          .append("\nWhere the jars are behind another class loader, such as a web application's,")
          .append(" pass that to VbnBackends.find(ClassLoader).");
    }
    for (String unlisted : Discovery.unlisted(classLoader, candidates)) {
      message
          .append('\n')
          .append(unlisted)
          .append(" is there, but no META-INF/services/")
          .append(VbnProvider.class.getName())
          .append(" names it: when jars are put into one, merge META-INF/services.");
    }
    Iterator<BackendUnavailableException> causes = failures.values().iterator();
    BackendUnavailableException exception = new BackendUnavailableException(
        message.toString(), causes.hasNext() ? causes.next() : null);
    causes.forEachRemaining(exception::addSuppressed);
    return exception;
  }

  private String seen() {
    return classLoader == null ? "the system class loader" : "class loader " + classLoader;
  }

  private static String verdict(
      BackendCandidate candidate, @Nullable BackendUnavailableException failure) {
    if (failure != null) {
      return requireNonNull(failure.getMessage()).substring(candidate.name().length() + 2);
    }
    Availability availability = candidate.availability();
    return availability.available() ? "available, not asked for" : availability.description();
  }
}
