package dev.vbn.examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.vbn.Variant;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
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
  private static final Path TENSORFLOW = Path.of("tensorflow-backend");
  // ND4J's natives are large, and no example here needs them.
  private static final Path ND4J_TESTS = ROOT.resolve("vbn-nd4j/src/test/java");
  private static final Path DJL_TESTS = ROOT.resolve("vbn-djl/src/test/java");
  private static final Path DL4J_TESTS = ROOT.resolve("integrations/vbn-dl4j/src/test/java");
  private static final Path SPARK_TESTS = ROOT.resolve("integrations/vbn-spark/src/test/java");
  private static final Pattern LINK = Pattern.compile("\\]\\(([^):#]+)(#[^)]*)?\\)");

  @Test
  void everyCodeBlockStandsInAnExample() throws IOException {
    String java = sources(EXAMPLES, ".java")
        + sources(THIRD_PARTY.resolve("src"), ".java")
        + sources(TENSORFLOW.resolve("src"), ".java")
        + sources(ND4J_TESTS, ".java")
        + sources(DJL_TESTS, ".java")
        + sources(DL4J_TESTS, ".java")
        + sources(SPARK_TESTS, ".java");
    for (Path page : pages()) {
      assertAllIn(java, blocks(page, "java"), page);
    }
    Path page = ROOT.resolve("docs/WRITING-A-BACKEND.md");
    List<String> poms = blocks(page, "xml");
    assertEquals(1, poms.size(), "blocks of xml in " + page);
    assertAllIn(withoutIndentation(Files.readString(THIRD_PARTY.resolve("pom.xml"))), poms, page);
  }

  private static void assertAllIn(String sources, List<String> blocks, Path page) {
    for (String block : blocks) {
      assertTrue(
          sources.contains(block), () -> "no example holds what " + page + " shows\n" + block);
    }
  }

  static List<String> blocks(Path page, String language) throws IOException {
    Matcher matcher = Pattern.compile("```" + language + "\n(.*?)```", Pattern.DOTALL)
        .matcher(Files.readString(page));
    List<String> blocks = new ArrayList<>();
    while (matcher.find()) {
      blocks.add(withoutIndentation(matcher.group(1)));
    }
    return blocks;
  }

  /** One page alone must not be without code, or its blocks have lost their mark. */
  @Test
  void pagesThatExplainByCodeHaveSome() throws IOException {
    for (String page : List.of("README.md", "docs/WRITING-A-BACKEND.md")) {
      int blocks = blocks(ROOT.resolve(page), "java").size();
      assertTrue(blocks >= 5, "blocks of java in " + page + ": " + blocks);
    }
  }

  @Test
  void codeOfTheReadmeIsRead() throws IOException {
    for (String block : blocks(ROOT.resolve("README.md"), "java")) {
      assertTrue(block.lines().count() <= 15, () -> "more than 15 lines:\n" + block);
    }
  }

  /** The coordinates are those of modules of this build, in its version or the newest released. */
  @Test
  void dependenciesAreOfThisBuild() throws IOException {
    String pom = Files.readString(ROOT.resolve("pom.xml"));
    Set<String> versions = new HashSet<>(Set.of(first(pom, "version")));
    Pattern.compile("(?m)^## (\\d+\\.\\d+\\.\\d+)(?!, not released)\\b")
        .matcher(Files.readString(ROOT.resolve("CHANGELOG.md")))
        .results()
        .findFirst()
        .ifPresent(newest -> versions.add(newest.group(1)));
    List<String> blocks = blocks(ROOT.resolve("README.md"), "xml");
    assertEquals(1, blocks.size());
    List<String> dependencies = List.of(blocks.get(0).split("</dependency>\n", 0));
    assertEquals(2, dependencies.size());
    for (String dependency : dependencies) {
      assertEquals("dev.vbn", first(dependency, "groupId"));
      String version = first(dependency, "version");
      assertTrue(versions.contains(version), () -> version + "; expected one of " + versions);
      String module = "<module>" + first(dependency, "artifactId") + "</module>";
      assertTrue(pom.contains(module), () -> module + " in the root pom");
    }
  }

  private static String first(String xml, String element) {
    Matcher matcher = Pattern.compile("<" + element + ">([^<]*)<").matcher(xml);
    assertTrue(matcher.find(), () -> element + " in " + xml);
    return matcher.group(1);
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

  static String withoutIndentation(String code) {
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
