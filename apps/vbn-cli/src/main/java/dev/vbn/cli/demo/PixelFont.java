package dev.vbn.cli.demo;

import java.util.HashMap;
import java.util.Map;

/**
 * A font of 5x8 dots. The picture's own, because a server's JVM may have no fonts at all, and so
 * that it looks the same everywhere.
 */
public final class PixelFont {
  private static final int COLUMNS = 5;
  private static final int ROWS = 8;

  /** A character and its five columns, the top dot in the lowest bit. */
  private static final String GLYPHS = """
      + 08 08 3e 08 08
      , 00 a0 60 00 00
      - 08 08 08 08 08
      . 00 60 60 00 00
      : 00 36 36 00 00
      ( 00 1c 22 41 00
      ) 00 41 22 1c 00
      0 3e 51 49 45 3e
      1 00 42 7f 40 00
      2 42 61 51 49 46
      3 21 41 45 4b 31
      4 18 14 12 7f 10
      5 27 45 45 45 39
      6 3c 4a 49 49 30
      7 01 71 09 05 03
      8 36 49 49 49 36
      9 06 49 49 29 1e
      a 20 54 54 54 78
      b 7f 48 44 44 38
      c 38 44 44 44 20
      d 38 44 44 48 7f
      e 38 54 54 54 18
      f 08 7e 09 01 02
      g 18 a4 a4 a4 7c
      h 7f 08 04 04 78
      i 00 44 7d 40 00
      j 40 80 84 7d 00
      k 7f 10 28 44 00
      l 00 41 7f 40 00
      m 7c 04 18 04 78
      n 7c 08 04 04 78
      o 38 44 44 44 38
      p fc 24 24 24 18
      q 18 24 24 18 fc
      r 7c 08 04 04 08
      s 48 54 54 54 20
      t 04 3f 44 40 20
      u 3c 40 40 20 7c
      v 1c 20 40 20 1c
      w 3c 40 30 40 3c
      x 44 28 10 28 44
      y 1c a0 a0 a0 7c
      z 44 64 54 4c 44
      """;

  private static final Map<Character, int[]> FONT = parse();

  private PixelFont() {}

  private static Map<Character, int[]> parse() {
    Map<Character, int[]> font = new HashMap<>();
    font.put(' ', new int[COLUMNS]);
    GLYPHS.lines().forEach(line -> {
      String[] parts = line.split(" ", -1);
      int[] columns = new int[COLUMNS];
      for (int i = 0; i < COLUMNS; i++) {
        columns[i] = Integer.parseInt(parts[i + 1], 16);
      }
      font.put(line.charAt(0), columns);
    });
    return font;
  }

  /** Width of a text in the image's pixels. */
  public static int width(String text, int scale) {
    return scale * ((COLUMNS + 1) * text.length() - 1);
  }

  /**
   * Draws a text of lower-case letters, digits and the punctuation above.
   *
   * @param scale pixels per dot
   */
  static void draw(Canvas canvas, String text, int left, int top, int scale, int colour) {
    for (int i = 0; i < text.length(); i++) {
      int[] columns = FONT.get(text.charAt(i));
      if (columns == null) {
        throw new IllegalArgumentException(
            "'" + text.charAt(i) + "' of '" + text + "' is not in the font");
      }
      for (int column = 0; column < COLUMNS; column++) {
        for (int row = 0; row < ROWS; row++) {
          if ((columns[column] >> row & 1) != 0) {
            int x = left + scale * ((COLUMNS + 1) * i + column);
            canvas.fill(x, top + scale * row, scale, scale, colour);
          }
        }
      }
    }
  }
}
