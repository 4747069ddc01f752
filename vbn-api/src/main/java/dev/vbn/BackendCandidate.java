package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import dev.vbn.spi.VbnProvider;
import java.security.CodeSource;
import org.jspecify.annotations.Nullable;

/**
 * A provider that was found, or what is known of one that could not be loaded. Nothing is probed
 * before it is asked for, and then once.
 */
public final class BackendCandidate {
  private static final String NAME_GRAMMAR = "[a-z][a-z0-9-]{0,31}";

  private final String name;
  private final int priority;
  private final String origin;
  private final @Nullable VbnProvider provider;
  private @Nullable Availability availability;

  private BackendCandidate(
      String name,
      int priority,
      String origin,
      @Nullable VbnProvider provider,
      @Nullable Availability availability) {
    this.name = name;
    this.priority = priority;
    this.origin = origin;
    this.provider = provider;
    this.availability = availability;
  }

  static BackendCandidate of(VbnProvider provider) {
    String className = provider.getClass().getName();
    String origin = originOf(provider.getClass());
    try {
      String name = provider.name();
      if (name == null || !name.matches(NAME_GRAMMAR)) {
        return broken(
            className,
            origin,
            "name is '" + name + "'; expected lower-case letters, digits and hyphens, a letter"
                + " first, at most 32",
            null);
      }
      return new BackendCandidate(name, provider.priority(), origin, provider, null);
    } catch (Throwable e) {
      Discovery.rethrowIfFatal(e);
      return broken(className, origin, Discovery.explain(e), e);
    }
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

  /** Name by which the backend is chosen; of a provider that could not be loaded, what is known. */
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
  public @Nullable VbnProvider provider() {
    return provider;
  }

  /** Whether the backend can be opened; asks the provider on the first call. */
  public synchronized Availability availability() {
    Availability known = availability;
    if (known == null) {
      known = probe(requireNonNull(provider));
      availability = known;
    }
    return known;
  }

  private static Availability probe(VbnProvider provider) {
    try {
      Availability answer = provider.probe();
      return answer != null
          ? answer
          : Availability.unavailable("probe() returned null; expected an Availability", null);
    } catch (Throwable e) {
      Discovery.rethrowIfFatal(e);
      return Availability.unavailable("probe() threw " + Discovery.explain(e), e);
    }
  }

  /** The tensor type that the provider states; null where it cannot be told. */
  public @Nullable Class<?> tensorType() {
    if (provider == null) {
      return null;
    }
    try {
      return provider.tensorType();
    } catch (Throwable e) {
      Discovery.rethrowIfFatal(e);
      return null; // the tensor library is not on the class path: probe() has the words for it
    }
  }

  /**
   * Opens the backend, which the caller closes.
   *
   * @throws BackendUnavailableException if it cannot be opened, with the reason
   */
  public VbnBackend<?> open() {
    Availability answer = availability();
    VbnProvider opener = provider;
    if (opener == null || !answer.available()) {
      throw unavailable(answer.description(), answer.cause());
    }
    try {
      VbnBackend<?> backend = opener.open();
      if (backend != null) {
        return backend;
      }
    } catch (Throwable e) {
      Discovery.rethrowIfFatal(e);
      throw unavailable("open() threw " + Discovery.explain(e), e);
    }
    throw unavailable("open() returned null; expected a backend", null);
  }

  private BackendUnavailableException unavailable(String reason, @Nullable Throwable cause) {
    BackendUnavailableException exception = new BackendUnavailableException(name + ": " + reason);
    if (cause != null) {
      exception.addSuppressed(cause);
    }
    return exception;
  }

  /** Name, origin and what is known of the availability without asking. */
  @Override
  public synchronized String toString() {
    String known =
        availability == null ? "" : availability.available() ? ", available" : ", unavailable";
    return name + " (" + origin + known + ")";
  }
}
