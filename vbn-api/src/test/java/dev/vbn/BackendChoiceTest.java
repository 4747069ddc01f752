package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.fixture.Choices;
import dev.vbn.tensor.HostTensor;
import dev.vbn.testing.NoBackendNamed;
import dev.vbn.testing.ProviderPath;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.StubProvider;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.RegisterExtension;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.api.parallel.ResourceLock;
import org.junit.jupiter.api.parallel.Resources;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Which backend opens: by priority when nobody names one, the named one or none otherwise. */
@ResourceLock(Resources.SYSTEM_PROPERTIES)
final class BackendChoiceTest {
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
  void closeClassPath() throws IOException {
    path.close();
  }

  @Test
  void thePropertyIsCalledAsDocumented() {
    assertEquals("vbn.backend", VbnBackends.BACKEND_PROPERTY);
  }

  @Test
  void higherPriorityComesFirstAndTiesGoByName() throws IOException {
    VbnBackends backends =
        find(Choices.Beta.class, Choices.Alpha.class, Choices.High.class, Choices.Foreign.class);

    assertEquals(
        List.of("foreign", "high", "alpha", "beta"),
        backends.list().stream().map(BackendCandidate::name).toList());
  }

  @Test
  void theOrderOfTheJarsDecidesNothing() throws IOException {
    path.jar("one.jar", Choices.Beta.class);
    path.jar("two.jar", Choices.Alpha.class);

    VbnBackends backends = path.find();

    assertOpens("alpha", backends, backends.open());
  }

