package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;

import com.google.inject.Guice;
import dev.vbn.VbnBackends;
import dev.vbn.guice.VbnModule;
import dev.vbn.spi.VbnBackend;
import dev.vbn.tensor.HostTensor;
import org.junit.jupiter.api.Test;

class ExamplesTest {
  @Test
  void plainArraysGiveWhatThePaperSays() {
    float[] output = PlainArrays.normalize(42);
    assertEquals(2, output.length);
    // Feature 0 is the worked value of reference [1,3] and live 5; gamma is within 6 sd of 1.
    assertEquals(1.2247, output[0], 1.2247 * 0.12);
    // Feature 1: the example lies on the reference mean.
    assertEquals(0, output[1], 1e-6);
  }

  @Test
  void guiceInjectsTheBackend() {
    assertEquals(
        "Discriminator with VirtualBatchNorm(features=64, epsilon=1.0E-5, variant=live-batch)",
        Guice.createInjector(new VbnModule())
            .getInstance(GuiceWiring.Discriminator.class)
            .toString());
  }

  @Test
  void anyBackendNormalises() {
    try (VbnBackend<?> backend = VbnBackends.find().open()) {
      HostTensor output = AnyBackend.normalize(backend);
      assertEquals(0.904534, output.get(0), 1e-5);
    }
  }
}
