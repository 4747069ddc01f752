package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * The backends on the class path. {@link #open()} opens the best one available, {@link
 * #open(String)} the named one or none.
 *
 * <p>Providers that cannot be loaded, or fail, are listed with their reason and disturb no other.
 */
public final class VbnBackends {
  /** System property that names the backend to open where the program names none. */
  public static final String BACKEND_PROPERTY = "vbn.backend";

  private final List<BackendCandidate> candidates;

  private VbnBackends(List<BackendCandidate> candidates) {
    this.candidates = candidates;
  }

  /** The backends beside this API: those that its own class loader sees. */
  public static VbnBackends find() {
    return find(VbnBackends.class.getClassLoader());
  }

  /** The backends that {@code classLoader} sees; null means the system class loader. */
  public static VbnBackends find(@Nullable ClassLoader classLoader) {
    return new VbnBackends(Discovery.find(classLoader));
  }

  /** Every provider found, in the order in which {@link #open()} tries them; none is probed. */
  public List<BackendCandidate> list() {
    return candidates;
  }

  /**
   * Opens the backend that the system property {@value #BACKEND_PROPERTY} names, or else the
   * available one of the highest priority.
   *
   * @throws BackendUnavailableException if the named one, or every one, is unavailable
   */
  public VbnBackend<?> open() {
    return openBest(candidate -> true, "any tensor type");
  }

  /**
   * As {@link #open()}, among the backends on tensors of type {@code tensorType}.
   *
   * @throws BackendUnavailableException if there is none
   */
  public <T> VbnBackend<T> open(Class<T> tensorType) {
    requireNonNull(tensorType, "tensorType is null; expected the class of the tensors");
    return typed(
        openBest(
            candidate -> tensorType.equals(candidate.tensorType()),
            "tensor type " + tensorType.getName()),
        tensorType);
  }

  /**
   * Opens the named backend, never another.
   *
   * @throws BackendUnavailableException if there is none of that name, or it is unavailable
   */
  public VbnBackend<?> open(String name) {
    requireNonNull(name, "name is null; expected the name of a backend");
    return openNamed(name, candidate -> true, "any tensor type");
  }

  private VbnBackend<?> openNamed(String name, Predicate<BackendCandidate> wanted, String what) {
    for (BackendCandidate candidate : candidates) {
      if (candidate.name().equals(name)) {
        if (candidate.provider() != null && !wanted.test(candidate)) {
          throw unavailable("backend '" + name + "' is not of " + what, Map.of());
        }
        try {
          return candidate.open();
        } catch (BackendUnavailableException e) {
          throw unavailable("backend '" + name + "' cannot be opened", Map.of(candidate, e));
        }
      }
    }
    throw unavailable("no backend '" + name + "' was found", Map.of());
  }

  private VbnBackend<?> openBest(Predicate<BackendCandidate> wanted, String what) {
    String name = System.getProperty(BACKEND_PROPERTY);
    if (name != null) {
      return openNamed(name, wanted, what);
    }
    Map<BackendCandidate, BackendUnavailableException> failures = new LinkedHashMap<>();
    for (BackendCandidate candidate : candidates) {
      if (wanted.test(candidate)) {
        try {
          return candidate.open();
        } catch (BackendUnavailableException e) {
          failures.put(candidate, e);
        }
      }
    }
    throw unavailable("no backend of " + what + " can be opened", failures);
  }

  private static <T> VbnBackend<T> typed(VbnBackend<?> backend, Class<T> tensorType) {
    if (!tensorType.equals(backend.tensorType())) {
      backend.close();
      throw new BackendUnavailableException("the opened backend has tensor type "
          + backend.tensorType() + "; expected " + tensorType.getName() + ", as its provider says");
    }
    @SuppressWarnings("unchecked") // the backend's own type token says so
    VbnBackend<T> result = (VbnBackend<T>) backend;
    return result;
  }

  private BackendUnavailableException unavailable(
      String problem, Map<BackendCandidate, BackendUnavailableException> failures) {
    StringBuilder message = new StringBuilder(problem).append("; considered:");
    for (BackendCandidate candidate : candidates) {
      message.append("\n  ").append(candidate.name()).append(": ");
      message.append(verdict(candidate, failures.get(candidate)));
      message.append(" [").append(candidate.origin()).append(']');
    }
    if (candidates.isEmpty()) {
      message.append(" none, for the class path holds no provider");
    }
    message
        .append("\nA backend NAME is found when its jar, such as dev.vbn:vbn-NAME, is on the class")
        .append(" path; dev.vbn:vbn-reference runs everywhere.");
    BackendUnavailableException exception = new BackendUnavailableException(message.toString());
    failures.values().forEach(exception::addSuppressed);
    return exception;
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
