package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Variant;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** The code in the documentation is code that compiles and runs here, and its links lead on. */
class ReadmeTest {
  private static final Path ROOT = Path.of("..", "..");
  private static final Path EXAMPLES = Path.of("src/main/java");
  private static final Path THIRD_PARTY = Path.of("third-party-backend");
  // ND4J's natives are large, and no example here needs them.
  private static final Path ND4J_TESTS = ROOT.resolve("vbn-nd4j/src/test/java");
  private static final Pattern LINK = Pattern.compile("\\]\\(([^):#]+)(#[^)]*)?\\)");

  @Test
  void everyCodeBlockStandsInAnExample() throws IOException {
    String java = sources(EXAMPLES, ".java")
        + sources(THIRD_PARTY.resolve("src"), ".java")
        + sources(ND4J_TESTS, ".java");
    assertBlocksStandIn(java, "java");
    assertBlocksStandIn(
        withoutIndentation(Files.readString(THIRD_PARTY.resolve("pom.xml"))), "xml");
  }

  private static void assertBlocksStandIn(String sources, String language) throws IOException {
    Pattern fence = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL);
    int blocks = 0;
    for (Path page : pages()) {
      Matcher matcher = fence.matcher(Files.readString(page));
      while (matcher.find()) {
        blocks++;
        String block = withoutIndentation(matcher.group(1));
        assertTrue(
            sources.contains(block), () -> "no example holds what " + page + " shows\n" + block);
      }
    }
    assertTrue(blocks > 0, "no block of " + language + " was found in " + pages());
  }

  /** One page alone must not be without code, or its blocks have lost their mark. */
  @Test
  void pagesThatExplainByCodeHaveSome() throws IOException {
    for (String page : List.of("README.md", "docs/WRITING-A-BACKEND.md")) {
      long blocks =
          Files.readString(ROOT.resolve(page)).lines().filter("```java"::equals).count();
      assertTrue(blocks >= 2, "blocks of java in " + page + ": " + blocks);
    }
  }

  private static String sources(Path directory, String suffix) throws IOException {
    try (Stream<Path> sources = Files.walk(directory)) {
      StringBuilder all = new StringBuilder();
      for (Path source :
          sources.filter(file -> file.toString().endsWith(suffix)).toList()) {
        all.append(withoutIndentation(Files.readString(source)));
      }
      return all.toString();
    }
  }

  private static String withoutIndentation(String code) {
    return code.lines().map(String::strip).collect(Collectors.joining("\n", "", "\n"));
  }

  @Test
  void theTableNamesEveryVariant() throws IOException {
    String readme = Files.readString(ROOT.resolve("README.md"));
    for (Variant variant : Variant.values()) {
      assertTrue(readme.contains("| `" + variant.name() + "`"), variant.name());
      assertTrue(readme.contains("`" + variant.label() + "`"), variant.label());
    }
  }

  @Test
  void everyLinkOfTheDocumentationLeadsToAFile() throws IOException {
    int links = 0;
    for (Path page : pages()) {
      Matcher matcher = LINK.matcher(Files.readString(page));
      while (matcher.find()) {
        links++;
        Path parent = page.getParent();
        if (parent == null || !Files.exists(parent.resolve(matcher.group(1)))) {
          fail(page + " links to " + matcher.group(1) + "; expected a file there");
        }
      }
    }
    assertTrue(links > 0, "no link was found in " + pages());
  }

  private static List<Path> pages() throws IOException {
    List<Path> pages = new ArrayList<>();
    for (Path directory : List.of(ROOT, ROOT.resolve("docs"))) {
      try (Stream<Path> files = Files.list(directory)) {
        files.filter(file -> file.toString().endsWith(".md")).forEach(pages::add);
      }
    }
    return pages;
  }
}
