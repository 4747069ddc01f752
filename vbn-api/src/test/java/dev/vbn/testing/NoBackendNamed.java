package dev.vbn.testing;

import dev.vbn.VbnBackends;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.extension.AfterEachCallback;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;

/** Keeps the system property that names a backend out of a test, and the test's out of the rest. */
public final class NoBackendNamed implements BeforeEachCallback, AfterEachCallback {
  private @Nullable String before;

  @Override
  public void beforeEach(ExtensionContext context) {
    before = System.getProperty(VbnBackends.BACKEND_PROPERTY);
    System.clearProperty(VbnBackends.BACKEND_PROPERTY);
  }

  @Override
  public void afterEach(ExtensionContext context) {
    if (before == null) {
      System.clearProperty(VbnBackends.BACKEND_PROPERTY);
    } else {
      System.setProperty(VbnBackends.BACKEND_PROPERTY, before);
    }
  }
}
