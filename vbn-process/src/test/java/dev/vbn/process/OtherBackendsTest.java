package dev.vbn.process;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendFailedException;
import dev.vbn.BackendUnavailableException;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.nio.file.Path;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** A program that fails is a backend that fails, and no other: the reference is on the class path. */
class OtherBackendsTest {
  private static final HostTensor BATCH = HostTensor.of(new float[] {1, 2, 3, 4}, 2, 2);

  /** With mean 0, variance 1 and epsilon 1e-5. */
  private static final float[] EXPECTED = {0.999995f, 1.99999f, 2.999985f, 3.99998f};

  @TempDir
  Path folder;

  @AfterEach
  void forget() {
    System.clearProperty(ProcessProvider.COMMAND_PROPERTY);
  }

  private void program(String way) {
    System.setProperty(
        ProcessProvider.COMMAND_PROPERTY, HostileProgram.command(way, folder.resolve("file")));
  }

  private static float[] forward(VbnBackend<HostTensor> backend) {
    VbnConfig config = VbnConfig.of(2).withVariant(Variant.REFERENCE_ONLY);
    try (VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
        ReferenceStatistics<HostTensor> statistics = ReferenceStatistics.wrap(
            backend,
            HostTensor.zeros(DType.FLOAT64, 2),
            HostTensor.of(new double[] {1, 1}, 2),
            4,
            4);
        Output<HostTensor> output = layer.forward(BATCH, statistics)) {
      return output.output().floats();
    }
  }

  @Test
  void whereTheProgramDoesNotStartTheNextBackendOpens() {
    program("prints-first");
    VbnBackends found = VbnBackends.find();
    BackendUnavailableException refused =
        assertThrows(BackendUnavailableException.class, () -> found.open("process"));
    assertTrue(refused.getMessage().contains("'hello' was answered"), refused::toString);
    try (VbnBackend<?> backend = found.open()) {
      assertEquals("reference", backend.name());
    }
  }

  @Test
  void whereTheProgramDiesAnotherBackendComputesOn() {
    program("dies");
    VbnBackends found = VbnBackends.find();
    try (VbnBackend<HostTensor> process = found.open("process", HostTensor.class);
        VbnBackend<HostTensor> reference = found.open("reference", HostTensor.class)) {
      assertThrows(BackendFailedException.class, () -> forward(process));
      assertArrayEquals(EXPECTED, forward(reference), 1e-6f);
    }
  }
}
