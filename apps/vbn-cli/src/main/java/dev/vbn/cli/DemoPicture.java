package dev.vbn.cli;

import dev.vbn.cli.CompanionStudy.LiveBatch;
import dev.vbn.cli.CompanionStudy.Method;
import dev.vbn.cli.CompanionStudy.Outputs;
import dev.vbn.cli.report.Markup;
import java.util.List;
import java.util.Locale;

/**
 * The watched digit before and after: a column for every method, a row for every live batch, and
 * below how much each pixel has moved from row to row.
 *
 * <p>In SVG, whose texts are drawn by whoever shows it: a server's JVM may have no fonts at all.
 */
final class DemoPicture {
  private static final int PIXEL = 14;
  private static final int TILE = PIXEL * Digits.SIDE;
  private static final int COLUMN = TILE + 20;
  private static final int ROW = TILE + 20;
  private static final int MARGIN = 24;
  private static final int COMPANION_PIXEL = 3;
  private static final int COMPANION = COMPANION_PIXEL * Digits.SIDE + 3;
  private static final int COMPANIONS_PER_LINE = 8;
  private static final int LEGEND_TITLE = 100;
  private static final int LEGEND_WIDTH = 240;
  private static final int LEGEND_STEP = 4;

  private static final int SMALL = 16;
  private static final int LARGE = 24;
  private static final int LEFT = 268;
  private static final int TOP = 158;

  private static final int WHITE = 0xffffff;
  private static final int PAPER = 0xf4f4f4;
  private static final int BLACK = 0x202020;
  private static final int GREY = 0x707070;
  private static final int FRAME = 0xc8c8c8;
  private static final int BLUE = 0x2166ac;
  private static final int RED = 0xb2182b;
  private static final int PURPLE = 0x54278f;

  /** Ink of the darkest pixel in the data. */
  private static final double INK = 16;

  /** Where the colours end, in standard deviations. */
  private static final double RANGE = 2;

  private final Markup svg = new Markup();

  /** Colour of a pixel's value. */
  private interface Colours {
    int of(double value);
  }

  private DemoPicture() {}

  /** The content of the file. */
  static String of(CompanionStudy study, Outputs outputs) {
    int columns = Method.ALL.size() + 1;
    int rows = study.batches().size() + 1;
    int width = LEFT + columns * COLUMN + MARGIN - (COLUMN - TILE);
    int height = TOP + rows * ROW + 86;
    DemoPicture picture = new DemoPicture();
    picture.svg.open(
        "svg",
        "xmlns",
        "http://www.w3.org/2000/svg",
        "width",
        width,
        "height",
        height,
        "viewBox",
        "0 0 " + width + " " + height,
        "font-family",
        "sans-serif",
        "shape-rendering",
        "crispEdges");
    picture.rectangle(0, 0, width, height, WHITE);
    picture.text("The same zero, normalised in different company", MARGIN, 42, LARGE, BLACK);
    picture.headings();
    for (int row = 0; row < study.batches().size(); row++) {
      picture.liveBatch(study, outputs, row);
    }
    picture.movements(outputs, rows - 1);
    picture.legends(TOP + rows * ROW + 44);
    return picture.svg.close().toString();
  }

  private void headings() {
    int width = left(Method.ALL.size()) + TILE - left(2);
    centred("virtual batch norm, by variant", left(2) + width / 2, 84);
    rectangle(left(2), 92, width, 2, FRAME);
    heading("digit", 0);
    for (int method = 0; method < Method.ALL.size(); method++) {
      heading(Method.ALL.get(method).label(), method + 1);
    }
  }

  /** A label over a column, broken after its first word. */
  private void heading(String label, int column) {
    String[] words = label.split("(?<=-)|\\s", 2);
    for (int i = 0; i < words.length; i++) {
      centred(words[i], left(column) + TILE / 2, TOP - 12 - 20 * (words.length - 1 - i));
    }
  }

  private void liveBatch(CompanionStudy study, Outputs outputs, int row) {
    LiveBatch batch = study.batches().get(row);
    text(batch.label(), MARGIN, top(row) + 22, SMALL, BLACK);
    text("companions:", MARGIN, top(row) + 50, SMALL, GREY);
    List<Integer> companions = batch.digits().subList(1, batch.digits().size());
    for (int i = 0; i < companions.size(); i++) {
      tile(
          ink(study.digits().image(companions.get(i))),
          MARGIN + COMPANION * (i % COMPANIONS_PER_LINE),
          top(row) + 60 + COMPANION * (i / COMPANIONS_PER_LINE),
          COMPANION_PIXEL,
          DemoPicture::grey);
    }
    if (companions.isEmpty()) {
      text("none", MARGIN, top(row) + 74, SMALL, GREY);
    }
    framed(ink(study.digits().image(study.probe())), 0, row, DemoPicture::grey);
    for (int method = 0; method < Method.ALL.size(); method++) {
      framed(outputs.digit(method, row), method + 1, row, DemoPicture::diverging);
    }
  }

