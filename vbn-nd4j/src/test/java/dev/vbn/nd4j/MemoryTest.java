package dev.vbn.nd4j;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.vbn.DType;
import dev.vbn.Gradients;
import dev.vbn.LiveOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnBackend;
import java.util.List;
import org.bytedeco.javacpp.Pointer;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Released results give their memory back at once, not when a garbage collection comes by. Each call
 * that kept 26 MB would show; {@code -Dvbn.nd4j.calls=10000} makes the table of the documentation.
 */
class MemoryTest {
  private static final int CALLS = Integer.getInteger("vbn.nd4j.calls", 100);

  @Test
  void residentMemoryStaysAsItWasAfterTheFirstTenth() {
    Availability availability = new Nd4jProvider().probe();
    assumeTrue(availability.available(), availability::description);
    try (VbnBackend<INDArray> backend = new Nd4jProvider().open();
        INDArray x = Nd4j.rand(DataType.FLOAT, 100, 64, 1024);
        VirtualBatchNorm<INDArray> layer =
            VirtualBatchNorm.initialized(backend, VbnConfig.of(64), DType.FLOAT32, 1);
        ReferenceStatistics<INDArray> statistics = layer.referenceStatistics(x)) {
      long early = 0;
      for (int call = 1; call <= CALLS; call++) {
        LiveOutput<INDArray> live = layer.forward(x, statistics);
        Gradients<INDArray> gradients = layer.backward(x, statistics, live.output());
        List.of(
                live.output(),
                live.statistics().moments().mean(),
                live.statistics().moments().variance(),
                gradients.input(),
                gradients.gamma(),
                gradients.beta())
            .forEach(backend::release);
        if (call % (CALLS / 10) == 0) {
          long resident = Pointer.physicalBytes();
          System.out.printf("%d calls: %d MB resident%n", call, resident >> 20);
          early = early == 0 ? resident : early;
          assertTrue(
              Math.abs(resident - early) <= early / 10,
              resident + " bytes are resident after " + call + " calls; expected " + early
                  + " and at most a tenth more or less");
        }
      }
    }
  }
}
