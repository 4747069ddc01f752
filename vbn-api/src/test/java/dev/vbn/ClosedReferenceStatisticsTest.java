package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingKernels;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Closed statistics give nothing away but their counts. */
final class ClosedReferenceStatisticsTest {
  private final VbnBackend<HostTensor> backend = RecordingKernels.capable().open();
  private final ReferenceStatistics<HostTensor> closed = ReferenceStatistics.of(
      backend, ReferenceMoments.of(new double[] {1}, new double[] {1}, 2, 6));

  @BeforeEach
  void close() {
    closed.close();
  }

  @Test
  void theValuesAreRefused() {
    assertClosed(closed::moments);
    assertClosed(closed::mean);
    assertClosed(closed::variance);
  }

  @Test
  void theCountsStay() {
    assertEquals(1, closed.features());
    assertEquals(2, closed.examples());
    assertEquals(6, closed.elements());
  }

  private static void assertClosed(Executable call) {
    assertRefused(
        IllegalStateException.class,
        call,
        "reference statistics used after close",
        "expected an open one");
  }
}
