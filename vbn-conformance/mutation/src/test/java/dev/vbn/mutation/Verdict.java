package dev.vbn.mutation;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import dev.vbn.conformance.VbnConformance;
import org.junit.jupiter.api.extension.BeforeEachCallback;
import org.junit.jupiter.api.extension.ExtensionContext;
import org.junit.jupiter.api.extension.TestWatcher;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.launcher.listeners.SummaryGeneratingListener;
import org.junit.platform.launcher.listeners.TestExecutionSummary;

/**
 * The whole kit as one test: a run of those checks alone that reach a mutated line is a part of the
 * kit, which fails whatever it finds.
 */
final class Verdict {
  private Verdict() {}

  static void assertPasses(Class<? extends VbnConformance> kit) {
    LauncherDiscoveryRequest request =
        LauncherDiscoveryRequestBuilder.request().selectors(selectClass(kit)).build();
    LauncherConfig config = LauncherConfig.builder()
        .enableLauncherSessionListenerAutoRegistration(false)
        .enableTestExecutionListenerAutoRegistration(false)
        .build();
    SummaryGeneratingListener listener = new SummaryGeneratingListener();
    LauncherFactory.create(config).execute(request, listener);
    TestExecutionSummary summary = listener.getSummary();
    assertEquals(0, summary.getTotalFailureCount());
    assertTrue(summary.getTestsSucceededCount() > 100);
  }

  /** Ends every check at once after one has failed: that mutant is dead. */
  static final class FirstFailure implements BeforeEachCallback, TestWatcher {
    private boolean failed;

    @Override
    public void beforeEach(ExtensionContext context) {
      if (failed) {
        throw new IllegalStateException("the kit has failed already");
      }
    }

    @Override
    public void testFailed(ExtensionContext context, Throwable cause) {
      failed = true;
    }
  }
}
