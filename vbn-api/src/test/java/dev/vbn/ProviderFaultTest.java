package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.fixture.Choices;
import dev.vbn.fixture.Faulty;
import dev.vbn.spi.Availability;
import dev.vbn.spi.BackendOptions;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Kernels;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import dev.vbn.testing.ArrayProvider;
import dev.vbn.testing.Faults;
import dev.vbn.testing.NoBackendNamed;
import dev.vbn.testing.ProviderPath;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.Throwing;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.ResourceLock;
import org.junit.jupiter.api.parallel.Resources;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.FieldSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Whatever a provider throws from whatever method, the others are found and open. */
@ResourceLock(Resources.SYSTEM_PROPERTIES)
final class ProviderFaultTest {
  @RegisterExtension
  private final NoBackendNamed property = new NoBackendNamed();

  @TempDir
  private Path folder;

  private ProviderPath path;

  @BeforeEach
  void emptyClassPath() {
    path = new ProviderPath(folder);
  }

  @AfterEach
  void noFaultLeft() throws IOException {
    Faults.clear();
    path.close();
  }

  static final List<Throwable> THROWABLES = List.of(
      new IllegalStateException("broken"),
      new StackOverflowError("broken"),
      new InternalError("broken"),
      new OutOfMemoryError("broken"),
      new NoClassDefFoundError("broken"),
      new Faults.Custom("broken"),
      new Faults.Checked("broken"));

  static Stream<Arguments> faults() {
    return Stream.of(
            "constructor",
            "name",
            "priority",
            "tensorType",
            "probe",
            "open",
            "description",
            "tensors",
            "capabilities")
        .flatMap(method -> THROWABLES.stream().map(thrown -> Arguments.of(method, thrown)));
  }

  @ParameterizedTest
  @MethodSource("faults")
  void theOthersOpen(String method, Throwable thrown) throws IOException {
    Faults.set(method, thrown);
    path.jar("mixed.jar", Faulty.class, Choices.Good.class);
    VbnBackends backends = path.find();

    assertEquals(2, backends.list().size());
    assertGoodOpens(backends);
    BackendCandidate faulty = faulty(backends);
    assertRefused(BackendUnavailableException.class, faulty::open, "broken");
    assertFaultyIsNamed(backends);
  }

  private static BackendCandidate faulty(VbnBackends backends) {
    return backends.list().stream()
        .filter(candidate -> !candidate.name().equals("good"))
        .findFirst()
        .orElseThrow();
  }

