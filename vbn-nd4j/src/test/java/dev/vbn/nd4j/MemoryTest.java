package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.tensor.DType;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Released results give their memory back at once, not when a garbage collection comes by. A call
 * that kept its 26 MB would show; {@code -Dvbn.nd4j.calls=10000} makes the table of the documentation.
 */
class MemoryTest {
  private static final int CALLS = Integer.getInteger("vbn.nd4j.calls", 100);

  /** A young JVM has yet to fill its heap; 100 calls that keep their results take 2.6 GB. */
  private static final long GROWTH_OF_A_YOUNG_JVM = CALLS < 1000 ? 1L << 30 : 0;

  @Test
  void residentMemoryStaysWithinATenth() {
    VbnConformance.assumeDevice(new Nd4jProvider());
    try (VbnBackend<INDArray> backend = VbnBackend.open(new Nd4jProvider());
        INDArray x = Nd4j.rand(DataType.FLOAT, 100, 64, 1024);
        VirtualBatchNorm<INDArray> layer =
            VirtualBatchNorm.of(backend, VbnConfig.of(64)).initialized(DType.FLOAT32, 1);
        ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(x)) {
      long early = 0;
      for (int call = 1; call <= CALLS; call++) {
        if (call % 2 == 0) {
          layer.forward(x, statistics).close();
        } else {
          layer.backward(x, statistics, x).close();
        }
        if (call % (CALLS / 10) == 0) {
          long resident = Pointer.physicalBytes();
          System.out.printf("%d calls: %d MB resident%n", call, resident >> 20);
          early = early == 0 ? resident : early;
          assertTrue(
              Math.abs(resident - early) <= early / 10 + GROWTH_OF_A_YOUNG_JVM,
              resident + " bytes are resident after " + call + " calls; expected some " + early);
        }
      }
    }
  }
}
