package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.spi.Availability;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.EnabledOnOs;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.condition.OS;
import org.junit.jupiter.api.io.TempDir;

/** Without the driver's library, with another in its place, or without leave to load one. */
@EnabledForJreRange(min = JRE.JAVA_22)
class MissingDriverTest {
  private static Availability probeWith(String library) {
    String before = System.getProperty(CudaProvider.LIBRARY_PROPERTY);
    System.setProperty(CudaProvider.LIBRARY_PROPERTY, library);
    try {
      return new CudaProvider().probe();
    } finally {
      if (before == null) {
        System.clearProperty(CudaProvider.LIBRARY_PROPERTY);
      } else {
        System.setProperty(CudaProvider.LIBRARY_PROPERTY, before);
      }
    }
  }

  private static void assertUnavailable(Availability availability, String reason) {
    assertFalse(availability.available(), availability::description);
    assertTrue(availability.description().startsWith(reason), availability::description);
  }

  @Test
  void aNamedLibraryThatIsNotThereIsNamedInTheReason(@TempDir Path directory) {
    Path nothing = directory.resolve("libcuda.so.1");
    assertUnavailable(probeWith(nothing.toString()), "no " + nothing + ", which the system property");
  }

  @Test
  void aFileThatIsNoLibraryIsUnavailable(@TempDir Path directory) throws Exception {
    Path text = Files.writeString(directory.resolve("libcuda.so.1"), "no library");
    assertUnavailable(probeWith(text.toString()), "no " + text);
  }

  @Test
  void aLibraryOfSomethingElseIsUnavailable() {
    Path other = Path.of(System.getProperty("java.home"), "lib", System.mapLibraryName("java"));
    if (!Files.exists(other)) { // on Windows
      other = Path.of(System.getProperty("java.home"), "bin", System.mapLibraryName("java"));
    }
    Availability availability = probeWith(other.toString());
    assertUnavailable(availability, other + " is no NVIDIA driver, or one too old");
    assertTrue(availability.description().contains("cuGetErrorName"), availability::description);
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void withoutADriverItNamesItsLibrary() throws Exception {
    // A JVM of its own that looks for libraries nowhere a driver would be.
    String output = probeInAnotherJvm(List.of("-Dos.name=Solaris"));
    assertEquals("no NVIDIA driver exists for Solaris", output);
  }

  @Test
  @EnabledForJreRange(min = JRE.JAVA_24) // the option
  void deniedNativeAccessNamesTheFlagToAdd() throws Exception {
    String output = probeInAnotherJvm(List.of("--illegal-native-access=deny"));
    assertEquals(
        "native access is denied; add --enable-native-access=ALL-UNNAMED to the command line of"
            + " Java",
        output);
  }

  @Test
  void openingThrowsTheReason(@TempDir Path directory) {
    String before = System.getProperty(CudaProvider.LIBRARY_PROPERTY);
    System.setProperty(CudaProvider.LIBRARY_PROPERTY, directory + "/libcuda.so.1");
    try {
      IllegalStateException e =
          assertThrows(IllegalStateException.class, () -> CudaProvider.open(0));
      assertTrue(String.valueOf(e.getMessage()).contains("libcuda.so.1"), e::getMessage);
    } finally {
      if (before == null) {
        System.clearProperty(CudaProvider.LIBRARY_PROPERTY);
      } else {
        System.setProperty(CudaProvider.LIBRARY_PROPERTY, before);
      }
    }
  }
}
