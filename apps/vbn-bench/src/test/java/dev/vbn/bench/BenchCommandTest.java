package dev.vbn.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.params.provider.Arguments.arguments;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;

class BenchCommandTest {
  @TempDir
  Path directory;

  static Stream<Arguments> badInput() {
    return Stream.of(
        arguments("--shape 8", "shape '8' has rank 1; expected examples, features and positions"),
        arguments("--shape 1,2,3,4,5,6", "shape '1,2,3,4,5,6' has rank 6; expected"),
        arguments("--shape 8,0", "shape '8,0' has an axis without a length; expected"),
        arguments("--shape 8,-1", "shape '8,-1' has an axis without a length; expected"),
        arguments("--shape 8,many", "shape '8,many' is no list of numbers; expected"),
        arguments("--shape 8,64,", "shape '8,64,' is no list of numbers; expected"),
        arguments("--shape 8,64@2", "shape '8,64@2' has no axis 2; expected"),
        arguments("--shape 8,64@0", "shape '8,64@0' is not written so; expected"),
        arguments("--shape 8,64:float16", "shape '8,64:float16' is not written so; expected"),
        arguments("--shape 2,134217729", "has more than 268435456 elements, which are 1 GB"),
        arguments("--shape 99999,99999,99999,99999,99999", "has more than 268435456 elements"),
        arguments("--backend abacus", "backend 'abacus' was not found; expected one"),
        arguments("--report @file", "@file: is not a directory; expected an existing"),
        arguments("--thorough", "'--thorough'; expected what 'vbn bench --help' shows"));
  }

  @ParameterizedTest
  @MethodSource("badInput")
  void badInputIsRefusedInOneLine(String options, String expected) throws IOException {
    Path file = Files.writeString(directory.resolve("file"), "there before");
    StringWriter out = new StringWriter();
    StringWriter err = new StringWriter();
    String[] words = ("bench " + options.replace("@file", directory + "/file")).split(" ", -1);
    int exitCode = dev.vbn.cli.Main.run(
        new PrintWriter(out), new PrintWriter(err), List.of(new BenchCommand()), words);
    String line = err.toString();
    assertEquals(2, exitCode, line);
    assertTrue(line.contains(expected.replace("@file", directory + "/file")), line);
    assertEquals(1, line.lines().count(), line);
    assertEquals("", out.toString());
    assertEquals("there before", Files.readString(file));
    try (Stream<Path> files = Files.list(directory)) {
      assertEquals(1, files.count());
    }
  }

  @Test
  void aShapeIsReadAsItIsWritten() {
    for (String text : List.of("8,64", "64,128,128,16@3", "2,3,4@2:float64", "8,64:float64")) {
      assertEquals(text, Shape.parse(text).toString());
    }
    Shape last = Shape.parse("64,128,128,16@3:float64");
    assertEquals(16, last.features());
    assertEquals(64, last.examples());
    assertEquals(8L * 64 * 128 * 128 * 16, last.bytes());
  }

  @Test
  void threadsDoubleUpToAll() {
    assertEquals(List.of(1), BenchCommand.threads(1));
    assertEquals(List.of(1, 2), BenchCommand.threads(2));
    assertEquals(List.of(1, 2, 4, 6), BenchCommand.threads(6));
  }
}
