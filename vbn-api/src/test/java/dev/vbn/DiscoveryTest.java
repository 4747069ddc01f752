package dev.vbn;

import static dev.vbn.testing.Refusals.assertHolds;
import static dev.vbn.testing.Refusals.assertRefused;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.fixture.Choices;
import dev.vbn.fixture.LoadDefects;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.TensorType;
import dev.vbn.testing.ProviderPath;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Providers that cannot be loaded are listed with their reason, and hide no other. */
final class DiscoveryTest {
  private static final String FIXTURES = "dev.vbn.fixture.LoadDefects$";
  private static final int CLASS_FILE_VERSION_OF_NO_JAVA = 99;

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
  void everyDefectInAJarIsListedAndTheGoodOnesOpen() throws IOException {
    assertDefectsListed(path.jar("defects.jar", defects(), defectClasses()).find());
  }

  @Test
  void everyDefectInAFolderIsListedAndTheGoodOnesOpen() throws IOException {
    assertDefectsListed(path.folder("defects", defects(), defectClasses()).find());
  }

  private static List<String> defects() {
    return ProviderPath.names(
        LoadDefects.First.class,
        LoadDefects.TooNew.class,
        LoadDefects.Missing.class,
        LoadDefects.ConstructorThrows.class,
        LoadDefects.ConstructorLacksClass.class,
        LoadDefects.Orphan.class,
        LoadDefects.NativeLibraryMissing.class,
        LoadDefects.NotAProvider.class,
        LoadDefects.Last.class);
  }

  private static Map<String, byte[]> defectClasses() throws IOException {
    Map<String, byte[]> classes = ProviderPath.classes(
        LoadDefects.First.class,
        LoadDefects.TooNew.class,
        LoadDefects.ConstructorThrows.class,
        LoadDefects.ConstructorLacksClass.class,
        LoadDefects.Orphan.class,
        LoadDefects.NativeLibraryMissing.class,
        LoadDefects.NotAProvider.class,
        LoadDefects.Last.class);
    // Bytes 6 and 7 of a class file are its major version, big-endian.
    classes.get(LoadDefects.TooNew.class.getName())[7] = CLASS_FILE_VERSION_OF_NO_JAVA;
    return classes;
  }

  private static void assertDefectsListed(VbnBackends backends) {
    List<BackendCandidate> found = backends.list();
    assertEquals(9, found.size(), found::toString);
    assertEquals("last", found.get(0).name());
    assertEquals("first", found.get(1).name());
    assertReason(
        found.get(2),
        "UnsupportedClassVersionError",
        "dev/vbn/fixture/LoadDefects$TooNew",
        "class file version 99");
    assertReason(found.get(3), FIXTURES + "Missing not found");
    assertReason(found.get(4), "NoClassDefFoundError: dev/vbn/fixture/LoadDefects$Parent");
    assertReason(found.get(5), FIXTURES + "NotAProvider not a subtype");
    // those whose class is there, by its name
    assertReason(
        found.get(6),
        FIXTURES + "ConstructorLacksClass could not be instantiated",
        "NoClassDefFoundError: dev/vbn/fixture/LoadDefects$Library");
    assertReason(
        found.get(7),
        FIXTURES + "ConstructorThrows could not be instantiated",
        "IllegalStateException: no licence");
    assertReason(
        found.get(8),
        FIXTURES + "NativeLibraryMissing could not be instantiated",
        "UnsatisfiedLinkError",
        "vbn-exists-nowhere");
    for (BackendCandidate candidate : found.subList(6, 9)) {
      assertHolds(candidate.name(), FIXTURES.substring(FIXTURES.indexOf("dev.")));
      assertHolds(candidate.origin(), "defects");
    }
    try (var last = backends.open("last");
        var first = backends.open("first")) {
      assertEquals(TensorType.of(HostTensor.class), last.tensorType());
      assertEquals(TensorType.of(HostTensor.class), first.tensorType());
    }
  }

  private static void assertReason(BackendCandidate candidate, String... fragments) {
    assertNull(candidate.provider());
    assertNull(candidate.tensorType());
    assertFalse(candidate.availability().available());
    assertHolds(candidate.availability().description(), fragments);
    assertNotNull(candidate.availability().cause());
    assertRefused(BackendUnavailableException.class, candidate::open, fragments);
  }

