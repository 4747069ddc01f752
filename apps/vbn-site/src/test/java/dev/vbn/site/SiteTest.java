package dev.vbn.site;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.MatchResult;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The site of the documents as they are. */
class SiteTest {
  private static final Path ROOT = Path.of("..", "..");
  private static final Pattern LINK = Pattern.compile("href=\"([^\"#]*)(?:#([^\"]*))?\"");
  private static final Pattern ID = Pattern.compile("id=\"([^\"]*)\"");

  @TempDir
  static Path site;

  @BeforeAll
  static void write() throws IOException {
    new Site(ROOT).write(site);
  }

  private static List<Path> pages() throws IOException {
    try (Stream<Path> files = Files.list(site)) {
      return files.filter(file -> file.toString().endsWith(".html")).sorted().toList();
    }
  }

  @Test
  void everyDocumentIsAPage() throws IOException {
    Set<String> expected = new TreeSet<>(Set.of(
        "index.html",
        "consumers.html",
        "examples.html",
        "changelog.html",
        "contributing.html",
        "security.html"));
    try (Stream<Path> documents = Files.list(ROOT.resolve("docs"))) {
      documents
          .map(file -> file.getFileName().toString())
          .filter(name -> name.endsWith(".md"))
          .forEach(name -> expected.add(name.replace(".md", ".html").toLowerCase(Locale.ROOT)));
    }
    assertEquals(
        expected,
        pages().stream().map(page -> page.getFileName().toString()).collect(Collectors.toSet()));
  }

  /** To a page and a heading that are there; links to the web are no business of this test. */
  @Test
  void everyLinkLeadsSomewhere() throws IOException {
    int links = 0;
    for (Path page : pages()) {
      for (MatchResult link : LINK.matcher(Files.readString(page)).results().toList()) {
        String file = link.group(1);
        if (file.contains(":")) {
          continue;
        }
        Path target = file.isEmpty() ? page : site.resolve(file);
        assertTrue(Files.exists(target), () -> page + " links to " + link.group());
        if (link.group(2) != null) {
          links++;
          Set<String> ids = ID.matcher(Files.readString(target))
              .results()
              .map(id -> id.group(1))
              .collect(Collectors.toSet());
          assertTrue(ids.contains(link.group(2)), () -> page + " links to " + link.group());
        }
      }
    }
    assertTrue(links > 20, "links to headings: " + links);
  }

  @Test
  void nothingIsLoadedFromElsewhere() throws IOException {
    for (Path page : pages()) {
      String html = Files.readString(page);
      assertFalse(
          Pattern.compile("(src|<link[^>]*href)=\"(https?:)?//").matcher(html).find(),
          () -> page + " loads from elsewhere");
    }
    for (String file : List.of("site.css", "search.js")) {
      assertFalse(
          Files.readString(site.resolve(file)).matches("(?s).*(url\\(|fetch|import ).*"), file);
    }
  }

  @Test
  void everyHeadingCanBeFound() throws IOException {
    String index = Files.readString(site.resolve("search-index.js"));
    for (Path page : pages()) {
      Pattern heading = Pattern.compile("<h[1-6] id=\"([^\"]*)\"");
      for (MatchResult found : heading.matcher(Files.readString(page)).results().toList()) {
        String address = "\"" + page.getFileName() + "#" + found.group(1) + "\"";
        assertTrue(index.contains(address), () -> address + " in the index");
      }
    }
  }
}
