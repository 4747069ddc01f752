package dev.vbn.cli.report;

import java.util.ArrayDeque;
import java.util.Deque;

/**
 * Writes elements of HTML and SVG, well-formed as XML is; every text and attribute is escaped on the
 * way.
 *
 * <p>No template engine and no chart library: a page has to be one file without scripts, which the
 * charts of libraries for the web are not, and those for Java draw with AWT, which wants fonts. What
 * is left to do is escaping and closing, and the JDK's writer of XML has neither HTML's rules for
 * empty elements nor a way to say an element in one line.
 */
public final class Markup {
  private final StringBuilder out = new StringBuilder();
  private final Deque<String> open = new ArrayDeque<>();

  /** Nothing yet. */
  public Markup() {}

  /**
   * Starts an element.
   *
   * @param attributes names and values in turn
   */
  public Markup open(String tag, Object... attributes) {
    start(tag, attributes);
    out.append('>');
    open.push(tag);
    return this;
  }

  /** Ends the element started last. */
  public Markup close() {
    out.append("</").append(open.pop()).append(">\n");
    return this;
  }

  /** An element that never has content. */
  public Markup empty(String tag, Object... attributes) {
    start(tag, attributes);
    out.append("/>");
    return this;
  }

  /** An element that holds a text. */
  public Markup element(String tag, String text, Object... attributes) {
    return open(tag, attributes).text(text).close();
  }

  /** A text. */
  public Markup text(String text) {
    text.codePoints().forEach(this::escaped);
    return this;
  }

  private void start(String tag, Object... attributes) {
    out.append('<').append(tag);
    for (int i = 0; i < attributes.length; i += 2) {
      out.append(' ').append(attributes[i]).append("=\"");
      text(attributes[i + 1].toString());
      out.append('"');
    }
  }

  private void escaped(int c) {
    switch (c) {
      case '&' -> out.append("&amp;");
      case '<' -> out.append("&lt;");
      case '>' -> out.append("&gt;");
      case '"' -> out.append("&quot;");
      case '\n', '\t' -> out.appendCodePoint(c);
      // What HTML does not allow, even escaped.
      default ->
        out.appendCodePoint(
            Character.isISOControl(c) || Character.getType(c) == Character.SURROGATE ? 0xfffd : c);
    }
  }

  /** What was written. */
  @Override
  public String toString() {
    return out.toString();
  }
}
