package dev.vbn.cli;

import static java.util.stream.Collectors.joining;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/** Which backend computes, and with what. */
public final class BackendOption {
  private static final TensorType<HostTensor> ARRAYS = TensorType.of(HostTensor.class);

  @Option(
      names = "--backend",
      paramLabel = "NAME",
      description =
          "Backend that computes, see 'vbn backends'. Default: the system property vbn.backend, or"
              + " else the available one of the highest priority, of those on plain arrays if there"
              + " is one.")
  private @Nullable String name;

  @Option(
      names = "--device",
      paramLabel = "DEVICE",
      description =
          "Device that the backend computes on, one that 'vbn backends' lists. Default: its first.")
  private @Nullable String device;

  @Option(
      names = "--threads",
      paramLabel = "N",
      description =
          "Threads that the backend may use, where it has some of its own. Default: one per"
              + " processor.")
  private @Nullable Integer threads;

  /** The backends on the class path, {@code --class-path} included. */
  public static VbnBackends find() {
    return VbnBackends.find(Thread.currentThread().getContextClassLoader());
  }

  /**
   * Opens the backend asked for, for plain arrays, which are what files hold: those that compute on
   * other tensors are given copies.
   */
  VbnBackend<HostTensor> open() {
    VbnBackends found = find();
    String wanted = name != null ? name : System.getProperty(VbnBackends.BACKEND_PROPERTY);
    if (wanted != null) {
      named(found, wanted);
    }
    return LayerOptions.accepted("", () -> {
      VbnBackends set = device == null ? found : found.withDevice(device);
      VbnBackends asked = threads == null ? set : set.withParallelism(threads);
      return wanted == null ? asked.open(HostTensor.class) : asked.open(wanted, HostTensor.class);
    });
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
        .filter(candidate -> ARRAYS.equals(candidate.tensorType()))
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
