package dev.vbn.conformance;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Capability;
import dev.vbn.spi.VbnProvider;
import java.util.Set;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.ParameterContext;
import org.junit.jupiter.api.extension.ParameterResolver;

/**
 * The kit on a backend from the class path, named by the JUnit configuration parameter
 * {@value #BACKEND_PARAMETER}: how it is run without a test class of the provider's own. What the
 * backend declares is taken for what its provider promises. The class path is that of the thread's
 * context class loader, where whoever starts the JUnit Platform puts classes to be tested.
 */
@ExtendWith(NamedBackendConformance.NameOfBackend.class)
public final class NamedBackendConformance extends VbnConformance {
  /** Name of the configuration parameter. */
  public static final String BACKEND_PARAMETER = "vbn.conformance.backend";

  private final VbnProvider<?> provider;

  /** For JUnit. */
  NamedBackendConformance(String name) {
    ClassLoader classLoader = Thread.currentThread().getContextClassLoader();
    provider = VbnBackends.find(classLoader).list().stream()
        .filter(candidate -> candidate.name().equals(name))
        .map(BackendCandidate::provider)
        .findFirst()
        .orElseThrow(
            () -> new IllegalStateException("no backend '" + name + "' on the class path"));
  }

  @Override
  protected VbnProvider<?> provider() {
    return provider;
  }

  @Override
  protected Set<Capability> capabilities() {
    try (VbnBackend<?> backend = VbnBackend.open(provider)) {
      return backend.capabilities();
    }
  }

  /** Passes the configuration parameter to the constructor. */
  static final class NameOfBackend implements ParameterResolver {
    @Override
    public boolean supportsParameter(ParameterContext parameter, ExtensionContext context) {
      return parameter.getParameter().getType() == String.class
          && parameter.getDeclaringExecutable().getDeclaringClass()
              == NamedBackendConformance.class;
    }

    @Override
    public Object resolveParameter(ParameterContext parameter, ExtensionContext context) {
      return context
          .getConfigurationParameter(BACKEND_PARAMETER)
          .orElseThrow(() -> new IllegalStateException("no configuration parameter "
              + BACKEND_PARAMETER + "; expected the name of a backend"));
    }
  }
}
