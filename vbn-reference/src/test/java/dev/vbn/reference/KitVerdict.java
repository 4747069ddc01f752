package dev.vbn.reference;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.platform.engine.discovery.DiscoverySelectors.selectClass;

import org.junit.jupiter.api.Test;
import org.junit.platform.launcher.LauncherDiscoveryRequest;
import org.junit.platform.launcher.core.LauncherConfig;
import org.junit.platform.launcher.core.LauncherDiscoveryRequestBuilder;
import org.junit.platform.launcher.core.LauncherFactory;
import org.junit.platform.launcher.listeners.SummaryGeneratingListener;
import org.junit.platform.launcher.listeners.TestExecutionSummary;

/**
 * The whole kit as one test, for the mutants of the profile {@code mutation}: a run of those checks
 * alone that reach a mutated line is a part of the kit, which fails whatever it finds. Of no use to
 * Surefire, which its name is hidden from.
 */
class KitVerdict {
  @Test
  void theKitPasses() {
    LauncherDiscoveryRequest request = LauncherDiscoveryRequestBuilder.request()
        .selectors(selectClass(ReferenceConformanceTest.class))
        .build();
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
}
