package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;

/** One run of the command line, and what it printed. */
record CommandLine(int exitCode, String out, String err) {

  static CommandLine run(Object... arguments) {
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] texts = Stream.of(arguments).map(String::valueOf).toArray(String[]::new);
    int exitCode = Main.run(new PrintWriter(out, true), new PrintWriter(err, true), texts);
    return new CommandLine(exitCode, out.toString(), err.toString());
  }

  /** Checks that all went well, and quietly. */
  CommandLine succeeded() {
    assertEquals("", err);
    assertEquals(0, exitCode);
    return this;
  }

  /** What it printed as one line: where a table breaks one depends on how long a path in it is. */
  String outInOneLine() {
    return out.replaceAll("\\s+", " ");
  }

  /** Every file below a directory with its contents: equal before and after if nothing changed. */
  static Map<String, String> contents(Path directory) throws IOException {
    Map<String, String> contents = new TreeMap<>();
    try (Stream<Path> files = Files.walk(directory)) {
      for (Path file : files.filter(file -> !file.equals(directory)).toList()) {
        String content = Files.isDirectory(file)
            ? "directory"
            : Base64.getEncoder().encodeToString(Files.readAllBytes(file));
        contents.put(directory.relativize(file).toString(), content);
      }
    }
    return contents;
  }
}
