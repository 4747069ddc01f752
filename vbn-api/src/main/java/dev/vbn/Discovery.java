package dev.vbn;

import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.joining;

import dev.vbn.spi.VbnProvider;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.ServiceConfigurationError;
import java.util.ServiceLoader;
import org.jspecify.annotations.Nullable;

/**
 * Finds the providers that a class loader sees, and survives those that cannot be loaded.
 *
 * <p>Each step of the iteration is guarded by itself: a class file too new or a missing superclass
 * throws from {@code hasNext}, a missing class or one that is no provider from {@code next}, and
 * either goes on to the next provider when asked again. A class loader that always fails does not.
 */
final class Discovery {
  /** After so many times the same failure in a row the class loader itself is taken for broken. */
  private static final int SAME_FAILURES = 8;

  /** Likewise after so many failures in a row that read differently. */
  private static final int FAILURES = 100;

  private Discovery() {}

  /** Candidates, preferred first; those that cannot be loaded last. */
  static List<BackendCandidate> find(@Nullable ClassLoader classLoader) {
    List<BackendCandidate> found = new ArrayList<>();
    String lastFailure = "";
    int repeated = 0;
    int failures = 0;
    Iterator<VbnProvider> providers = null;
    while (repeated < SAME_FAILURES && failures < FAILURES) {
      try {
        if (providers == null) {
          providers = ServiceLoader.load(VbnProvider.class, classLoader).iterator();
        }
        if (!providers.hasNext()) {
          break;
        }
        found.add(BackendCandidate.of(providers.next()));
        repeated = 0;
        failures = 0;
      } catch (Throwable e) {
        rethrowIfFatal(e);
        String failure = explain(e);
        repeated = failure.equals(lastFailure) ? repeated + 1 : 1;
        failures++;
        if (repeated == 1 && failures < FAILURES) {
          found.add(BackendCandidate.broken("(not loaded)", "unknown", failure, e));
        } else if (repeated == SAME_FAILURES || failures == FAILURES) {
          found.add(BackendCandidate.broken(
              "(not loaded)",
              "unknown",
              "stopped looking for providers after " + failures + " failures in a row: " + failure,
              e));
        }
        lastFailure = failure;
      }
    }
    return refuseDuplicates(found);
  }

  private static List<BackendCandidate> refuseDuplicates(List<BackendCandidate> found) {
    Map<String, List<BackendCandidate>> byName = found.stream()
        .filter(candidate -> candidate.provider() != null)
        .collect(groupingBy(BackendCandidate::name));
    return found.stream()
        .map(candidate -> {
          List<BackendCandidate> namesakes = byName.getOrDefault(candidate.name(), List.of());
          return candidate.provider() == null || namesakes.size() == 1
              ? candidate
              : candidate.refused(
                  "name '" + candidate.name() + "' is claimed by " + namesakes.size()
                      + " providers; expected one: remove all but one of "
                      + namesakes.stream()
                          .map(namesake -> className(namesake) + " in " + namesake.origin())
                          .collect(joining(", ")));
        })
        .sorted(Comparator.comparing((BackendCandidate candidate) -> candidate.provider() == null)
            .thenComparing(Comparator.comparingInt(BackendCandidate::priority).reversed())
            .thenComparing(BackendCandidate::name)
            .thenComparing(BackendCandidate::origin))
        .toList();
  }

  private static String className(BackendCandidate candidate) {
    VbnProvider provider = candidate.provider();
    return provider == null ? candidate.name() : provider.getClass().getName();
  }

  /** Whatever a provider throws is its reason, but for what concerns the whole JVM. */
  static void rethrowIfFatal(Throwable failure) {
    if (failure instanceof VirtualMachineError fatal) {
      throw fatal;
    }
  }

  /**
   * The failure with its root cause in one line. The root matters: a static initialiser that failed
   * before shows up as {@code NoClassDefFoundError}, and only the text further down says why.
   */
  static String explain(Throwable failure) {
    StringBuilder line = new StringBuilder(describe(failure));
    Throwable cause = failure.getCause();
    for (int depth = 0; cause != null && depth < 8; depth++) {
      String text = describe(cause);
      if (line.indexOf(text) < 0) {
        line.append(": ").append(text);
      }
      cause = cause.getCause();
    }
    return line.toString().replaceAll("\\s+", " ");
  }

  private static String describe(Throwable failure) {
    if (failure instanceof ServiceConfigurationError && failure.getMessage() != null) {
      return failure.getMessage();
    }
    String name = failure.getClass().getSimpleName();
    return failure.getMessage() == null ? name : name + ": " + failure.getMessage();
  }
}
