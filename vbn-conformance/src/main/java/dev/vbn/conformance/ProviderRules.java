package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendCandidate;
import dev.vbn.VbnBackends;
import dev.vbn.spi.Availability;
import dev.vbn.spi.VbnProvider;
import java.util.List;
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
    VbnProvider provider = kit.provider();
    Availability first = probe(provider);
    for (Availability again : List.of(probe(provider), probe(provider), probe(kit.provider()))) {
      assertEquals(first.available(), again.available(), "probe().available() when asked again");
    }
    assertTrue(
        !first.description().isBlank(),
        "probe().description() is blank; expected the device, or the reason why there is none");
  }

  private static Availability probe(VbnProvider provider) {
    try {
      Availability availability = provider.probe();
      assertNotNull(availability, "probe() returned null; expected an Availability");
      return availability;
    } catch (RuntimeException | LinkageError e) {
      throw new AssertionError(
          "probe() threw " + e + "; expected Availability.unavailable(reason, cause)", e);
    }
  }

  @Test
  @Checks(Rule.TENSOR_TYPE)
  final void tensorTypeOfProviderAndBackendAgree() {
    assertEquals(
        kit.provider().tensorType(),
        subject().backend.tensorType(),
        "tensorType() of the provider, and of the backend that it opens");
  }

  @Test
  @Checks(Rule.PROMISED_CAPABILITIES)
  final void backendHasTheCapabilitiesPromised() {
    assertEquals(
        kit.capabilities(),
        subject().backend.capabilities(),
        "capabilities promised to the kit, and those that the backend declares");
  }
}
