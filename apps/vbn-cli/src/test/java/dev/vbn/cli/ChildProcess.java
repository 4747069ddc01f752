package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** The command line in a process of its own, for what ends a process. */
final class ChildProcess implements AutoCloseable {
  private final Process process;

  private ChildProcess(Process process) {
    this.process = process;
  }

  /**
   * Starts it.
   *
   * @param before shell code that runs before it, in the same process; may redirect
   */
  static ChildProcess start(String before, Object... arguments) throws IOException {
    List<String> command = new ArrayList<>(List.of("bash", "-c", before + " exec \"$@\"", "bash"));
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.addAll(List.of("-XX:-UsePerfData", "-cp", System.getProperty("java.class.path")));
    command.add(Main.class.getName());
    Stream.of(arguments).map(String::valueOf).forEach(command::add);
    return new ChildProcess(new ProcessBuilder(command).start());
  }

  /** Waits until it has written this line to standard error. */
  void awaitLine(String expected) throws IOException {
    BufferedReader err = process.errorReader(StandardCharsets.UTF_8);
    StringBuilder seen = new StringBuilder();
    for (String line = err.readLine(); line != null; line = err.readLine()) {
      if (line.equals(expected)) {
        return;
      }
      seen.append(line).append('\n');
    }
    fail("it never wrote '" + expected + "' but\n" + seen);
  }

  /** Asks it to end, as an interrupt does. */
  void interrupt() throws InterruptedException {
    process.destroy();
    await();
  }

  /** Ends it without asking. */
  void kill() throws InterruptedException {
    process.destroyForcibly();
    await();
  }

  /** Its exit code. */
  int await() throws InterruptedException {
    assertTrue(process.waitFor(1, TimeUnit.MINUTES), "it did not end in a minute");
    return process.exitValue();
  }

  /** What it has written to standard error. */
  String err() throws IOException {
    return new String(process.getErrorStream().readAllBytes(), StandardCharsets.UTF_8);
  }

  @Override
  public void close() {
    process.destroyForcibly();
  }

  /** A folder of classes that makes backends known to {@code --class-path}. */
  static Path classPath(Path folder, Class<?> provider) throws IOException {
    Path services = Files.createDirectories(folder.resolve("META-INF/services"));
    Files.writeString(services.resolve("dev.vbn.spi.VbnProvider"), provider.getName());
    return folder;
  }
}
