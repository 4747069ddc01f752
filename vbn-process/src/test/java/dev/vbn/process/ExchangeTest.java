package dev.vbn.process;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The exchange that docs/PROCESS.md shows, byte for byte. */
class ExchangeTest {
  private static final Path DOCUMENT = Path.of("..", "docs", "PROCESS.md");
  private static final Pattern HEX =
      Pattern.compile("    ([0-9a-f]{4})  ((?:[0-9a-f]{2} )+) *\\|.*");

  @TempDir
  Path folder;

  /** Requests and answers in turn. */
  private static List<byte[]> exchange() throws IOException {
    List<byte[]> messages = new ArrayList<>();
    ByteArrayOutputStream message = new ByteArrayOutputStream();
    for (String line : Files.readAllLines(DOCUMENT)) {
      Matcher hex = HEX.matcher(line);
      if (hex.matches()) {
        assertEquals(message.size(), Integer.parseInt(hex.group(1), 16), line);
        message.write(HexFormat.ofDelimiter(" ").parseHex(hex.group(2).strip()));
      } else if (message.size() > 0) {
        messages.add(message.toByteArray());
        message.reset();
      }
    }
    assertEquals(4, messages.size(), "messages in " + DOCUMENT);
    return messages;
  }

  /** A shell takes down what it is asked, and says the answers of the document. */
  @Test
  void vbnSendsTheRequestsAndUnderstandsTheAnswers() throws Exception {
    List<byte[]> messages = exchange();
    StringBuilder script = new StringBuilder();
    for (int i = 0; i < messages.size(); i += 2) {
      Files.write(folder.resolve("answer" + i), messages.get(i + 1));
      script.append("head -c ").append(messages.get(i).length);
      script.append(" > '").append(folder.resolve("request" + i)).append("'; ");
      script.append("cat '").append(folder.resolve("answer" + i)).append("'; ");
    }
    ProcessProvider provider = new ProcessProvider(script.toString(), Duration.ofMinutes(1));
    try (VbnBackend<HostTensor> backend = VbnBackend.open(provider);
        VirtualBatchNorm<HostTensor> layer =
            VirtualBatchNorm.of(backend, VbnConfig.of(1).withEpsilon(1e-30))) {
      ReferenceStatistics<HostTensor> statistics = ReferenceStatistics.wrap(
          backend, HostTensor.of(new double[] {2}, 1), HostTensor.of(new double[] {1}, 1), 2, 2);
      try (Output<HostTensor> output =
          layer.forward(HostTensor.of(new float[] {5, -1}, 2, 1), statistics)) {
        float worked = 1.5666989f;
        assertArrayEquals(new float[] {worked, -worked}, output.output().floats());
      }
    }
    for (int i = 0; i < messages.size(); i += 2) {
      assertArrayEquals(messages.get(i), Files.readAllBytes(folder.resolve("request" + i)));
    }
  }

  @Test
  void theAdapterInCGivesTheAnswers() throws Exception {
    Adapters.require(Adapters.c());
    List<byte[]> messages = exchange();
    Process program = new ProcessBuilder(Adapters.c()).start();
    program.getOutputStream().write(messages.get(0));
    program.getOutputStream().write(messages.get(2));
    program.getOutputStream().close();
    byte[] answers = program.getInputStream().readAllBytes();
    ByteArrayOutputStream expected = new ByteArrayOutputStream();
    expected.write(messages.get(1));
    expected.write(messages.get(3));
    assertArrayEquals(expected.toByteArray(), answers);
    assertEquals(0, program.waitFor());
  }
}
