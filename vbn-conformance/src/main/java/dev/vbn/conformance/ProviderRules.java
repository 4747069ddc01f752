package dev.vbn.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.BackendCandidate;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Availability;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** What a provider is, before it computes. */
abstract class ProviderRules extends Rules {
  ProviderRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.FOUND_BY_NAME)
  final void serviceLoaderFindsItUnderItsName() {
    holds(this::checkFound);
  }

  private void checkFound() {
    Check.current().compared();
    VbnProvider<?> provider = kit.provider();
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
    VbnProvider<?> loaded = found.provider();
    assertNotNull(loaded, () -> "it was refused: " + found.availability());
    assertEquals(provider.getClass(), loaded.getClass(), "class behind the name");
  }

  @Test
  @Checks(Rule.PROBE_IS_A_VALUE)
  final void probeAnswersTheSameEachTime() {
    holds(this::checkProbe);
  }

  private void checkProbe() {
    Check.current().compared();
    VbnProvider<?> provider = kit.provider();
    Availability first = probe(provider);
    if (first.available()) {
      // A probe that looks for what an open backend holds may say no now.
      subject();
    } else if (kit.isOpen()) {
      fail("probe() says '" + first.description() + "' while a backend of it is open");
    }
    for (Availability again : List.of(probe(provider), probe(provider), probe(kit.provider()))) {
      assertEquals(first.available(), again.available(), "probe().available() when asked again");
    }
    assertTrue(
        !first.description().isBlank(),
        "probe().description() is blank; expected the device, or the reason why there is none");
  }

  private static Availability probe(VbnProvider<?> provider) {
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
  @Checks(Rule.FOUND_BY_NAME)
  final void tensorsAreOfTheTypeThatTheProviderNames() {
    holds(() -> {
      TensorType<?> named = kit.provider().tensorType();
      assertEquals(named, kit.provider().tensorType(), "tensorType() when asked again");
      checkTensorType(subject(), named);
    });
  }

  private static <T> void checkTensorType(Subject<T> subject, TensorType<?> named) {
    HostTensor batch = new Samples(10).normal(0, 1, 2, 3);
    VbnConfig attached = VbnConfig.of(3).withReferenceGradient(ReferenceGradient.ATTACHED);
    try (Tensors<T> made = subject.tensors()) {
      T x = made.of(batch, DType.FLOAT32);
      VirtualBatchNorm<T> layer = VirtualBatchNorm.of(subject.backend, attached);
      try (ReferenceOutput<T> pass = layer.reference(x);
          Output<T> live = layer.forward(x, pass.statistics());
          Gradients<T> gradients = layer.backward(x, pass.statistics(), x);
          Output<T> reached = layer.referenceGradient(x, pass.statistics(), gradients)) {
        List<Object> tensors = List.of(
            x,
            pass.output(),
            pass.statistics().mean(),
            pass.statistics().variance(),
            live.output(),
            gradients.dx(),
            gradients.dgamma(),
            gradients.dbeta(),
            reached.output());
        for (Object tensor : tensors) {
          Check.current().compared();
          assertInstanceOf(named.rawClass(), tensor, "a tensor of the backend");
        }
      }
    }
  }

  @Test
  @Checks(Rule.PROMISED_CAPABILITIES)
  final void backendHasTheCapabilitiesPromised() {
    holds(() -> {
      Set<Capability> declared = subject().backend.capabilities();
      Check.current().compared();
      assertEquals(
          kit.capabilities(),
          declared,
          "capabilities promised to the kit, and those that the backend declares");
    });
  }
}
