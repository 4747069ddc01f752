package dev.vbn.bench;

import static java.util.Comparator.comparing;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.spi.ToolProvider;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What is public is what docs/api lists, so that whoever changes it shows the change there. With
 * {@code -Dvbn.api.write=true} the lists are written instead.
 */
class PublicApiTest {
  private static final Path ROOT = Path.of("..", "..").toAbsolutePath().normalize();
  private static final Pattern HEADER =
      Pattern.compile("(public|protected) (?:[a-z-]+ )*(?:class|interface|enum) ([\\w.$]+)");

  /** Those that docs/VERSIONING.md promises something of: neither vbn-kernels nor applications. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "vbn-api",
        "vbn-state",
        "vbn-conformance",
        "vbn-reference",
        "vbn-djl",
        "vbn-nd4j",
        "vbn-cuda",
        "vbn-process",
        "integrations/vbn-dl4j",
        "integrations/vbn-spark"
      })
  void isWhatItsListSays(String module) throws IOException {
    Path list = ROOT.resolve("docs/api").resolve(Path.of(module).getFileName() + ".txt");
    String compiled = publicApi(ROOT.resolve(module).resolve("target/classes"));
    if (Boolean.getBoolean("vbn.api.write")) {
      Files.createDirectories(ROOT.resolve("docs/api"));
      Files.writeString(list, compiled);
    }
    assertEquals(
        Files.readString(list),
        compiled,
        () ->
            "the public API of " + module + " is not what " + list + " says; if that is meant, run"
                + " this test with -Dvbn.api.write=true and commit the list");
  }

  /** One paragraph a type: its header, and its members sorted. */
  private static String publicApi(Path classes) throws IOException {
    List<String> files;
    try (Stream<Path> all = Files.walk(classes)) {
      files = all.map(Path::toString)
          .filter(file -> file.endsWith(".class") && !file.endsWith("-info.class"))
          .sorted(
              comparing(file -> file.substring(0, file.lastIndexOf('.')))) // outer before nested
          .toList();
    }
    assertTrue(!files.isEmpty(), () -> "no class in " + classes + "; expected a build");
    List<String> types = new ArrayList<>();
    List<String> names = new ArrayList<>();
    for (String type : javap(files).split("(?m)^Compiled from .*\n", 0)) {
      var header = HEADER.matcher(type);
      if (header.lookingAt() && isReachable(header.group(2), names)) {
        names.add(header.group(2));
        types.add(paragraph(type));
      }
    }
    return String.join("\n", types);
  }

  /** Whether a method is synchronized is not seen by who calls it. */
  private static String paragraph(String type) {
    Stream<String> members = type.lines()
        .filter(line -> line.endsWith(";"))
        .map(line -> line.replace(" synchronized ", " "))
        .sorted();
    return Stream.of(type.lines().limit(1), members, Stream.of("}"))
        .flatMap(lines -> lines)
        .collect(Collectors.joining("\n", "", "\n"));
  }

  /** A type of the top level, or one in a type that is public itself. */
  private static boolean isReachable(String name, List<String> publicTypes) {
    int dollar = name.lastIndexOf('$');
    return dollar < 0 || publicTypes.contains(name.substring(0, dollar));
  }

  private static String javap(List<String> files) {
    List<String> arguments = new ArrayList<>(List.of("-protected"));
    arguments.addAll(files);
    StringWriter output = new StringWriter();
    StringWriter errors = new StringWriter();
    int exitCode = ToolProvider.findFirst("javap")
        .orElseThrow()
        .run(new PrintWriter(output), new PrintWriter(errors), arguments.toArray(String[]::new));
    assertEquals(0, exitCode, errors::toString);
    return output.toString();
  }
}
