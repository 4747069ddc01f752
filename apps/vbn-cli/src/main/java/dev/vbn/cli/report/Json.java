package dev.vbn.cli.report;

import java.util.Iterator;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Writes JSON: maps in their own order, lists, texts, numbers, booleans and null. JSON has no NaN
 * and no infinity, which become texts.
 */
public final class Json {
  private final StringBuilder out = new StringBuilder();

  private Json() {}

  /** The text, with a line break at its end. */
  public static String of(@Nullable Object value) {
    Json json = new Json();
    json.value(value, "\n");
    return json.out.append('\n').toString();
  }

  private void value(@Nullable Object value, String lineBreak) {
    if (value instanceof Map<?, ?> map) {
      block('{', '}', map.entrySet().iterator(), lineBreak);
    } else if (value instanceof List<?> list) {
      block('[', ']', list.iterator(), lineBreak);
    } else if (value instanceof Map.Entry<?, ?> entry) {
      text(String.valueOf(entry.getKey()));
      out.append(": ");
      value(entry.getValue(), lineBreak);
    } else if (value == null
        || value instanceof Boolean
        || (value instanceof Number number && Double.isFinite(number.doubleValue()))) {
      out.append(value);
    } else {
      text(value.toString());
    }
  }

  private void block(char open, char close, Iterator<?> items, String lineBreak) {
    out.append(open);
    String separator = "";
    boolean any = items.hasNext();
    while (items.hasNext()) {
      out.append(separator).append(lineBreak).append("  ");
      value(items.next(), lineBreak + "  ");
      separator = ",";
    }
    out.append(any ? lineBreak : "").append(close);
  }

  private void text(String text) {
    out.append('"');
    for (int i = 0; i < text.length(); i++) {
      char c = text.charAt(i);
      if (c == '"' || c == '\\') {
        out.append('\\').append(c);
      } else if (c < ' ' || Character.isSurrogate(c)) { // a half cannot be encoded
        out.append(String.format("\\u%04x", (int) c));
      } else {
        out.append(c);
      }
    }
    out.append('"');
  }
}
