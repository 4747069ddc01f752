package dev.vbn.state;

import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What stands before the data of an {@code .npy} file.
 *
 * @param source name of the file, for messages
 * @param length bytes of the header, magic included: where the data starts
 * @param descr dtype as NumPy writes it, such as {@code <f4}
 * @param fortranOrder whether the first axis varies fastest
 * @param shape lengths of the axes, each 0 or more; at most {@value #MAX_RANK}
 */
record NpyHeader(String source, int length, String descr, boolean fortranOrder, long[] shape) {
  static final byte[] MAGIC = {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y'};
  static final int MAX_RANK = 32;
  static final int MAX_ELEMENTS = Integer.MAX_VALUE - 8;
  // NumPy refuses headers over 10000 bytes; only a structured dtype needs that much.
  private static final int MAX_TEXT = 65_535;
  private static final int EXCERPT = 80;

  /** Reads up to the first byte of data. */
  static NpyHeader read(InputStream in, String source) throws IOException {
    byte[] start = in.readNBytes(MAGIC.length + 2);
    String other = otherKind(start);
    if (other != null) {
      throw new NpyException(source + ": " + other + "; expected an .npy");
    }
    if (start.length < MAGIC.length + 2) {
      throw new NpyException(
          source + ": ends after " + start.length + " bytes; expected an .npy header");
    }
    if (!Arrays.equals(start, 0, MAGIC.length, MAGIC, 0, MAGIC.length)) {
      HexFormat hex = HexFormat.ofDelimiter(" ");
      throw new NpyException(source + ": starts with " + hex.formatHex(start, 0, MAGIC.length)
          + "; expected " + hex.formatHex(MAGIC) + " (\\x93NUMPY)");
    }
    int major = start[MAGIC.length] & 0xff;
    int minor = start[MAGIC.length + 1] & 0xff;
    if (major < 1 || major > 3 || minor != 0) {
      throw new NpyException(
          source + ": format version is " + major + "." + minor + "; expected 1.0, 2.0 or 3.0");
    }
    byte[] size = new byte[4];
    int sizeBytes = major == 1 ? 2 : 4;
    int got = in.readNBytes(size, 0, sizeBytes);
    if (got < sizeBytes) {
      throw new NpyException(
          source + ": length of the header is cut to " + got + " bytes; expected " + sizeBytes);
    }
    long textBytes = ByteBuffer.wrap(size).order(ByteOrder.LITTLE_ENDIAN).getInt() & 0xffffffffL;
    if (textBytes > MAX_TEXT) {
      throw new NpyException(
          source + ": header of " + textBytes + " bytes; expected at most " + MAX_TEXT);
    }
    byte[] text = in.readNBytes((int) textBytes);
    if (text.length < textBytes) {
      throw new NpyException(
          source + ": header is cut to " + text.length + " bytes; expected " + textBytes);
    }
    int length = start.length + sizeBytes + text.length;
    // Version 3 is UTF-8, but only the names of fields, which are not read, may go beyond ASCII.
    return new Parser(source, new String(text, StandardCharsets.ISO_8859_1)).header(length);
  }

  /** What files that are given for an .npy often are, by their first bytes; null for any other. */
  private static @Nullable String otherKind(byte[] start) {
    if (startsWith(start, 'P', 'K', 3, 4) || startsWith(start, 'P', 'K', 5, 6)) {
      return "is a zip, as an .npz is";
    }
    if (startsWith(start, 0x1f, 0x8b)) {
      return "is compressed by gzip";
    }
    for (byte b : start) {
      boolean printed = (b >= ' ' && b <= '~') || b == '\t' || b == '\r' || b == '\n';
      if (!printed) {
        return null;
      }
    }
    return start.length == 0
        ? null
        : "is text, as CSV is, and starts with \""
            + printable(new String(start, StandardCharsets.US_ASCII).strip()) + "\"";
  }

  private static boolean startsWith(byte[] bytes, int... expected) {
    if (bytes.length < expected.length) {
      return false;
    }
    for (int i = 0; i < expected.length; i++) {
      if ((bytes[i] & 0xff) != expected[i]) {
        return false;
      }
    }
    return true;
  }

  /**
   * Number of elements.
   *
   * @throws NpyException if a Java array cannot hold that many
   */
  long count() throws NpyException {
    long count = 1;
    boolean empty = false;
    for (long axis : shape) {
      empty |= axis == 0;
      // Zero-length axes are left out, so that their place does not decide what overflows.
      long factor = Math.max(axis, 1);
      if (count > Long.MAX_VALUE / factor) {
        throw error("shape " + Arrays.toString(shape) + " overflows 64 bits; expected at most "
            + MAX_ELEMENTS + " elements");
      }
      count *= factor;
    }
    if (empty) {
      return 0;
    }
    if (count > MAX_ELEMENTS) {
      throw error("shape " + Arrays.toString(shape) + " has " + count
          + " elements; expected at most " + MAX_ELEMENTS);
    }
    return count;
  }

  /** Refuses data that Java could not hold even if it held nothing else. */
  void requireHeap(long dataBytes) throws NpyException {
    if (dataBytes > Runtime.getRuntime().maxMemory()) {
      throw heapError(dataBytes, null);
    }
  }

  NpyException heapError(long dataBytes, @Nullable Throwable cause) {
    return new NpyException(source + ": " + Elements.beyondHeap(dataBytes), cause);
  }

  NpyException error(String message) {
    return new NpyException(source + ": " + message);
  }

  /** The error for data that is {@code found} bytes long, or goes on after that many. */
  NpyException dataError(String found, long expected) {
    return error("data is " + found + " bytes; expected " + expected + " for " + printable(descr)
        + " of shape " + Arrays.toString(shape));
  }

  /** The start of {@code text} in one line. */
  static String printable(String text) {
    String start = text.length() > EXCERPT ? text.substring(0, EXCERPT) + "..." : text;
    return start.replaceAll("[^ -~]", "?");
  }

  /** Parses the one Python literal NumPy writes: a dict of a string, a bool and a tuple. */
  private static final class Parser {
    private static final int END = -1;

    private final String source;
    private final String text;
    private int position;

    Parser(String source, String text) {
      this.source = source;
      this.text = text;
    }

    NpyHeader header(int length) throws NpyException {
      String descr = null;
      Boolean fortranOrder = null;
      long[] shape = null;
      expect('{');
      while (!accept('}')) {
        String key = string();
        expect(':');
        boolean again;
        switch (key) {
          case "descr" -> {
            again = descr != null;
            descr = descr();
          }
          case "fortran_order" -> {
            again = fortranOrder != null;
            fortranOrder = bool();
          }
          case "shape" -> {
            again = shape != null;
            shape = shape();
          }
          default ->
            throw error("header has the key '" + printable(key)
                + "'; expected only descr, fortran_order and shape");
        }
        if (again) {
          throw error("header has the key '" + key + "' twice; expected it once");
        }
        if (!accept(',') && peek() != '}') {
          throw unexpected("',' or '}'");
        }
      }
      if (peek() != END) {
        throw unexpected("the end of the header");
      }
      if (descr == null || fortranOrder == null || shape == null) {
        String missing = descr == null ? "descr" : shape == null ? "shape" : "fortran_order";
        throw error(
            "header has no " + missing + "; expected the keys descr, fortran_order and shape");
      }
      return new NpyHeader(source, length, descr, fortranOrder, shape);
    }

    private String descr() throws NpyException {
      int next = peek();
      if (next == '[' || next == '(') {
        // Fields and subarrays nest; no more of them is read than the message shows.
        throw error("dtype is structured, " + rest() + "; expected " + Npy.DTYPES);
      }
      return string();
    }

    private String string() throws NpyException {
      int quote = peek();
      if (quote != '\'' && quote != '"') {
        throw unexpected("a quoted string");
      }
      int end = text.indexOf(quote, position + 1);
      if (end < 0) {
        throw unexpected("a string with a closing quote");
      }
      String string = text.substring(position + 1, end);
      position = end + 1;
      return string;
    }

    private boolean bool() throws NpyException {
      peek();
      for (String word : new String[] {"True", "False"}) {
        if (text.startsWith(word, position)) {
          position += word.length();
          return word.equals("True");
        }
      }
      throw unexpected("True or False");
    }

    private long[] shape() throws NpyException {
      List<Long> axes = new ArrayList<>();
      expect('(');
      boolean comma = true;
      while (!accept(')')) {
        if (!comma) {
          throw unexpected("',' or ')'");
        }
        if (axes.size() == MAX_RANK) {
          throw error("shape has more than " + MAX_RANK + " axes; expected at most " + MAX_RANK);
        }
        axes.add(axis());
        comma = accept(',');
      }
      if (axes.size() == 1 && !comma) {
        throw error("shape is a number in parentheses; expected a tuple, such as (3,)");
      }
      return axes.stream().mapToLong(Long::longValue).toArray();
    }

    private long axis() throws NpyException {
      boolean negative = accept('-');
      peek();
      int start = position;
      while (position < text.length() && isDigit(text.charAt(position))) {
        position++;
      }
      if (start == position) {
        throw unexpected("the length of an axis");
      }
      String digits = text.substring(start, position);
      if (negative) {
        throw error("shape has the negative length -" + printable(digits) + "; expected 0 or more");
      }
      // NumPy under Python 2 wrote long integers, such as 3L.
      accept('L');
      try {
        return Long.parseLong(digits);
      } catch (NumberFormatException e) {
        throw error(
            "shape has the length " + printable(digits) + "; expected at most " + MAX_ELEMENTS);
      }
    }

    private static boolean isDigit(char c) {
      return c >= '0' && c <= '9';
    }

    /** The next character that is not white space, not consumed; {@link #END} after the last. */
    private int peek() {
      while (position < text.length() && " \t\r\n".indexOf(text.charAt(position)) >= 0) {
        position++;
      }
      return position < text.length() ? text.charAt(position) : END;
    }

    private boolean accept(char c) {
      if (peek() != c) {
        return false;
      }
      position++;
      return true;
    }

    private void expect(char c) throws NpyException {
      if (!accept(c)) {
        throw unexpected("'" + c + "'");
      }
    }

    private NpyException unexpected(String expected) {
      String found = position < text.length() ? "\"" + rest() + "\"" : "its end";
      return error("header has " + found + " at character " + position + "; expected " + expected);
    }

    private String rest() {
      return printable(text.substring(position).strip());
    }

    private NpyException error(String message) {
      return new NpyException(source + ": " + message);
    }
  }
}
