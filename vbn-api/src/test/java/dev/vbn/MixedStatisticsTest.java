package dev.vbn;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;

import dev.vbn.spi.Moments;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.RecordingBackend;
import org.junit.jupiter.api.Test;

/** The statistics of a live call, as the backend's tensors and as copies on the host. */
final class MixedStatisticsTest {
  private final HostTensor mean = HostTensor.of(new float[] {2, -3, 0, 0.5f}, 2, 2);
  private final HostTensor variance = HostTensor.of(new float[] {1, 0, 4, 0.25f}, 2, 2);
  private final MixedStatistics<HostTensor> statistics =
      new MixedStatistics<>(RecordingBackend.capable(), new Moments<>(mean, variance));

  @Test
  void theMomentsAreTheBackendsOwnTensors() {
    assertSame(mean, statistics.moments().mean());
    assertSame(variance, statistics.moments().variance());
  }

  @Test
  void theHostGetsFloat64CopiesOfTheSameShape() {
    assertHost(statistics.mean(), 2, -3, 0, 0.5);
    assertHost(statistics.variance(), 1, 0, 4, 0.25);
  }

  @Test
  void theMeanSquareIsVariancePlusSquaredMean() {
    assertHost(statistics.meanSquare(), 5, 9, 4, 0.5);
    assertArrayEquals(new double[] {1, 0, 4, 0.25}, variance.toDoubles());
  }

  private static void assertHost(HostTensor tensor, double... values) {
    assertEquals(DType.FLOAT64, tensor.dtype());
    assertArrayEquals(new long[] {2, 2}, tensor.shape());
    assertArrayEquals(values, tensor.toDoubles());
  }
}
