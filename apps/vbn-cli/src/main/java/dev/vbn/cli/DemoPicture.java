package dev.vbn.cli;

import dev.vbn.cli.CompanionStudy.LiveBatch;
import dev.vbn.cli.CompanionStudy.Method;
import dev.vbn.cli.CompanionStudy.Outputs;
import dev.vbn.cli.demo.Canvas;
import dev.vbn.cli.demo.Digits;
import dev.vbn.cli.demo.PixelFont;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/**
 * The watched digit before and after: a column for every method, a row for every live batch, and
 * below how much each pixel has moved from row to row.
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
  private static final int LEGEND_WIDTH = 240;

  private static final int SMALL = 2;
  private static final int LARGE = 3;
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

  private final Canvas canvas;

  private DemoPicture(int width, int height) {
    canvas = new Canvas(width, height);
  }

  static DemoPicture of(CompanionStudy study, Outputs outputs) {
    int columns = Method.ALL.size() + 1;
    int rows = study.batches().size() + 1;
    DemoPicture picture =
        new DemoPicture(LEFT + columns * COLUMN + MARGIN - (COLUMN - TILE), TOP + rows * ROW + 86);
    picture.text("the same zero, normalised in different company", MARGIN, 22, LARGE, BLACK);
    picture.headings();
    for (int row = 0; row < study.batches().size(); row++) {
      picture.liveBatch(study, outputs, row);
    }
    picture.movements(outputs, rows - 1);
    picture.legends(TOP + rows * ROW + 30);
    return picture;
  }

  /** Writes the picture as PNG. */
  void write(Path file) throws IOException {
    canvas.write(file);
  }

  private void headings() {
    String variants = "virtual batch norm, by variant";
    int width = left(Method.ALL.size()) + TILE - left(2);
    text(variants, left(2) + (width - PixelFont.width(variants, SMALL)) / 2, 70, SMALL, BLACK);
    canvas.fill(left(2), 92, width, 2, FRAME);
    heading("digit", 0);
    for (int method = 0; method < Method.ALL.size(); method++) {
      heading(Method.ALL.get(method).label(), method + 1);
    }
  }

  /** A label over a column, broken after its first word. */
  private void heading(String label, int column) {
    String[] words = label.split("(?<=-)|\\s", 2);
    for (int i = 0; i < words.length; i++) {
      int width = PixelFont.width(words[i], SMALL);
      int top = TOP - 26 - 20 * (words.length - 1 - i);
      text(words[i], left(column) + (TILE - width) / 2, top, SMALL, BLACK);
    }
  }

  private void liveBatch(CompanionStudy study, Outputs outputs, int row) {
    LiveBatch batch = study.batches().get(row);
    text(batch.label(), MARGIN, top(row) + 8, SMALL, BLACK);
    text("companions:", MARGIN, top(row) + 36, SMALL, GREY);
    List<Integer> companions = batch.digits().subList(1, batch.digits().size());
    for (int i = 0; i < companions.size(); i++) {
      ink(
          study.digits().image(companions.get(i)),
          MARGIN + COMPANION * (i % COMPANIONS_PER_LINE),
          top(row) + 60 + COMPANION * (i / COMPANIONS_PER_LINE),
          COMPANION_PIXEL);
    }
    if (companions.isEmpty()) {
      text("none", MARGIN, top(row) + 60, SMALL, GREY);
    }
    ink(study.digits().image(study.probe()), left(0), top(row), PIXEL);
    frame(left(0), top(row));
    for (int method = 0; method < Method.ALL.size(); method++) {
      double[] digit = outputs.digit(method, row);
      for (int i = 0; i < digit.length; i++) {
        pixel(i, left(method + 1), top(row), PIXEL, diverging(digit[i]));
      }
      frame(left(method + 1), top(row));
    }
  }

  private void movements(Outputs outputs, int row) {
    text("what moved", MARGIN, top(row) + 8, SMALL, BLACK);
    text("from row to row,", MARGIN, top(row) + 36, SMALL, GREY);
    text("and the most that", MARGIN, top(row) + 56, SMALL, GREY);
    text("any pixel has", MARGIN, top(row) + 76, SMALL, GREY);
    for (int method = 0; method < Method.ALL.size(); method++) {
      double[] movements = outputs.movements(method);
      int left = left(method + 1);
      for (int i = 0; i < movements.length; i++) {
        pixel(i, left, top(row), PIXEL, moved(movements[i]));
      }
      frame(left, top(row));
      double largest = outputs.largestMovement(method);
      String label = largest == 0 ? "nothing" : String.format(Locale.ROOT, "%.2f", largest);
      text(
          label,
          left + (TILE - PixelFont.width(label, SMALL)) / 2,
          top(row) + TILE + 8,
          SMALL,
          BLACK);
    }
  }

  private void legends(int top) {
    text("in standard deviations:", MARGIN, top, SMALL, GREY);
    legend("output", left(1), top, -RANGE, BLUE);
    legend("movement", left(4), top, 0, WHITE);
  }

  /** A scale from {@code low}, in its colour, to the end of the range. */
  private void legend(String title, int left, int top, double low, int lowColour) {
    text(title, left, top, SMALL, BLACK);
    int bar = left + PixelFont.width(title, SMALL) + 16;
    for (int x = 0; x < LEGEND_WIDTH; x++) {
      double value = low + (RANGE - low) * x / (LEGEND_WIDTH - 1);
      canvas.fill(bar + x, top, 1, 14, lowColour == WHITE ? moved(value) : diverging(value));
    }
    String lowest = low == 0 ? "0" : String.format(Locale.ROOT, "%.0f", low);
    String highest = String.format(Locale.ROOT, "%+.0f", RANGE);
    text(lowest, bar, top + 20, SMALL, GREY);
    if (low < 0) {
      text("0", bar + LEGEND_WIDTH / 2 - SMALL * 2, top + 20, SMALL, GREY);
    }
    int width = PixelFont.width(highest, SMALL);
    text(highest, bar + LEGEND_WIDTH - width, top + 20, SMALL, GREY);
  }

  private void ink(float[] digit, int left, int top, int size) {
    for (int i = 0; i < digit.length; i++) {
      pixel(i, left, top, size, Canvas.blend(PAPER, BLACK, digit[i] / INK));
    }
  }

  private void pixel(int index, int left, int top, int size, int colour) {
    int x = left + size * (index % Digits.SIDE);
    int y = top + size * (index / Digits.SIDE);
    canvas.fill(x, y, size, size, colour);
  }

  private void frame(int left, int top) {
    canvas.frame(left, top, TILE, TILE, FRAME);
  }

  private void text(String text, int left, int top, int scale, int colour) {
    canvas.text(text, left, top, scale, colour);
  }

  private static int left(int column) {
    return LEFT + column * COLUMN;
  }

  private static int top(int row) {
    return TOP + row * ROW;
  }

  /** Blue below the mean, white at it, red above. */
  private static int diverging(double value) {
    return Canvas.blend(WHITE, value < 0 ? BLUE : RED, Math.abs(value) / RANGE);
  }

  private static int moved(double value) {
    return Canvas.blend(WHITE, PURPLE, value / RANGE);
  }
}
