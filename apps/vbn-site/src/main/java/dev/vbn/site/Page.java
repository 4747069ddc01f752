package dev.vbn.site;

import static java.util.Objects.requireNonNull;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.commonmark.ext.gfm.tables.TablesExtension;
import org.commonmark.node.AbstractVisitor;
import org.commonmark.node.Code;
import org.commonmark.node.Emphasis;
import org.commonmark.node.FencedCodeBlock;
import org.commonmark.node.Heading;
import org.commonmark.node.IndentedCodeBlock;
import org.commonmark.node.Link;
import org.commonmark.node.Node;
import org.commonmark.node.SoftLineBreak;
import org.commonmark.node.StrongEmphasis;
import org.commonmark.node.Text;
import org.commonmark.parser.Parser;

/**
 * A document of the repository.
 *
 * @param source relative to the repository's folder
 * @param file its name on the site
 */
record Page(Path source, String file, Node document, String title, List<Section> sections) {
  private static final Parser PARSER =
      Parser.builder().extensions(List.of(TablesExtension.create())).build();

  /**
   * What stands below a heading, up to the next one.
   *
   * @param anchor as GitHub makes it of the heading, so that links lead to the same place there
   */
  record Section(String anchor, String heading, String text) {}

  static Page read(Path repository, Path source, String file) throws IOException {
    Node document = PARSER.parse(Files.readString(repository.resolve(source)));
    List<Section> sections = sections(document);
    if (sections.isEmpty()) {
      throw new IOException(source + " has no heading; expected one, which is the page's title");
    }
    return new Page(source, file, document, sections.get(0).heading(), sections);
  }

  private static List<Section> sections(Node document) {
    List<Section> sections = new ArrayList<>();
    Map<String, Integer> taken = new HashMap<>();
    String heading = "";
    String anchor = "";
    StringBuilder text = new StringBuilder();
    for (Node node = document.getFirstChild(); node != null; node = node.getNext()) {
      if (node instanceof Heading) {
        if (!heading.isEmpty()) {
          sections.add(new Section(anchor, heading, text.toString().strip()));
        }
        text.setLength(0);
        heading = words(node).strip();
        anchor = anchor(heading);
        int before = taken.merge(anchor, 1, Integer::sum) - 1;
        anchor = before == 0 ? anchor : anchor + "-" + before;
      } else {
        text.append(words(node)).append(' ');
      }
    }
    if (!heading.isEmpty()) {
      sections.add(new Section(anchor, heading, text.toString().strip()));
    }
    return List.copyOf(sections);
  }

  private static String anchor(String heading) {
    return heading.toLowerCase(Locale.ROOT).replaceAll("[^\\p{L}\\p{N} _-]", "").replace(' ', '-');
  }

  /** All that is to be read in a node, code included. */
  private static String words(Node node) {
    StringBuilder words = new StringBuilder();
    node.accept(new AbstractVisitor() {
      @Override
      public void visit(Text text) {
        words.append(text.getLiteral());
      }

      @Override
      public void visit(Code code) {
        words.append(code.getLiteral());
      }

      @Override
      public void visit(SoftLineBreak lineBreak) {
        words.append(' ');
      }

      @Override
      public void visit(FencedCodeBlock block) {
        words.append(requireNonNull(block.getLiteral())).append(' ');
      }

      @Override
      public void visit(IndentedCodeBlock block) {
        words.append(requireNonNull(block.getLiteral())).append(' ');
      }

      @Override
      protected void visitChildren(Node parent) {
        super.visitChildren(parent);
        if (!(parent instanceof Heading
            || parent instanceof Link
            || parent instanceof Emphasis
            || parent instanceof StrongEmphasis)) {
          words.append(' ');
        }
      }
    });
    return words.toString().replaceAll("\\s+", " ");
  }
}
