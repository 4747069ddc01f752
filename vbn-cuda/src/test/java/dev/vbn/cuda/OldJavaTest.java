package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.tensor.TensorType;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;

/** On a Java that cannot load what calls the driver. */
@EnabledForJreRange(max = JRE.JAVA_21)
class OldJavaTest {
  @Test
  void itIsFoundAndSaysWhichJavaItNeeds() {
    BackendCandidate candidate = VbnBackends.find().list().stream()
        .filter(found -> found.name().equals("cuda"))
        .findFirst()
        .orElseThrow();
    Availability availability = candidate.availability();
    assertFalse(availability.available());
    assertEquals(
        "needs Java 22 or newer; this is Java " + Runtime.version(), availability.description());
    assertEquals(TensorType.of(CudaTensor.class), candidate.tensorType());
  }

  @Test
  void openingItAllTheSameSaysSoToo() {
    for (CudaProvider provider :
        new CudaProvider[] {new CudaProvider(), CudaProvider.inStream(0)}) {
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> provider.open(BackendOptions.defaults()));
      assertTrue(String.valueOf(e.getMessage()).contains("needs Java 22"), e::getMessage);
    }
  }
}
