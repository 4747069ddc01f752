package dev.vbn.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.abort;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
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
    byte[] digest = MessageDigest.getInstance("SHA-256").digest(Files.readAllBytes(SOURCE));
    assertEquals(
        HexFormat.of().formatHex(digest),
        only("^// SHA-256 of vbn.cu: ([0-9a-f]{64})$", ptx()),
        "SHA-256 of " + SOURCE + " in the header of " + PTX + "; run " + REGENERATE);
  }

  @Test
  void itAsksForNoNewerDriverOrDevice() throws Exception {
    assertEquals("6.3", only("^\\.version (.*)$", ptx()));
    assertEquals("sm_75", only("^\\.target (.*)$", ptx()));
    assertEquals("64", only("^\\.address_size (.*)$", ptx()));
  }

  /** Bytes of each parameter: what {@code BatchKernels} hands over. */
  @Test
  void itsEntriesAndParametersAreThoseThatAreLaunched() throws Exception {
    Map<String, String> expected = new TreeMap<>();
    for (String type : List.of("float32", "float64", "float16", "bfloat16")) {
      expected.put("vbn_forward_" + type, "8888888888444444444");
      expected.put("vbn_backward_" + type, "888888888888884444444444");
      expected.put("vbn_forward_together_" + type, "8".repeat(13) + "444444884444444");
      expected.put("vbn_backward_together_" + type, "8".repeat(17) + "444444884444444");
      expected.put("vbn_sums_" + type, "8".repeat(14) + "4444844444");
      expected.put("vbn_gradient_sums_" + type, "8".repeat(18) + "4444844444");
      expected.put("vbn_normalize_" + type, "8888884444");
      expected.put("vbn_differentiate_" + type, "88888884444");
      expected.put("vbn_differentiate_twice_" + type, "888888888888888444");
      expected.put("vbn_masked_sums_" + type, "8".repeat(14) + "444484444488");
      expected.put("vbn_masked_gradient_sums_" + type, "8".repeat(18) + "444484444488");
      expected.put("vbn_masked_normalize_" + type, "88888844448");
      expected.put("vbn_masked_differentiate_" + type, "888888844448");
      expected.put("vbn_masked_differentiate_twice_" + type, "8888888888888884448");
    }
    for (String type : List.of("float32", "float16", "bfloat16")) {
      expected.put("vbn_column_sums_" + type, "8".repeat(14) + "48444");
      expected.put("vbn_column_gradient_sums_" + type, "8".repeat(18) + "48444");
    }
    for (String type : List.of("float32", "float64")) {
      expected.put("vbn_mix_forward_" + type, "8".repeat(11) + "444");
      expected.put("vbn_mix_backward_" + type, "8".repeat(14) + "444");
      expected.put("vbn_sum_groups_" + type, "88888844");
    }
    expected.put("vbn_mask", "88888488444");
    expected.put("vbn_reference_lines", "888884");
    expected.put("vbn_lines", "888");

    Map<String, String> actual = new TreeMap<>();
    Matcher entries = Pattern.compile("\\.visible \\.entry (\\w+)\\(([^)]*)\\)").matcher(ptx());
    while (entries.find()) {
      StringBuilder bytes = new StringBuilder();
      Matcher parameters = Pattern.compile("\\.param \\.[a-z](\\d+)").matcher(entries.group(2));
      while (parameters.find()) {
        bytes.append(Integer.parseInt(parameters.group(1)) / 8);
      }
      actual.put(entries.group(1), bytes.toString());
    }
    assertEquals(expected, actual);
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
    for (String directory : System.getenv("PATH").split(File.pathSeparator, -1)) {
      if (Files.isExecutable(Path.of(directory, program))) {
        return true;
      }
    }
    return false;
  }
}