  @Test
  void whenNothingOpensTheMessageGivesEachItsOwnReason() throws IOException {
    path.jar(
        "defects.jar",
        ProviderPath.names(
            LoadDefects.Missing.class,
            LoadDefects.ConstructorThrows.class,
            LoadDefects.NotAProvider.class),
        ProviderPath.classes(LoadDefects.ConstructorThrows.class, LoadDefects.NotAProvider.class));

    BackendUnavailableException refusal = assertRefused(
        BackendUnavailableException.class,
        () -> path.find().open(),
        "Missing not found",
        "no licence",
        "NotAProvider not a subtype");

    assertNotNull(refusal.getCause());
    assertEquals(2, refusal.getSuppressed().length);
  }

  @Test
  void aStaticInitialiserThatFailedBeforeStillGivesItsFirstReason() throws IOException {
    path.jar("native.jar", LoadDefects.NativeLibraryMissing.class);
    String first = onlyReason(path.find());
    String second = onlyReason(path.find());

    assertHolds(first, "UnsatisfiedLinkError", "vbn-exists-nowhere");
    assertHolds(second, "Could not initialize", "UnsatisfiedLinkError", "vbn-exists-nowhere");
  }

  @Test
  void aMalformedServicesFileIsListedAndHidesNoOther() throws IOException {
    path.jar("malformed.jar", List.of("not a class name"), Map.of());
    path.jar("good.jar", LoadDefects.First.class);
    VbnBackends backends = path.find();

    assertEquals(2, backends.list().size());
    assertEquals("first", backends.list().get(0).name());
    assertHolds(
        backends.list().get(1).availability().description(),
        "malformed.jar",
        "Illegal configuration-file syntax");
  }

  @Test
  void aProviderThatThrowsWhenAskedItsNameIsListedByItsClass() throws IOException {
    path.jar("mixed.jar", Choices.NameThrows.class, Choices.High.class);
    List<BackendCandidate> found = path.find().list();

    assertEquals(2, found.size());
    assertEquals("high", found.get(0).name());
    assertEquals("dev.vbn.fixture.Choices$NameThrows", found.get(1).name());
    assertHolds(found.get(1).origin(), "mixed.jar");
    assertHolds(
        found.get(1).availability().description(), "NoClassDefFoundError: org/example/Tensor");
  }

  @Test
  void manyBrokenProvidersInARowDoNotHideTheLast() throws IOException {
    List<String> absent =
        List.of("a.A", "a.B", "a.C", "a.D", "a.E", "a.F", "a.G", "a.H", "a.I", "a.J", "a.K");
    path.jar("absent.jar", absent, Map.of());
    path.jar("good.jar", LoadDefects.First.class);
    List<BackendCandidate> found = path.find().list();

    assertEquals(12, found.size());
    assertEquals("first", found.get(0).name());
    for (int i = 0; i < absent.size(); i++) {
      assertHolds(found.get(i + 1).availability().description(), absent.get(i) + " not found");
    }
  }

  @Test
  void namesakesOfTwoJarsAreBothRefusedNamingBothJarsAndNoOtherIs() throws IOException {
    path.jar("one.jar", Choices.Twin.class);
    path.jar("two.jar", Choices.OtherTwin.class);
    path.jar("three.jar", Choices.High.class);
    VbnBackends backends = path.find();
    String[] words = {
      "'twin' is claimed by 2 providers",
      "Choices$Twin in ",
      "one.jar",
      "Choices$OtherTwin in ",
      "two.jar"
    };

    assertEquals(3, backends.list().size());
    for (BackendCandidate candidate : backends.list()) {
      if (candidate.name().equals("twin")) {
        assertRefused(BackendUnavailableException.class, candidate::open, words);
      }
    }
    assertRefused(BackendUnavailableException.class, () -> backends.open("twin"), words);
    try (var backend = backends.open()) {
      assertEquals(TensorType.of(HostTensor.class), backend.tensorType());
    }
    try (var backend = backends.open("high")) {
      assertEquals(TensorType.of(HostTensor.class), backend.tensorType());
    }
  }

  @Test
  void aJarThatIsTwiceOnTheClassPathIsNoNamesake() throws IOException {
    path.jar("one.jar", Choices.High.class);
    path.jar("copy.jar", Choices.High.class);
    List<BackendCandidate> found = path.find().list();

    assertEquals(1, found.size());
    assertTrue(found.get(0).availability().available());
    assertHolds(found.get(0).origin(), "one.jar");
  }

  @Test
  void anEmptyClassPathGivesNoCandidate() {
    assertEquals(List.of(), path.find().list());
  }

  private static String onlyReason(VbnBackends backends) {
    assertEquals(1, backends.list().size());
    return backends.list().get(0).availability().description();
  }
}
