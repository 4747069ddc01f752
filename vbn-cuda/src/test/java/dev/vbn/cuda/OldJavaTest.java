package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.function.Executable;

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
    assertEquals(CudaTensor.class, candidate.tensorType());
  }

  @Test
  void openingItAllTheSameSaysSoToo() {
    for (Executable call : new Executable[] {
      () -> new CudaProvider().open(), () -> CudaProvider.open(0, 0), CudaProvider::devices
    }) {
      IllegalStateException e = assertThrows(IllegalStateException.class, call);
      assertTrue(String.valueOf(e.getMessage()).contains("needs Java 22"), e::getMessage);
    }
  }
}
