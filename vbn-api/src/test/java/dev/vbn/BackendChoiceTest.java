package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.vbn.fixture.Choices;
import dev.vbn.spi.BackendOptions;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import dev.vbn.testing.Boxed;
import dev.vbn.testing.NoBackendNamed;
import dev.vbn.testing.ProviderPath;
import dev.vbn.testing.RecordingKernels;
import dev.vbn.testing.StubProvider;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
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
    assertEquals("driver says", refusal.getCause().getCause().getMessage());
    assertEquals(0, refusal.getSuppressed().length);
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

  @ParameterizedTest
  @ValueSource(strings = {"", " ", "djl", "HIGH", "high "})
  void aPropertyThatNamesNobodyIsNamedItself(String value) throws IOException {
    VbnBackends backends = find(Choices.High.class);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, value);
    String[] words = {
      "no backend '" + value + "' was found",
      "the system property vbn.backend asks for it",
      "high: available, not asked for"
    };

    assertRefused(BackendUnavailableException.class, backends::open, words);
    assertRefused(BackendUnavailableException.class, () -> backends.open(HostTensor.class), words);
    assertRefused(BackendUnavailableException.class, () -> backends.open(Boxed.class), words);
  }

  @Test
  void aPropertyThatNamesOneThatCannotBeOpenedIsNamedToo() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Unavailable.class);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "unavailable");

    assertRefused(
        BackendUnavailableException.class,
        backends::open,
        "backend 'unavailable' cannot be opened; the system property vbn.backend asks for it");
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

    assertEquals("out of device memory", refusal.getCause().getCause().getMessage());
    assertEquals(
        List.of("driver says"),
        Arrays.stream(refusal.getSuppressed())
            .map(failure -> failure.getCause().getMessage())
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
  void thePropertyGoesForATensorTypeThatItsBackendHasAndNoOther() throws IOException {
    VbnBackends backends = find(
        Choices.Alpha.class, Choices.High.class, Choices.Foreign.class, Choices.LowForeign.class);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "low-foreign");

    assertOpens("low-foreign", backends, backends.open());
    assertOpens("low-foreign", backends, backends.open(Boxed.class));
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "alpha");
    assertOpens("alpha", backends, backends.open());
    assertOpens("alpha", backends, backends.open(HostTensor.class));
    assertOpens("foreign", backends, backends.open(Boxed.class));
  }

  @Test
  void arraysGoWithTheBackendThatThePropertyNamesWhateverItsTensors() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.LowForeign.class);
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "low-foreign");

    assertOpensForArrays("low-foreign", backends.open(HostTensor.class));
  }

  @Test
  void arraysGoWithABackendOfTheirOwnFirstAndWithOthersElse() throws IOException {
    path.jar("foreign.jar", Choices.Foreign.class);
    assertOpensForArrays("foreign", path.find().open(HostTensor.class));
    path.close();

    path = new ProviderPath(folder);
    VbnBackends both = find(Choices.Foreign.class, Choices.Alpha.class);
    assertOpens("alpha", both, both.open(HostTensor.class));
    assertOpens("foreign", both, both.open());
    assertOpensForArrays("foreign", both.open("foreign", HostTensor.class));
  }

  private static void assertOpensForArrays(String name, VbnBackend<HostTensor> backend) {
    assertEquals(name, backend.name());
    assertEquals(TensorType.of(HostTensor.class), backend.tensorType());
    assertThrows(IllegalArgumentException.class, () -> backend.unwrap(RecordingKernels.class));
  }

  @Test
  void arraysPassOverABackendOfTheirOwnThatFails() throws IOException {
    VbnBackends backends = find(Choices.OpenThrows.class, Choices.LowForeign.class);

    assertOpensForArrays("low-foreign", backends.open(HostTensor.class));
  }

  @Test
  void aNamedBackendOpensForItsTensorTypeAndNoOther() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Foreign.class, Choices.Generic.class);

    assertOpens("foreign", backends, backends.open("foreign", Boxed.class));
    assertOpens("high", backends, backends.open("high", HostTensor.class));
    assertOpens("generic", backends, backends.open("generic", Boxed.LIST));
    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open("high", Boxed.class),
        "backend 'high' is not of tensor type dev.vbn.testing.Boxed",
        "high: available, not asked for, on dev.vbn.tensor.HostTensor [");
  }

  @Test
  void aGenericTensorTypeOpensByTypeOrByItsClass() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Generic.class);

    VbnBackend<List<Boxed>> typed = backends.open(Boxed.LIST);
    assertOpens("generic", backends, typed);
    assertOpens("generic", backends, backends.open(List.class));
    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open(new TensorType<List<String>>() {}),
        "no backend of tensor type java.util.List<java.lang.String>",
        "on java.util.List<dev.vbn.testing.Boxed>");
  }

  @Test
  void aProviderThatChangesItsTensorTypeIsRefusedAndClosed() throws IOException {
    VbnBackends backends = find(Choices.Changing.class);

    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open(HostTensor.class),
        "dev.vbn.testing.Boxed",
        "expected dev.vbn.tensor.HostTensor");
    assertEquals(1, provider(backends, "changing").opened().get(0).closings());
  }

  @Test
  void theDefaultsAreNoDeviceAndAllProcessors() throws IOException {
    VbnBackends backends = find(Choices.High.class);
    backends.open().close();

    assertEquals(
        List.of(new BackendOptions(null, Runtime.getRuntime().availableProcessors())),
        provider(backends, "high").options());
  }

  @Test
  void deviceAndParallelismReachTheProvider() throws IOException {
    VbnBackends backends = find(Choices.Devices.class);
    backends.withDevice("dev1").withParallelism(3).open().close();
    backends.withParallelism(5).withDevice("dev0").open("devices").close();
    backends.withParallelism(7).open(HostTensor.class).close();

    assertEquals(
        List.of(
            new BackendOptions("dev1", 3),
            new BackendOptions("dev0", 5),
            new BackendOptions(null, 7)),
        provider(backends, "devices").options());
  }

  @Test
  void theDescriptionIsOfTheDeviceThatWasOpened() throws IOException {
    VbnBackends backends = find(Choices.DescribedDevices.class, Choices.Devices.class);

    assertEquals("library on dev0", backends.open("described").description());
    VbnBackends second = backends.withDevice("dev1");
    assertEquals("library on dev1", second.open("described").description());
    assertHolds(second.open("described").toString(), "library on dev1");
    // of one that does not say
    assertEquals("two devices", backends.open("devices").description());
    assertEquals("device dev1", second.open("devices").description());
  }

  @Test
  void aCopyingBackendIsDescribedAsTheOneItCopiesTo() throws IOException {
    VbnBackend<HostTensor> copies = find(Choices.Foreign.class).open("foreign", HostTensor.class);

    assertEquals("boxes", copies.description());
  }

  @Test
  void aDeviceThatTheNamedBackendLacksIsRefusedNamingThoseThatItHas() throws IOException {
    VbnBackends backends = find(Choices.Devices.class, Choices.High.class).withDevice("gpu7");

    assertRefused(
        IllegalArgumentException.class,
        () -> backends.open("devices"),
        "device is 'gpu7'",
        "expected one of backend 'devices': dev0, dev1");
    assertRefused(
        IllegalArgumentException.class,
        () -> backends.open("high"),
        "device is 'gpu7'",
        "expected none, for backend 'high' has no choice of them");
    System.setProperty(VbnBackends.BACKEND_PROPERTY, "devices");
    assertRefused(IllegalArgumentException.class, backends::open, "device is 'gpu7'");
    assertEquals(List.of(), provider(backends, "devices").opened());
  }

  @Test
  void whereNobodyNamesABackendTheFirstThatHasTheDeviceOpens() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Devices.class);

    assertOpens("devices", backends, backends.withDevice("dev1").open());
    assertRefused(
        BackendUnavailableException.class,
        () -> backends.withDevice("gpu7").open(),
        "no backend can be opened",
        "high: device is 'gpu7'; expected none",
        "devices: device is 'gpu7'; expected one of backend 'devices': dev0, dev1");
  }

  @Test
  void fewerThreadsThanOneAreRefused() {
    assertRefused(
        IllegalArgumentException.class,
        () -> path.find().withParallelism(0),
        "parallelism is 0",
        "expected 1 or more");
  }

  @Test
  void sharedBackendsAreOpenedOnceForEachWayToUseThem() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Foreign.class).shared();

    VbnBackend<?> foreign = backends.open();
    assertSame(foreign, backends.open());
    assertSame(foreign, backends.open("foreign"));
    assertSame(foreign, backends.open(Boxed.class));
    VbnBackend<HostTensor> high = backends.open(HostTensor.class);
    assertSame(high, backends.open("high"));
    assertSame(high, backends.open("high", HostTensor.class));
    VbnBackend<HostTensor> copies = backends.open("foreign", HostTensor.class);
    assertSame(copies, backends.open("foreign", HostTensor.class));
    assertNotSame(foreign, copies);
    assertEquals(2, provider(backends, "foreign").opened().size());
    assertEquals(1, provider(backends, "high").opened().size());

    high.close();
    assertNotSame(high, backends.open("high"));
    assertSame(foreign, backends.open());
  }

  @Test
  void otherOptionsShareNoBackend() throws IOException {
    VbnBackends backends = find(Choices.Devices.class).shared();
    VbnBackends other = backends.withDevice("dev1");

    assertNotSame(backends.open(), other.open());
    assertSame(other.open(), other.open());
    assertNotSame(backends.open(), backends.withParallelism(1).open());
    assertNotSame(backends.open(), backends.shared().open());
  }

  @Test
  void backendsThatAreNotSharedAreOpenedEachTime() throws IOException {
    VbnBackends backends = find(Choices.High.class);

    assertNotSame(backends.open(), backends.open());
  }

  @Test
  void whereNothingIsSeenTheMessageNamesTheClassLoader() {
    VbnBackends empty = path.find();
    assertRefused(
        BackendUnavailableException.class,
        empty::open,
        "considered: none, for class loader ",
        "sees no provider",
        "VbnBackends.find(ClassLoader)");
    assertRefused(
        BackendUnavailableException.class,
        () -> VbnBackends.find(null).open("of-no-provider"),
        "no backend 'of-no-provider' was found");
  }

  @Test
  void theMessageListsTensorTypes() throws IOException {
    VbnBackends backends = find(Choices.Unavailable.class, Choices.Foreign.class);

    assertRefused(
        BackendUnavailableException.class,
        () -> backends.open("djl"),
        "unavailable: no such device, on dev.vbn.tensor.HostTensor [",
        "foreign: available, not asked for, on dev.vbn.testing.Boxed [");
  }

  @Test
  void aProviderThatNoServicesFileNamesLooksLikeJarsPutIntoOne() throws IOException {
    String ours = "dev.vbn.reference.ReferenceProvider";
    path.jar("fat.jar", ProviderPath.names(Choices.High.class), Map.of(ours, new byte[] {1}));
    // its own fixture is named, but not there; what is there is not named
    assertRefused(
        BackendUnavailableException.class,
        () -> path.find().open(),
        ours + " is there",
        "no META-INF/services/dev.vbn.spi.VbnProvider names it",
        "merge META-INF/services");
  }

  @Test
  void aProviderThatIsNamedAndCannotBeLoadedIsNoSuchThing() throws IOException {
    String ours = "dev.vbn.reference.ReferenceProvider";
    byte[] another = ProviderPath.classes(Choices.High.class).get(Choices.High.class.getName());
    path.jar("broken.jar", List.of(ours), Map.of(ours, another));

    var refusal =
        assertThrows(BackendUnavailableException.class, () -> path.find().open());
    assertHolds(refusal.getMessage(), "dev/vbn/reference/ReferenceProvider (wrong name");
    assertFalse(refusal.getMessage().contains("merge"), refusal.getMessage());
  }

  @Test
  void aMessageProbesEachProviderOnce() throws IOException {
    VbnBackends backends = find(Choices.High.class, Choices.Alpha.class, Choices.Foreign.class);
    assertThrows(BackendUnavailableException.class, () -> backends.open("djl"));

    assertProbes(backends, 1, 1, 1);
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
    if (!backend.tensorType().equals(TensorType.of(HostTensor.class))) {
      assertFalse(opened.isEmpty());
      return;
    }
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
