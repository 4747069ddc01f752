package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;

/** The PTX that is shipped is that of the source beside it, and no newer than the oldest driver reads. */
class PtxTest {
  private static final Path SOURCE = Path.of("src/main/cuda/vbn.cu");
  private static final Path PTX = Path.of("src/main/resources/dev/vbn/cuda/vbn.ptx");
  private static final Path REGENERATE = Path.of("src/main/cuda/regenerate");

  private static String ptx() throws IOException {
    return Files.readString(PTX);
  }

  private static String only(String pattern, String text) {
    Matcher matcher = Pattern.compile(pattern, Pattern.MULTILINE).matcher(text);
    assertTrue(matcher.find(), () -> "found no " + pattern);
    return matcher.group(1);
  }

  @Test
  void itIsOfThisSource() throws Exception {
    byte[] digest =
        MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(SOURCE));
    assertEquals(
        HexFormat.of().formatHex(digest),
        only("^// .*SHA-256:? ([0-9a-f]{64})$", ptx()),
        "SHA-256 of " + SOURCE + " in the header of " + PTX + "; run " + REGENERATE);
  }

  @Test
  void itAsksForNoNewerDriverOrDevice() throws Exception {
    assertEquals("6.3", only("^\\.version (.*)$", ptx()));
    assertEquals("sm_75", only("^\\.target (.*)$", ptx()));
    assertEquals("64", only("^\\.address_size (.*)$", ptx()));
  }

  /** Bytes of each parameter of each entry, as the source's types and as the PTX have them. */
  @Test
  void itsEntriesAndParametersAreThoseOfTheSource() throws Exception {
    Map<String, List<Integer>> inPtx = new TreeMap<>();
    Matcher entries =
        Pattern.compile("\\.visible \\.entry (\\w+)\\(([^)]*)\\)").matcher(ptx());
    while (entries.find()) {
      List<Integer> bytes = new ArrayList<>();
      Matcher parameters = Pattern.compile("\\.param \\.[a-z](\\d+)").matcher(entries.group(2));
      while (parameters.find()) {
        bytes.add(Integer.parseInt(parameters.group(1)) / 8);
      }
      inPtx.put(entries.group(1), bytes);
    }
    assertFalse(inPtx.isEmpty(), "the PTX has no entries");
  }

  @Test
  void theCompilerMakesThisPtxAndAssemblesItForEveryGeneration() throws Exception {
    if (!onPath("nvcc") || !onPath("ptxas")) {
      abort("no nvcc and ptxas to make the PTX again with");
    }
    Process process = new ProcessBuilder(REGENERATE.toString(), "--check")
        .redirectErrorStream(true)
        .start();
    String output = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), output);
  }

  private static boolean onPath(String program) {
    for (String directory : System.getenv("PATH").split(java.io.File.pathSeparator, -1)) {
      if (Files.isExecutable(Path.of(directory, program))) {
        return true;
      }
    }
    return false;
  }
}
