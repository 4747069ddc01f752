package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.BackendUnavailableException;
import dev.vbn.VbnBackend;
import dev.vbn.spi.Availability;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
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
    assertUnavailable(
        probeWith(nothing.toString()), "no " + nothing + ", which the system property");
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
  void whereNoDriverExistsItSaysSo() throws Exception {
    assertEquals("no NVIDIA driver exists for Solaris", probeInAnotherJvm("-Dos.name=Solaris"));
  }

  @Test
  @EnabledOnOs(OS.LINUX)
  void withoutADriverItNamesTheLibraryOfTheDriver() throws Exception {
    // Windows' name is found on no Linux, whatever driver that has.
    assertEquals(
        "no nvcuda.dll; install the NVIDIA driver, or name its library by"
            + " -Dvbn.cuda.library=PATH",
        probeInAnotherJvm("-Dos.name=Windows 11", "--enable-native-access=ALL-UNNAMED"));
  }

  @Test
  @EnabledForJreRange(min = JRE.JAVA_24) // the option
  void deniedNativeAccessNamesTheFlagToAdd() throws Exception {
    String output = probeInAnotherJvm("--illegal-native-access=deny");
    assertEquals(
        "native access is denied; add --enable-native-access=ALL-UNNAMED to the command line of"
            + " Java",
        output);
  }

  private static String probeInAnotherJvm(String... options) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of(options));
    command.addAll(List.of("-cp", System.getProperty("java.class.path"), Probe.class.getName()));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
    return output.strip();
  }

  /** Prints what a probe says. */
  static final class Probe {
    private Probe() {}

    public static void main(String[] arguments) {
      System.out.println(new CudaProvider().probe().description());
    }
  }

  @Test
  void openingThrowsTheReason(@TempDir Path directory) {
    String before = System.getProperty(CudaProvider.LIBRARY_PROPERTY);
    System.setProperty(CudaProvider.LIBRARY_PROPERTY, directory + "/libcuda.so.1");
    try {
      BackendUnavailableException e = assertThrows(
          BackendUnavailableException.class, () -> VbnBackend.open(new CudaProvider()));
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
