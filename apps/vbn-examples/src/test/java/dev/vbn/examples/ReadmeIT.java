package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the README says is enough: a project that has the README's dependencies, and Guice for the
 * sake of one snippet, compiles and runs the programs that its snippets are of.
 */
class ReadmeIT {
  private static final Path README = Elsewhere.ROOT.resolve("README.md");
  private static final Path EXAMPLES = Path.of("src/main/java/dev/vbn/examples");
  private static final String GUICE = """
      <dependency>
      <groupId>com.google.inject</groupId>
      <artifactId>guice</artifactId>
      <version>7.0.0</version>
      </dependency>
      """;

  @TempDir
  Path directory;

  @Test
  void itsSnippetsRunWithItsDependencies() throws Exception {
    Elsewhere elsewhere = Elsewhere.in(
        directory, directory.resolve("repository"), "vbn-api", "vbn-kernels", "vbn-reference");
    Path project = elsewhere.project(Elsewhere.ROOT.resolve("consumers/class-path"));
    Path pom = project.resolve("pom.xml");
    Files.writeString(pom, withTheDependenciesOfTheReadme(Files.readString(pom)));
    Path main = project.resolve("src/main/java/com/example/Main.java");
    Files.delete(main);
    Path sources = Files.createDirectories(project.resolve("src/main/java/dev/vbn/examples"));
    Set<Path> examples = examplesOfTheReadme();
    for (Path example : examples) {
      Files.copy(example, sources.resolve(example.getFileName()));
    }
    elsewhere.maven(project, "package");

    Map<String, String> printed = new TreeMap<>();
    for (Path example : examples) {
      String program = example.getFileName().toString().replace(".java", "");
      String output = elsewhere.succeed(
          project.resolve("target"),
          Elsewhere.java("java"),
          "-cp",
          "class-path-1.0.0.jar" + File.pathSeparator + "lib/*",
          "dev.vbn.examples." + program);
      // The last line: Guice makes newer JVMs warn before it.
      printed.put(program, output.lines().reduce("", (before, line) -> line));
    }
    assertEquals(Set.of("AnyBackend", "GuiceWiring", "PlainArrays", "Training"), printed.keySet());
    // Half of reference and live batch each: mean 3.5, variance (1 + 0)/2 + 9/4.
    assertNumbers(printed.get("AnyBackend"), 1.5 / Math.sqrt(2.75));
    // A third of the live example: mean 3, variance 2/3 + 9*2/9; the other is the mean itself.
    assertNumbers(printed.get("PlainArrays"), 2 / Math.sqrt(8.0 / 3), 0);
    assertNumbers(printed.get("Training"), 1, 3, 5, 7);
    assertTrue(printed.get("GuiceWiring").startsWith("Discriminator with "), printed::toString);
    assertTrue(printed.get("GuiceWiring").endsWith(" on reference"), printed::toString);
  }

  private static void assertNumbers(String printed, double... expected) {
    double[] numbers = Arrays.stream(printed.replaceAll("[\\[\\] ]", "").split(",", -1))
        .mapToDouble(Double::parseDouble)
        .toArray();
    assertArrayEquals(expected, numbers, 1e-3, printed);
  }

  private static Set<Path> examplesOfTheReadme() throws IOException {
    Set<Path> found = new TreeSet<>();
    try (Stream<Path> examples = Files.list(EXAMPLES)) {
      for (Path example : examples.filter(Files::isRegularFile).toList()) {
        String code = ReadmeTest.withoutIndentation(Files.readString(example));
        if (ReadmeTest.blocks(README, "java").stream().anyMatch(code::contains)) {
          found.add(example);
        }
      }
    }
    return found;
  }

  private static String withTheDependenciesOfTheReadme(String pom) throws IOException {
    String dependencies = String.join("", ReadmeTest.blocks(README, "xml")) + GUICE;
    String ofThisBuild = Pattern.compile(
            "(<groupId>dev.vbn</groupId>\\s*<artifactId>[^<]*</artifactId>\\s*<version>)[^<]*<")
        .matcher(dependencies)
        .replaceAll("$1\\${vbn.version}<");
    return Pattern.compile("(<dependencies>).*(</dependencies>)", Pattern.DOTALL)
        .matcher(pom)
        .replaceFirst("$1" + Matcher.quoteReplacement(ofThisBuild) + "$2");
  }
}
