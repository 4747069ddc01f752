package dev.vbn;

import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;

/** Closed statistics give nothing away but their counts. */
final class ClosedReferenceStatisticsTest {
  private final RecordingBackend backend = RecordingBackend.capable();
  private final ReferenceStatistics<HostTensor> closed = statistics();

  private ReferenceStatistics<HostTensor> statistics() {
    return ReferenceStatistics.of(backend, DType.FLOAT32, new double[] {1}, new double[] {1}, 2, 6);
  }

  @BeforeEach
  void close() {
    closed.close();
  }

  @Test
  void theTensorsAreRefused() {
    assertClosed(closed::moments);
    assertClosed(closed::mean);
    assertClosed(closed::variance);
    assertClosed(closed::meanSquare);
  }

  @Test
  void mergingIsRefusedOnEitherSide() {
    assertClosed(() -> closed.merge(statistics()));
    assertClosed(() -> statistics().merge(closed));
  }

  @Test
  void movingIsRefused() {
    assertClosed(() -> closed.to(backend));
    assertClosed(() -> closed.to(DType.FLOAT64));
  }

  @Test
  void theCountsStay() {
    assertEquals(1, closed.features());
    assertEquals(2, closed.examples());
    assertEquals(6, closed.elements());
    assertEquals(DType.FLOAT32, closed.dtype());
  }

  private static void assertClosed(Executable call) {
    assertRefused(
        IllegalStateException.class,
        call,
        "reference statistics used after close",
        "expected an open one");
  }
}
