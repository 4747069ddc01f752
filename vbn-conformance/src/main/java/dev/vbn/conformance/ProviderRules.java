package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnProvider;
import org.junit.jupiter.api.Test;

/** What a provider is, before it computes. */
abstract class ProviderRules extends Rules {
  ProviderRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.FOUND_BY_NAME)
  final void serviceLoaderFindsItUnderItsName() {
    VbnProvider provider = kit.provider();
    BackendCandidate found = VbnBackends.find(provider.getClass().getClassLoader()).list().stream()
        .filter(candidate -> candidate.name().equals(provider.name()))
        .findFirst()
        .orElse(null);
    assertNotNull(
        found,
        "no provider '" + provider.name() + "' was found; expected "
            + provider.getClass().getName()
            + " in META-INF/services/dev.vbn.spi.VbnProvider, and a name of lower-case letters,"
            + " digits and hyphens");
    VbnProvider loaded = found.provider();
    assertNotNull(loaded, () -> "it was refused: " + found.availability());
    assertEquals(provider.getClass(), loaded.getClass(), "class behind the name");
  }

  @Test
  @Checks(Rule.PROBE_IS_A_VALUE)
  final void probeAnswersTheSameEachTime() {
    Availability first = kit.provider().probe();
    Availability second = kit.provider().probe();
    assertNotNull(first, "probe() returned null; expected an Availability");
    assertEquals(first.available(), second.available(), "availability asked a second time");
    assertTrue(!first.description().isBlank(), "description is blank; expected device or reason");
  }

  @Test
  @Checks(Rule.TENSOR_TYPE)
  final void tensorTypeOfProviderAndBackendAgree() {
    assertEquals(
        kit.provider().tensorType(), subject().backend.tensorType(), "tensor type of the backend");
  }

  @Test
  @Checks(Rule.PROMISED_CAPABILITIES)
  final void backendHasTheCapabilitiesPromised() {
    assertEquals(
        kit.capabilities(), subject().backend.capabilities(), "capabilities of the backend");
  }
}
