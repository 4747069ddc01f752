package dev.vbn;

import static java.util.stream.Collectors.groupingBy;
import static java.util.stream.Collectors.joining;

import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.TensorType;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.ServiceLoader;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/**
 * Finds the providers that a class loader sees, and survives those that cannot be loaded, whatever
 * they throw.
 *
 * <p>Each step of the iteration is guarded on its own: {@code hasNext} throws for a class file that
 * is too new, a missing class or superclass, or a class that is no provider, and goes on to the
 * next provider when asked again. A class loader that always fails does not.
 */
final class Discovery {
  /** After this many identical failures in a row the class loader itself is taken to be broken. */
  private static final int SAME_FAILURES = 8;

  /** Likewise after this many failures in a row with different messages. */
  private static final int FAILURES = 100;

  /** VBN's own backends, which advice can name when they are not found. */
  private static final List<Ours> OURS = List.of(
      new Ours("dev.vbn.cuda.CudaProvider", "dev.vbn.cuda.CudaTensor", "vbn-cuda"),
      new Ours("dev.vbn.djl.DjlProvider", "ai.djl.ndarray.NDArray", "vbn-djl"),
      new Ours("dev.vbn.nd4j.Nd4jProvider", "org.nd4j.linalg.api.ndarray.INDArray", "vbn-nd4j"),
      new Ours(
          "dev.vbn.reference.ReferenceProvider", "dev.vbn.tensor.HostTensor", "vbn-reference"));

  /** The names of a provider and of its tensor class, and the artifact that has the provider. */
  private record Ours(String provider, String tensors, String artifact) {}

  private Discovery() {}

  /** Candidates, preferred first; those that cannot be loaded last. */
  static List<BackendCandidate> find(@Nullable ClassLoader classLoader) {
    List<BackendCandidate> found = new ArrayList<>();
    String lastFailure = "";
    int repeated = 0;
    int failures = 0;
    Iterator<ServiceLoader.Provider<VbnProvider<?>>> providers = null;
    while (repeated < SAME_FAILURES && failures < FAILURES) {
      try {
        if (providers == null) {
          providers = load(classLoader);
        }
        if (!providers.hasNext()) {
          break;
        }
        found.add(candidate(providers.next()));
        repeated = 0;
        failures = 0;
      } catch (Throwable e) {
        String failure = Failure.explain(e);
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

  /** As a stream, which gives a provider's class before it makes an instance. */
  @SuppressWarnings("unchecked") // ServiceLoader knows classes without their arguments
  private static Iterator<ServiceLoader.Provider<VbnProvider<?>>> load(
      @Nullable ClassLoader classLoader) {
    return (Iterator<ServiceLoader.Provider<VbnProvider<?>>>) (Iterator<?>)
        ServiceLoader.load(VbnProvider.class, classLoader).stream().iterator();
  }

  private static BackendCandidate candidate(ServiceLoader.Provider<VbnProvider<?>> found) {
    VbnProvider<?> provider;
    try {
      provider = found.get();
    } catch (Throwable e) {
      return BackendCandidate.broken(found.type(), Failure.explain(e), e);
    }
    return BackendCandidate.of(provider);
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

  /** Our own providers whose classes are seen although no services file names them. */
  static List<String> unlisted(
      @Nullable ClassLoader classLoader, List<BackendCandidate> candidates) {
    ClassLoader loader = orSystem(classLoader);
    return missing(candidates)
        .map(Ours::provider)
        .filter(name -> isThere(loader, name))
        .toList();
  }

  /** Tensor types whose library is seen while our backend on it is not. */
  static List<TensorType<?>> unserved(
      @Nullable ClassLoader classLoader, List<BackendCandidate> candidates) {
    List<TensorType<?>> types = new ArrayList<>();
    missing(candidates).forEach(ours -> {
      try {
        types.add(TensorType.of(Class.forName(ours.tensors, false, orSystem(classLoader))));
      } catch (ClassNotFoundException | LinkageError e) {
        // not there, or not whole: nobody asks for it
      }
    });
    return types;
  }

  /** Our artifact that computes on a tensor type, if it was not found; else null. */
  static @Nullable String artifact(TensorType<?> type, List<BackendCandidate> candidates) {
    return missing(candidates)
        .filter(ours -> ours.tensors.equals(type.rawClass().getName()))
        .map(ours -> "dev.vbn:" + ours.artifact)
        .findFirst()
        .orElse(null);
  }

  private static Stream<Ours> missing(List<BackendCandidate> candidates) {
    return OURS.stream()
        .filter(ours -> candidates.stream().noneMatch(candidate -> isOf(candidate, ours.provider)));
  }

  private static ClassLoader orSystem(@Nullable ClassLoader classLoader) {
    return classLoader == null ? ClassLoader.getSystemClassLoader() : classLoader;
  }

  /** One that could not be loaded has the name in its reason, with dots or as linkers write it. */
  private static boolean isOf(BackendCandidate candidate, String className) {
    if (className(candidate).equals(className)) {
      return true;
    }
    if (candidate.provider() != null) {
      return false;
    }
    String reason = candidate.availability().description();
    return reason.contains(className) || reason.contains(className.replace('.', '/'));
  }

  private static boolean isThere(ClassLoader loader, String className) {
    try {
      return loader.getResource(className.replace('.', '/') + ".class") != null;
    } catch (RuntimeException | Error e) {
      return false; // a loader that fails is reported as such
    }
  }

  private static String className(BackendCandidate candidate) {
    VbnProvider<?> provider = candidate.provider();
    return provider == null ? candidate.name() : provider.getClass().getName();
  }
}
