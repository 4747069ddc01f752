package dev.vbn.cli;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/** Reads JSON, and nothing that is not JSON; into maps, lists, texts, numbers and booleans. */
final class JsonReader {
  private final String json;
  private int next;

  private JsonReader(String json) {
    this.json = json;
  }

  static Object read(String json) {
    JsonReader reader = new JsonReader(json);
    Object value = reader.value();
    reader.skip();
    if (reader.next != json.length()) {
      throw reader.error("end");
    }
    return value;
  }

  private Object value() {
    skip();
    switch (json.charAt(next)) {
      case '{' -> {
        Map<String, Object> map = new LinkedHashMap<>();
        next++;
        while (!ended('}', !map.isEmpty())) {
          skip();
          String key = text();
          expect(':');
          if (map.put(key, value()) != null) {
            throw error("another key than " + key);
          }
        }
        return map;
      }
      case '[' -> {
        List<Object> list = new ArrayList<>();
        next++;
        while (!ended(']', !list.isEmpty())) {
          list.add(value());
        }
        return list;
      }
      case '"' -> {
        return text();
      }
      default -> {
        return word();
      }
    }
  }

  private boolean ended(char end, boolean comma) {
    skip();
    if (json.charAt(next) == end) {
      next++;
      return true;
    }
    if (comma) {
      expect(',');
    }
    return false;
  }

  private Object word() {
    int start = next;
    while (next < json.length() && ",]} \n".indexOf(json.charAt(next)) < 0) {
      next++;
    }
    String word = json.substring(start, next);
    return switch (word) {
      case "null" -> "null";
      case "true" -> true;
      case "false" -> false;
      default -> {
        if (!word.matches("-?(0|[1-9]\\d*)(\\.\\d+)?([eE][+-]?\\d+)?")) {
          throw error("a number, not " + word);
        }
        yield Double.valueOf(word);
      }
    };
  }

  private String text() {
    expect('"');
    StringBuilder text = new StringBuilder();
    while (json.charAt(next) != '"') {
      char c = json.charAt(next++);
      if (c < ' ') {
        throw error("an escape");
      }
      if (c == '\\') {
        char escape = json.charAt(next++);
        if (escape == 'u') {
          c = (char) Integer.parseInt(json.substring(next, next + 4), 16);
          next += 4;
        } else if (escape == '"' || escape == '\\') {
          c = escape;
        } else {
          throw error("an escape that is written here");
        }
      }
      text.append(c);
    }
    next++;
    return text.toString();
  }

  private void expect(char c) {
    skip();
    if (json.charAt(next) != c) {
      throw error("'" + c + "'");
    }
    next++;
  }

  private void skip() {
    while (next < json.length() && " \n".indexOf(json.charAt(next)) >= 0) {
      next++;
    }
  }

  private IllegalArgumentException error(String expected) {
    return new IllegalArgumentException("at " + next + " expected " + expected);
  }
}