  /** By its name or, where that cannot be told, by its class; and where it came from. */
  private static void assertFaultyIsNamed(VbnBackends backends) {
    BackendCandidate faulty = faulty(backends);
    assertTrue(List.of("faulty", Faulty.class.getName()).contains(faulty.name()), faulty::name);
    assertHolds(faulty.origin(), "mixed.jar");
    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open("no-such"),
        "\n  " + faulty.name() + ": ",
        "mixed.jar");
    assertRefused(BackendUnavailableException.class, faulty::open, faulty.name() + ": ");
  }

  @ParameterizedTest
  @ValueSource(strings = {"name", "tensorType", "probe", "open", "tensors", "capabilities"})
  void theOthersOpenWhereOneGivesNull(String method) throws IOException {
    Faults.giveNull(method);
    path.jar("mixed.jar", Faulty.class, Choices.Good.class);
    VbnBackends backends = path.find();

    assertGoodOpens(backends);
    assertRefused(BackendUnavailableException.class, faulty(backends)::open, "null", "expected");
    assertFaultyIsNamed(backends);
  }

  private static void assertGoodOpens(VbnBackends backends) {
    try (var any = backends.open();
        var ofArrays = backends.open(HostTensor.class);
        var named = backends.open("good")) {
      assertEquals("good", any.name());
      assertEquals("good", ofArrays.name());
      assertEquals("good", named.name());
    }
  }

  @ParameterizedTest
  @FieldSource("THROWABLES")
  void aCloseThatThrowsIsNamedAndDisturbsNoOther(Throwable thrown) throws IOException {
    path.jar("mixed.jar", Faulty.class, Choices.Good.class);
    VbnBackends backends = path.find();
    Faults.set("close", thrown);
    VbnBackend<?> faulty = backends.open("faulty");

    var failure = assertRefused(
        BackendFailedException.class, faulty::close, "backend 'faulty' failed in close", "broken");
    assertSame(thrown, failure.getCause());
    faulty.close();
    Faults.clear();
    assertEquals("faulty", backends.open().name());
  }

  @Test
  void oneWhoseTensorTypeChangesDisturbsNoOther() throws IOException {
    path.jar("mixed.jar", Choices.Changing.class, Choices.Good.class);
    for (VbnBackends backends : List.of(path.find(), path.find().shared())) {
      try (var good = backends.open(HostTensor.class)) {
        assertEquals("good", good.name());
      }
    }
  }

  @Test
  void aTensorTypeThatCannotBeToldOpensForNoArraysEither() throws IOException {
    path.jar("faulty.jar", Faulty.class);
    for (boolean none : List.of(false, true)) {
      if (none) {
        Faults.giveNull("tensorType");
      } else {
        Faults.set("tensorType", new InternalError("broken"));
      }
      assertRefused(
          BackendUnavailableException.class,
          () -> path.find().open(HostTensor.class),
          "faulty: tensorType() ",
          none ? "returned null" : "threw InternalError: broken");
    }
  }

  @Test
  void aCauseThatCannotBeToldIsNoWorseThanNone() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public Kernels<HostTensor> open(BackendOptions options) {
        throw new Faults.Causeless("broken");
      }
    });

    assertRefused(
        BackendUnavailableException.class, candidate::open, "open() threw Causeless: broken");
  }

  @ParameterizedTest
  @FieldSource("THROWABLES")
  void aStaticInitialiserThatThrowsDisturbsNoOther(Throwable thrown) throws IOException {
    Faults.set("static", thrown);
    path.jar("mixed.jar", Faulty.class, Choices.Good.class);
    VbnBackends backends = path.find();

    assertEquals("good", backends.list().get(0).name());
    assertHolds(backends.list().get(1).availability().description(), "broken");
    assertFaultyIsNamed(backends);
    try (var any = backends.open()) {
      assertEquals("good", any.name());
    }
  }

  @Test
  void whatWasOpenedIsClosedWhereItCannotBeUsed() {
    for (String method : List.of("tensors", "capabilities")) {
      for (Throwable thrown : THROWABLES) {
        RecordingKernels kernels = RecordingKernels.capable();
        kernels.fail(method, 1, thrown);
        kernels.fail("close", 1, new IllegalStateException("cannot close"));
        BackendCandidate candidate = BackendCandidate.of(over(kernels));

        var refusal = assertRefused(
            BackendUnavailableException.class,
            candidate::open,
            "spoilt: what it opened cannot be used",
            "broken");
        assertEquals(1, kernels.closings());
        assertSame(thrown, refusal.getCause());
        assertEquals("cannot close", refusal.getSuppressed()[0].getMessage());
      }
    }
  }

  @Test
  void nullFromWhatWasOpenedIsRefusedInWords() {
    for (String method : List.of("tensors", "capabilities")) {
      RecordingKernels kernels = RecordingKernels.capable();
      kernels.giveNull(method);

      assertRefused(
          BackendUnavailableException.class,
          BackendCandidate.of(over(kernels))::open,
          method + "() returned null",
          "expected");
      assertEquals(1, kernels.closings());
    }
  }

  @Test
  void contradictingCapabilitiesAreRefused() {
    RecordingKernels kernels = RecordingKernels.without(Capability.FLOAT64_STATISTICS);

    assertRefused(
        BackendUnavailableException.class,
        BackendCandidate.of(over(kernels))::open,
        "what it opened cannot be used",
        "expected FLOAT64_STATISTICS with FLOAT64");
    assertEquals(1, kernels.closings());
  }

  private static ArrayProvider over(RecordingKernels kernels) {
    return new ArrayProvider("spoilt", 0) {
      @Override
      protected RecordingKernels kernels() {
        return kernels;
      }
    };
  }

  @Test
  void aFailureIsNotSticky() throws IOException {
    path.jar("mixed.jar", Faulty.class);
    VbnBackends backends = path.find();
    BackendCandidate candidate = backends.list().get(0);
    for (String method : List.of("probe", "open", "tensors")) {
      Faults.set(method, new InternalError("broken"));
      assertRefused(BackendUnavailableException.class, backends::open, "broken");
      Faults.clear();
      backends.open().close();
    }

    Faults.set("probe", new InternalError("broken"));
    assertFalse(candidate.availability().available());
    assertHolds(candidate.toString(), "faulty (", ", unavailable)");
    Faults.clear();
    assertEquals("device of faulty", candidate.availability().description());
    assertHolds(candidate.toString(), "faulty (", ", available)");
  }

  @Test
  void anAnswerMayChangeEitherWay() {
    boolean[] present = {true};
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("plugged", 0) {
      @Override
      protected Availability answer() {
        return present[0]
            ? Availability.available("plugged in")
            : Availability.unavailable("pulled out", null);
      }
    });

    candidate.open().close();
    present[0] = false;
    assertRefused(BackendUnavailableException.class, candidate::open, "pulled out");
    present[0] = true;
    candidate.open().close();
  }

  @Test
  void aMessageThatThrowsIsNoWorseThanNone() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public Kernels<HostTensor> open(BackendOptions options) {
        throw Throwing.unchecked(new Faults.Mute());
      }
    });

    assertRefused(BackendUnavailableException.class, candidate::open, "open() threw Mute");
  }

  @Test
  void aTensorTypeOfNullIsUnknown() {
    BackendCandidate candidate = BackendCandidate.of(new ArrayProvider("spoilt", 0) {
      @Override
      public TensorType<HostTensor> tensorType() {
        return null;
      }
    });

    assertNull(candidate.tensorType());
    assertRefused(BackendUnavailableException.class, candidate::open, "tensorType() returned null");
  }
}
