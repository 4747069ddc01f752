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

/** The README's code is code that compiles and runs here. */
class ReadmeTest {
  private static final Path ROOT = Path.of("..");
  private static final Pattern JAVA = Pattern.compile("```java\n(.*?)```", Pattern.DOTALL);
  private static final Pattern LINK = Pattern.compile("\\]\\(([^):#]+)(#[^)]*)?\\)");

  @Test
  void everyCodeBlockStandsInAnExample() throws IOException {
    String examples = examples();
    int blocks = 0;
    Matcher matcher = JAVA.matcher(Files.readString(ROOT.resolve("README.md")));
    while (matcher.find()) {
      blocks++;
      String block = withoutIndentation(matcher.group(1));
      assertTrue(examples.contains(block), () -> "no example holds the README's\n" + block);
    }
    assertTrue(blocks >= 2, "code blocks in the README: " + blocks);
  }

  private static String examples() throws IOException {
    try (Stream<Path> sources = Files.walk(Path.of("src/main/java"))) {
      StringBuilder all = new StringBuilder();
      for (Path source :
          sources.filter(file -> file.toString().endsWith(".java")).toList()) {
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
    List<Path> pages = new ArrayList<>();
    try (Stream<Path> root = Files.list(ROOT)) {
      root.filter(file -> file.toString().endsWith(".md")).forEach(pages::add);
    }
    if (Files.isDirectory(ROOT.resolve("docs"))) {
      try (Stream<Path> docs = Files.list(ROOT.resolve("docs"))) {
        docs.filter(file -> file.toString().endsWith(".md")).forEach(pages::add);
      }
    }
    int links = 0;
    for (Path page : pages) {
      Matcher matcher = LINK.matcher(Files.readString(page));
      while (matcher.find()) {
        links++;
        Path parent = page.getParent();
        if (parent == null || !Files.exists(parent.resolve(matcher.group(1)))) {
          fail(page + " links to " + matcher.group(1) + "; expected a file there");
        }
      }
    }
    assertTrue(links > 0, "no link was found in " + pages);
  }
}