  @Test
  void listingProbesNothing() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Alpha.class);

    assertHolds(backends.list().toString(), "high (", "alpha (", "choices.jar");
    assertProbes(backends, 0, 0);
  }

  @Test
  void openingProbesOneAfterTheOtherUntilOneIsAvailable() throws IOException {
    VbnBackends backends = find(Choices.Alpha.class, Choices.High.class, Choices.Unavailable.class);
    backends.open().close();
    backends.open().close();

    assertProbes(backends, 2, 2, 0);
  }

  @Test
  void anUnavailableBackendIsPassedOver() throws IOException {
    VbnBackends backends = find(Choices.Unavailable.class, Choices.High.class);

    assertOpens("high", backends, backends.open());
  }

  @Test
  void aBackendThatFailsToOpenIsPassedOver() throws IOException {
    VbnBackends backends = find(Choices.OpenThrows.class, Choices.High.class);

    assertOpens("high", backends, backends.open());
    assertOpens("high", backends, backends.open(HostTensor.class));
  }

  @ParameterizedTest
  @ValueSource(strings = {"alpha", "high"})
  void theNamedBackendOpensWhateverItsPriority(String name) throws IOException {
    VbnBackends backends = find(Choices.Alpha.class, Choices.High.class, Choices.Foreign.class);

    assertOpens(name, backends, backends.open(name));
  }

  @Test
  void theBackendNamedByThePropertyOpensWhateverItsPriority() throws IOException {
    VbnBackends backends = find(Choices.Alpha.class, Choices.High.class);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "alpha");

    assertOpens("alpha", backends, backends.open());
    assertOpens("alpha", backends, backends.open(HostTensor.class));
  }

  @Test
  void theProgramsNameGoesBeforeTheProperty() throws IOException {
    VbnBackends backends = find(Choices.Alpha.class, Choices.High.class);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "alpha");

    assertOpens("high", backends, backends.open("high"));
  }

  @Test
  void aNamedBackendThatFailsToOpenNeverFallsBack() throws IOException {
    VbnBackends backends = find(Choices.OpenThrows.class, Choices.High.class);
    String[] words = {
      "backend 'open-throws' cannot be opened",
      "open() threw IllegalStateException: out of device memory",
      "high: available, not asked for",
      "choices.jar"
    };

    assertRefused(BackendUnavailableException.class, () -> backends.open("open-throws"), words);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "open-throws");
    assertRefused(BackendUnavailableException.class, backends::open, words);
    assertRefused(BackendUnavailableException.class, () -> backends.open(HostTensor.class), words);
    assertEquals(List.of(), provider(backends, "high").opened());
  }

  @Test
  void aNamedBackendThatIsUnavailableNeverFallsBack() throws IOException {
    VbnBackends backends = find(Choices.Unavailable.class, Choices.High.class);
    String[] words = {"backend 'unavailable' cannot be opened", "unavailable: no such device"};

    BackendUnavailableException refusal =
        assertRefused(BackendUnavailableException.class, () -> backends.open("unavailable"), words);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "unavailable");
    assertRefused(BackendUnavailableException.class, backends::open, words);

    assertEquals(List.of(), provider(backends, "high").opened());
    assertEquals("driver says", refusal.getSuppressed()[0].getSuppressed()[0].getMessage());
  }

  @Test
  void anUnknownNameListsWhatWasConsideredAndWhatToAdd() throws IOException {
    VbnBackends backends = find(Choices.Unavailable.class, Choices.High.class);
    String[] words = {
      "no backend 'djl'",
      "unavailable: no such device",
      "high: available, not asked for",
      "choices.jar",
      "dev.vbn:vbn-NAME",
      "dev.vbn:vbn-reference"
    };

    assertRefused(BackendUnavailableException.class, () -> backends.open("djl"), words);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "djl");
    assertRefused(BackendUnavailableException.class, backends::open, words);
  }

  @Test
  void anEmptyClassPathSaysSoAndWhatToAdd() {
    VbnBackends backends = path.find();

    assertRefused(
        BackendUnavailableException.class, backends::open, "no provider", "dev.vbn:vbn-reference");
    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open("djl"),
        "'djl'",
        "no provider",
        "dev.vbn:vbn-reference");
  }

  @Test
  void whenNothingOpensEveryReasonIsGivenAndEveryCauseAttached() throws IOException {
    VbnBackends backends = find(Choices.Unavailable.class, Choices.OpenThrows.class);

    BackendUnavailableException refusal = assertRefused(
        BackendUnavailableException.class,
        backends::open,
        "no backend can be opened",
        "unavailable: no such device",
        "open-throws: open() threw IllegalStateException: out of device memory",
        "choices.jar");

    assertEquals(
        List.of("out of device memory", "driver says"),
        Arrays.stream(refusal.getSuppressed())
            .map(failure -> failure.getSuppressed()[0].getMessage())
            .toList());
  }

  @Test
  void byTensorTypeTheBestOfThatTypeOpensAndOthersAreNotProbed() throws IOException {
    VbnBackends backends = find(Choices.Foreign.class, Choices.High.class, Choices.Alpha.class);

    assertOpens("high", backends, backends.open(HostTensor.class));
    assertProbes(backends, 0, 1, 0);
  }

  @Test
  void aTensorTypeThatNobodyHasIsNamed() throws IOException {
    VbnBackends backends = find(Choices.High.class);

    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open(String.class),
        "java.lang.String",
        "high");
  }

  @Test
  void nullsAreRefusedByName() {
    VbnBackends backends = path.find();

    assertRefused(
        NullPointerException.class, () -> backends.open((String) null), "name is null", "expected");
    assertRefused(
        NullPointerException.class,
        () -> backends.open((Class<?>) null),
        "tensorType is null",
        "expected");
  }

  @Test
  void theListCannotBeChanged() throws IOException {
    VbnBackends backends = find(Choices.High.class);

    assertThrows(UnsupportedOperationException.class, () -> backends.list().clear());
  }

  private VbnBackends find(Class<?>... providers) throws IOException {
    return path.jar("choices.jar", providers).find();
  }

  private static StubProvider<?> provider(VbnBackends backends, String name) {
    return backends.list().stream()
        .filter(candidate -> candidate.name().equals(name))
        .map(candidate -> (StubProvider<?>) candidate.provider())
        .findFirst()
        .orElseThrow();
  }

  private static void assertOpens(String name, VbnBackends backends, VbnBackend<?> backend) {
    assertEquals(name, backend.name());
    var opened = provider(backends, name).opened();
    assertSame(opened.get(opened.size() - 1), backend.unwrap(RecordingKernels.class));
  }

  private static void assertProbes(VbnBackends backends, Integer... expected) {
    assertEquals(
        List.of(expected),
        backends.list().stream()
            .map(candidate -> ((StubProvider<?>) candidate.provider()).probes())
            .toList());
  }
}