  private void movements(Outputs outputs, int row) {
    text("what moved", MARGIN, top(row) + 22, SMALL, BLACK);
    text("from row to row,", MARGIN, top(row) + 50, SMALL, GREY);
    text("and the most that", MARGIN, top(row) + 70, SMALL, GREY);
    text("any pixel has", MARGIN, top(row) + 90, SMALL, GREY);
    for (int method = 0; method < Method.ALL.size(); method++) {
      framed(outputs.movements(method), method + 1, row, DemoPicture::moved);
      double largest = outputs.largestMovement(method);
      String label = largest == 0 ? "nothing" : String.format(Locale.ROOT, "%.2f", largest);
      centred(label, left(method + 1) + TILE / 2, top(row) + TILE + 22);
    }
  }

  private void legends(int baseline) {
    text("in standard deviations:", MARGIN, baseline, SMALL, GREY);
    legend("output", left(1), baseline, -RANGE, DemoPicture::diverging);
    legend("movement", left(4), baseline, 0, DemoPicture::moved);
  }

  /** A scale from {@code low} to the end of the range. */
  private void legend(String title, int left, int baseline, double low, Colours colours) {
    text(title, left, baseline, SMALL, BLACK);
    int bar = left + LEGEND_TITLE;
    for (int x = 0; x < LEGEND_WIDTH; x += LEGEND_STEP) {
      double value = low + (RANGE - low) * x / (LEGEND_WIDTH - LEGEND_STEP);
      rectangle(bar + x, baseline - 13, LEGEND_STEP, 14, colours.of(value));
    }
    centred(low == 0 ? "0" : String.format(Locale.ROOT, "%.0f", low), bar, baseline + 20);
    if (low < 0) {
      centred("0", bar + LEGEND_WIDTH / 2, baseline + 20);
    }
    centred(String.format(Locale.ROOT, "%+.0f", RANGE), bar + LEGEND_WIDTH, baseline + 20);
  }

  private static double[] ink(float[] digit) {
    double[] ink = new double[digit.length];
    for (int i = 0; i < ink.length; i++) {
      ink[i] = digit[i] / INK;
    }
    return ink;
  }

  private void framed(double[] pixels, int column, int row, Colours colours) {
    rectangle(left(column) - 1, top(row) - 1, TILE + 2, TILE + 2, FRAME);
    tile(pixels, left(column), top(row), PIXEL, colours);
  }

  private void tile(double[] pixels, int left, int top, int size, Colours colours) {
    for (int i = 0; i < pixels.length; i++) {
      int x = left + size * (i % Digits.SIDE);
      int y = top + size * (i / Digits.SIDE);
      rectangle(x, y, size, size, colours.of(pixels[i]));
    }
  }

  private void rectangle(int left, int top, int width, int height, int colour) {
    svg.empty("rect", "x", left, "y", top, "width", width, "height", height, "fill", name(colour));
  }

  private void centred(String text, int middle, int baseline) {
    svg.element(
        "text",
        text,
        "x",
        middle,
        "y",
        baseline,
        "font-size",
        SMALL,
        "fill",
        name(BLACK),
        "text-anchor",
        "middle");
  }

  private void text(String text, int left, int baseline, int size, int colour) {
    svg.element("text", text, "x", left, "y", baseline, "font-size", size, "fill", name(colour));
  }

  private static String name(int colour) {
    return String.format("#%06x", colour);
  }

  private static int left(int column) {
    return LEFT + column * COLUMN;
  }

  private static int top(int row) {
    return TOP + row * ROW;
  }

  private static int grey(double ink) {
    return blend(PAPER, BLACK, ink);
  }

  /** Blue below the mean, white at it, red above. */
  private static int diverging(double value) {
    return blend(WHITE, value < 0 ? BLUE : RED, Math.abs(value) / RANGE);
  }

  private static int moved(double value) {
    return blend(WHITE, PURPLE, value / RANGE);
  }

  /** The colour {@code share} of the way, clipped to 0 to 1, between two. */
  private static int blend(int from, int to, double share) {
    double clipped = Math.max(0, Math.min(1, share));
    int colour = 0;
    for (int shift = 16; shift >= 0; shift -= 8) {
      int start = from >> shift & 0xff;
      int end = to >> shift & 0xff;
      colour |= (int) Math.round(start + clipped * (end - start)) << shift;
    }
    return colour;
  }
}
