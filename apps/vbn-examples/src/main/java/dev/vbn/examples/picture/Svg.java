package dev.vbn.examples.picture;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import java.util.Locale;

/** A picture in SVG, which needs no fonts on the machine that draws it. Colours are {@code 0xrrggbb}. */
public final class Svg {
  public static final int SMALL = 16;
  public static final int LARGE = 24;

  private static final int WHITE = 0xffffff;

  private final StringBuilder out = new StringBuilder();

  /** A white one. */
  public Svg(int width, int height) {
    add(String.format(
        Locale.ROOT,
        "<svg xmlns='http://www.w3.org/2000/svg' width='%d' height='%d' viewBox='0 0 %d %d'"
            + " font-family='sans-serif'>",
        width,
        height,
        width,
        height));
    fill(0, 0, width, height, WHITE);
  }

  private void add(String element) {
    out.append(element).append('\n');
  }

  /** A rectangle. */
  public void fill(int left, int top, int width, int height, int colour) {
    add(String.format(
        Locale.ROOT,
        "<rect x='%d' y='%d' width='%d' height='%d' fill='#%06x' shape-rendering='crispEdges'/>",
        left,
        top,
        width,
        height,
        colour));
  }

  /** A picture of pixels in PNG, stretched to a rectangle. */
  public void image(byte[] png, int left, int top, int width, int height) {
    add(String.format(
        Locale.ROOT,
        "<image x='%d' y='%d' width='%d' height='%d' preserveAspectRatio='none'"
            + " href='data:image/png;base64,%s'/>",
        left,
        top,
        width,
        height,
        Base64.getEncoder().encodeToString(png)));
  }

  /** A text from {@code left} on. */
  public void text(String text, int left, int baseline, int size, int colour) {
    text(text, left, baseline, size, colour, "start");
  }

  /** A small text around {@code middle}. */
  public void centred(String text, int middle, int baseline, int colour) {
    text(text, middle, baseline, SMALL, colour, "middle");
  }

  /** A small text up to {@code right}. */
  public void before(String text, int right, int baseline, int colour) {
    text(text, right, baseline, SMALL, colour, "end");
  }

  private void text(String text, int x, int baseline, int size, int colour, String anchor) {
    add(String.format(
        Locale.ROOT,
        "<text x='%d' y='%d' font-size='%d' fill='#%06x' text-anchor='%s'>%s</text>",
        x,
        baseline,
        size,
        colour,
        anchor,
        text.replace("&", "&amp;").replace("<", "&lt;")));
  }

  /** A line through points. */
  public void line(double[] x, double[] y, int colour) {
    StringBuilder points = new StringBuilder();
    for (int i = 0; i < x.length; i++) {
      points.append(String.format(Locale.ROOT, "%.1f,%.1f ", x[i], y[i]));
    }
    add(String.format(
        Locale.ROOT,
        "<polyline points='%s' fill='none' stroke='#%06x' stroke-width='2'/>",
        points.toString().strip(),
        colour));
  }

  /** Writes the file. */
  public void write(Path file) throws IOException {
    Files.writeString(file, out + "</svg>\n");
  }

  /** The colour {@code share} of the way, clipped to 0 to 1, from white to another. */
  public static int tint(int colour, double share) {
    double clipped = Math.max(0, Math.min(1, share));
    int tint = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      tint |= (int) Math.round(255 + clipped * ((colour >> shift & 0xff) - 255)) << shift;
    }
    return tint;
  }
}
