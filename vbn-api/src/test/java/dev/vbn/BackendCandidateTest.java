package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Kernels;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import dev.vbn.testing.ArrayProvider;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.Throwing;
import java.util.ServiceConfigurationError;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.NullSource;
import org.junit.jupiter.params.provider.ValueSource;

/** One provider, however it behaves, becomes a candidate or a reason. */
final class BackendCandidateTest {

  @Test
  void aGoodProviderIsDescribedAndOpens() {
    ArrayProvider provider = new ArrayProvider("good", 7);
    BackendCandidate candidate = BackendCandidate.of(provider);

    assertEquals("good", candidate.name());
    assertEquals(7, candidate.priority());
    assertEquals(TensorType.of(HostTensor.class), candidate.tensorType());
    assertSame(provider, candidate.provider());
    assertEquals("device of good", candidate.availability().description());
    try (VbnBackend<?> backend = candidate.open()) {
      assertEquals("good", backend.name());
      assertEquals("device of good", backend.description());
      assertEquals(TensorType.of(HostTensor.class), backend.tensorType());
      assertSame(provider.opened().get(0), backend.unwrap(RecordingKernels.class));
    }
  }

  @ParameterizedTest
  @ValueSource(strings = {"a", "cuda", "nd4j", "my-own-2", "a23456789012345678901234567890bc"})
  void namesOfTheGrammarAreAccepted(String name) {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider(name, 0));

    assertEquals(name, candidate.name());
    assertNotNull(candidate.provider());
  }

  @ParameterizedTest
  @NullSource
  @ValueSource(
      strings = {
        "",
        "Djl",
        "4nd",
        "-a",
        "a_b",
        "a b",
        "a.b",
        "djl\n",
        "é",
        "a23456789012345678901234567890bcd"
      })
  void otherNamesAreRefusedByClassNamingWhatWasGiven(String name) {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider(name, 0));

    assertNull(candidate.provider());
    assertEquals(ArrayProvider.class.getName(), candidate.name());
    assertHolds(
        candidate.availability().description(),
        "name is '" + name + "'",
        "lower-case letters, digits and hyphens",
        "at most 32");
  }

  @Test
  void aPriorityThatThrowsMakesItUnavailable() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public int priority() {
        throw new IllegalStateException("no order");
      }
    });

    assertNull(candidate.provider());
    assertFalse(candidate.availability().available());
    assertHolds(candidate.availability().description(), "no order");
  }

  @Test
  void aTensorTypeThatThrowsIsUnknownAndTheRestStays() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public TensorType<HostTensor> tensorType() {
        throw new NoClassDefFoundError("org/example/Tensor");
      }
    });

    assertNull(candidate.tensorType());
    assertEquals("device of spoilt", candidate.availability().description());
  }

  @Test
  void aProbeThatThrowsIsTheReason() {
    assertProbeRefused(new IllegalStateException("driver too old"), "driver too old");
  }

  @Test
  void aProbeThatCannotLinkIsTheReason() {
    assertProbeRefused(new UnsatisfiedLinkError("libcuda.so.1"), "libcuda.so.1");
  }

  @Test
  void aProbeWhoseLibraryFindsABrokenServiceIsTheReason() {
    assertProbeRefused(new ServiceConfigurationError("engine not found"), "engine not found");
  }

  private static void assertProbeRefused(Throwable failure, String fragment) {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      protected Availability answer() {
        throw Throwing.unchecked(failure);
      }
    });

    assertFalse(candidate.availability().available());
    assertSame(failure, candidate.availability().cause());
    assertHolds(candidate.availability().description(), "probe() threw", fragment);
    BackendUnavailableException refusal = assertRefused(
        BackendUnavailableException.class, candidate::open, "spoilt", "probe() threw", fragment);
    assertSame(failure, refusal.getCause());
    assertEquals(0, refusal.getSuppressed().length);
  }

  @Test
  void aProbeThatGivesNullIsTheReason() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      protected Availability answer() {
        return null;
      }
    });

    assertFalse(candidate.availability().available());
    assertHolds(
        candidate.availability().description(),
        "probe() returned null",
        "expected an Availability");
  }

  @Test
  void anOpenThatThrowsIsRefusedWithItsCause() {
    assertOpenRefused(new IllegalStateException("out of memory"), "out of memory");
  }

  @Test
  void anOpenThatCannotLinkIsRefusedWithItsCause() {
    assertOpenRefused(new UnsatisfiedLinkError("libcuda.so.1"), "libcuda.so.1");
  }

  @Test
  void anOpenWhoseLibraryFindsABrokenServiceIsRefusedWithItsCause() {
    assertOpenRefused(new ServiceConfigurationError("engine not found"), "engine not found");
  }

  private static void assertOpenRefused(Throwable failure, String fragment) {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public Kernels<HostTensor> open(BackendOptions options) {
        throw Throwing.unchecked(failure);
      }
    });

    assertTrue(candidate.availability().available());
    BackendUnavailableException refusal = assertRefused(
        BackendUnavailableException.class, candidate::open, "spoilt", "open() threw", fragment);
    assertSame(failure, refusal.getCause());
    assertEquals(0, refusal.getSuppressed().length);
  }

  @Test
  void anOpenThatGivesNullIsRefused() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public Kernels<HostTensor> open(BackendOptions options) {
        return null;
      }
    });

    assertRefused(
        BackendUnavailableException.class,
        candidate::open,
        "spoilt",
        "open() returned null",
        "expected kernels");
  }

  @Test
  void probingWaitsUntilAskedAndHappensEachTime() {
    ArrayProvider provider = new ArrayProvider("good", 0);
    BackendCandidate candidate = BackendCandidate.of(provider);
    assertHolds(candidate.toString(), "good");
    assertEquals(0, provider.probes());

    candidate.availability();
    candidate.open().close();

    assertEquals(2, provider.probes());
  }
}
