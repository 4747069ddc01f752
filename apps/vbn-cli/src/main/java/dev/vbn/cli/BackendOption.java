package dev.vbn.cli;

import static java.util.stream.Collectors.joining;

import dev.vbn.BackendCandidate;
import dev.vbn.BackendUnavailableException;
import dev.vbn.VbnBackends;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which backend computes. */
public final class BackendOption {
  @Option(
      names = "--backend",
      paramLabel = "NAME",
      description =
          "Backend that computes, see 'vbn backends'. Default: the system property vbn.backend, or"
              + " else the available one of the highest priority, of those on plain arrays if there"
              + " is one.")
  private @Nullable String name;

  /** The backends on the class path, {@code --class-path} included. */
  public static VbnBackends find() {
    return VbnBackends.find(Thread.currentThread().getContextClassLoader());
  }

  /** Opens the backend asked for. */
  VbnBackend<?> open() {
    VbnBackends found = find();
    String wanted = name != null ? name : System.getProperty(VbnBackends.BACKEND_PROPERTY);
    VbnBackend<?> backend =
        wanted == null ? openDefault(found) : named(found, wanted).open();
    return GuardedBackend.of(backend);
  }

  /** Files hold plain arrays: a backend on those starts no other library, and copies nothing. */
  private static VbnBackend<?> openDefault(VbnBackends found) {
    try {
      return found.open(HostTensor.class);
    } catch (BackendUnavailableException e) {
      return found.open();
    }
  }

  /** Name of the backend that computes where none is named; null if there is none. */
  static @Nullable String defaultName(VbnBackends found) {
    String named = System.getProperty(VbnBackends.BACKEND_PROPERTY);
    if (named != null) {
      return named;
    }
    List<BackendCandidate> available = found.list().stream()
        .filter(candidate -> candidate.availability().available())
        .toList();
    return available.stream()
        .filter(candidate -> HostTensor.class.equals(candidate.tensorType()))
        .findFirst()
        .or(() -> available.stream().findFirst())
        .map(BackendCandidate::name)
        .orElse(null);
  }

  /** The candidate of that name; an unknown name is bad input. */
  public static BackendCandidate named(VbnBackends found, String name) {
    return found.list().stream()
        .filter(candidate -> candidate.name().equals(name))
        .findFirst()
        .orElseThrow(() -> new BadInputException("backend '" + name + "' was not found; expected "
            + (found.list().isEmpty()
                ? "a provider on the class path, which holds none"
                : "one of "
                    + found.list().stream().map(BackendCandidate::name).collect(joining(", ")))));
  }
}
