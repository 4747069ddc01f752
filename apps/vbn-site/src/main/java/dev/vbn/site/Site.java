package dev.vbn.site;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import org.commonmark.ext.gfm.tables.TableBlock;
import org.commonmark.ext.gfm.tables.TablesExtension;
import org.commonmark.node.FencedCodeBlock;
import org.commonmark.node.Heading;
import org.commonmark.node.Image;
import org.commonmark.node.IndentedCodeBlock;
import org.commonmark.node.Link;
import org.commonmark.node.Node;
import org.commonmark.renderer.html.AttributeProvider;
import org.commonmark.renderer.html.HtmlRenderer;

/**
 * One page for each document. Links between documents lead from page to page, those to other files to
 * the repository on the web. Pictures are copied; nothing is loaded from elsewhere.
 */
final class Site {
  private static final String REPOSITORY_URL = "https://github.com/vbn-dev/vbn/blob/main/";

  /** Where the build puts the Javadoc of all modules. */
  private static final Path JAVADOC = Path.of("target", "reports", "apidocs");

  private final Path repository;
  private final Map<Path, Page> pages = new LinkedHashMap<>();

  Site(Path repository) throws IOException {
    this.repository = repository.toAbsolutePath().normalize();
    add("README.md", "index.html");
    add("consumers/README.md", "consumers.html");
    add("apps/vbn-examples/README.md", "examples.html");
    try (Stream<Path> documents = Files.list(this.repository.resolve("docs"))) {
      for (Path document :
          documents.filter(file -> file.toString().endsWith(".md")).sorted().toList()) {
        String name = String.valueOf(document.getFileName());
        add("docs/" + name, name.toLowerCase(Locale.ROOT).replace(".md", ".html"));
      }
    }
    add("CHANGELOG.md", "changelog.html");
    add("CONTRIBUTING.md", "contributing.html");
    add("SECURITY.md", "security.html");
  }

  private void add(String source, String file) throws IOException {
    pages.put(Path.of(source), Page.read(repository, Path.of(source), file));
  }

  /** Writes all files, and yields how many pages there are. */
  int write(Path folder) throws IOException {
    Files.createDirectories(folder);
    String frame = resource("page.html");
    for (Page page : pages.values()) {
      String html = frame
          .replace("{{title}}", escaped(page.title()))
          .replace("{{navigation}}", navigation(page))
          .replace("{{content}}", content(page, folder));
      Files.writeString(folder.resolve(page.file()), html);
    }
    for (String file : List.of("site.css", "search.js")) {
      Files.writeString(folder.resolve(file), resource(file));
    }
    Files.writeString(folder.resolve("search-index.js"), index());
    if (hasJavadoc()) {
      copy(repository.resolve(JAVADOC), folder.resolve("api"));
    }
    return pages.size();
  }

  private boolean hasJavadoc() {
    return Files.exists(repository.resolve(JAVADOC).resolve("index.html"));
  }

  private String navigation(Page current) {
    StringBuilder html = new StringBuilder("<ul>\n");
    for (Page page : pages.values()) {
      html.append("<li><a href=\"").append(page.file()).append('"');
      if (page.equals(current)) {
        html.append(" aria-current=\"page\"");
      }
      html.append('>').append(escaped(page.title())).append("</a></li>\n");
    }
    if (hasJavadoc()) {
      html.append("<li><a href=\"api/index.html\">Javadoc</a></li>\n");
    }
    return html.append("</ul>").toString();
  }

  private String content(Page page, Path folder) throws IOException {
    List<Path> pictures = new ArrayList<>();
    Iterator<Page.Section> sections = page.sections().iterator();
    String html = HtmlRenderer.builder()
        .extensions(List.of(TablesExtension.create()))
        .escapeHtml(true)
        .attributeProviderFactory(context -> attributes(page, sections, pictures))
        .build()
        .render(page.document());
    for (Path picture : pictures) {
      Files.copy(
          repository.resolve(picture),
          folder.resolve(requireNonNull(picture.getFileName())),
          StandardCopyOption.REPLACE_EXISTING);
    }
    return html;
  }

  private AttributeProvider attributes(
      Page page, Iterator<Page.Section> sections, List<Path> pictures) {
    return (node, tag, attributes) -> {
      if (node instanceof Heading) {
        attributes.put("id", sections.next().anchor());
      } else if (node instanceof Link link) {
        attributes.put("href", target(page, link.getDestination()));
      } else if (node instanceof Image image) {
        Path picture = named(page, image.getDestination());
        pictures.add(picture);
        attributes.put("src", String.valueOf(picture.getFileName()));
      } else if (scrolls(node, tag)) {
        // Reached by keyboard, or what is wider than the window could not be read.
        attributes.put("tabindex", "0");
      }
    };
  }

  private static boolean scrolls(Node node, String tag) {
    boolean code = node instanceof FencedCodeBlock || node instanceof IndentedCodeBlock;
    return node instanceof TableBlock || (code && tag.equals("pre"));
  }

  private String target(Page page, String destination) {
    if (destination.startsWith("#") || destination.contains("://")) {
      return destination;
    }
    int hash = destination.indexOf('#');
    String anchor = hash < 0 ? "" : destination.substring(hash);
    Path file = named(page, hash < 0 ? destination : destination.substring(0, hash));
    Page other = pages.get(file);
    return other != null
        ? other.file() + anchor
        : REPOSITORY_URL + file.toString().replace('\\', '/') + anchor;
  }

  /** What a document names, relative to the repository's folder. */
  private static Path named(Page page, String name) {
    Path parent = page.source().getParent();
    return (parent == null ? Path.of(name) : parent.resolve(name)).normalize();
  }

  private String index() {
    StringBuilder js = new StringBuilder("const INDEX = [\n");
    for (Page page : pages.values()) {
      for (Page.Section section : page.sections()) {
        js.append('[')
            .append(quoted(page.file() + "#" + section.anchor()))
            .append(',')
            .append(quoted(page.title()))
            .append(',')
            .append(quoted(section.heading()))
            .append(',')
            .append(quoted(section.text()))
            .append("],\n");
      }
    }
    return js.append("];\n").toString();
  }

  private static String quoted(String text) {
    StringBuilder js = new StringBuilder("\"");
    for (int i = 0; i < text.length(); i++) {
      char each = text.charAt(i);
      if (each == '"' || each == '\\') {
        js.append('\\');
      }
      js.append(each < ' ' ? ' ' : each);
    }
    return js.append('"').toString();
  }

  private static String escaped(String text) {
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\"", "&quot;");
  }

  private static String resource(String name) throws IOException {
    try (InputStream in = requireNonNull(Site.class.getResourceAsStream(name), name)) {
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }

  private static void copy(Path from, Path to) throws IOException {
    try (Stream<Path> all = Files.walk(from)) {
      for (Path file : all.filter(Files::isRegularFile).toList()) {
        Path copy = to.resolve(from.relativize(file).toString());
        Files.createDirectories(requireNonNull(copy.getParent()));
        Files.copy(file, copy, StandardCopyOption.REPLACE_EXISTING);
      }
    }
  }
}
