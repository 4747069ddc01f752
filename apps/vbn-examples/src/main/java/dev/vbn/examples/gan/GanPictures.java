package dev.vbn.examples.gan;

import dev.vbn.examples.picture.LossPlot;
import dev.vbn.examples.picture.Svg;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/** Draws what the runs gave. */
final class GanPictures {
  private static final int MARGIN = 28;

  private static final int BLACK = 0x202020;
  private static final int GREY = 0x707070;
  private static final int FRAME = 0xc8c8c8;
  private static final int PURPLE = 0x54278f;

  private GanPictures() {}

  /** The losses of both networks over the steps, a line per normalization. */
  static Svg losses(List<NormRun> runs) {
    LossPlot plot = new LossPlot();
    for (NormRun run : runs) {
      plot.add(
          run.norm().label(),
          run.losses().stream().mapToDouble(Gan.Losses::discriminator).toArray(),
          run.losses().stream().mapToDouble(Gan.Losses::generator).toArray());
    }
    return plot.draw();
  }

  // Generated digits

  private static final int COLUMNS = 10;
  private static final int PIXEL = 4;
  private static final int TILE = PIXEL * Digits.SIDE;
  private static final int PITCH = TILE + 6;

  /** Digits as they were written, and a grid of generated ones for each normalization. */
  static Svg digits(List<NormRun> runs, float[][] written) {
    int count = runs.get(0).samples().length;
    int gridWidth = COLUMNS * PITCH;
    int rows = (count + COLUMNS - 1) / COLUMNS;
    Svg svg =
        new Svg(MARGIN + (runs.size() + 1) * (gridWidth + MARGIN), 112 + rows * PITCH + MARGIN);
    svg.text("Digits, written and generated", MARGIN, 42, Svg.LARGE, BLACK);
    grid(svg, "written by hand", Arrays.copyOf(written, count), MARGIN);
    for (int i = 0; i < runs.size(); i++) {
      NormRun run = runs.get(i);
      grid(svg, run.norm().label(), run.samples(), MARGIN + (i + 1) * (gridWidth + MARGIN));
    }
    return svg;
  }

  private static void grid(Svg svg, String title, float[][] digits, int left) {
    svg.text(title, left, 90, Svg.SMALL, BLACK);
    for (int i = 0; i < digits.length; i++) {
      tile(svg, digits[i], left + i % COLUMNS * PITCH, 104 + i / COLUMNS * PITCH, PIXEL, BLACK);
    }
  }

  private static void tile(Svg svg, float[] digit, int left, int top, int pixel, int colour) {
    int side = pixel * Digits.SIDE;
    svg.fill(left - 1, top - 1, side + 2, side + 2, FRAME);
    for (int i = 0; i < digit.length; i++) {
      svg.fill(
          left + pixel * (i % Digits.SIDE),
          top + pixel * (i / Digits.SIDE),
          pixel,
          pixel,
          Svg.tint(colour, digit[i]));
    }
  }

  // Dependence on companions

  private static final int LARGE_PIXEL = 9;
  private static final int LARGE_TILE = LARGE_PIXEL * Digits.SIDE;
  private static final int LARGE_PITCH = LARGE_TILE + 14;
  private static final int LABELS = 250;

  /** What the full colour of a change stands for. */
  private static final float FULL_CHANGE = 0.5f;

  /**
   * The digit of one noise vector among other companions each time, and what has changed: the
   * vector whose digit changes most under any normalization.
   */
  static Svg dependence(List<NormRun> runs) {
    int watched = mostChanged(runs);
    int batches = runs.get(0).amongCompanions()[watched].length;
    int changes = MARGIN + LABELS + batches * LARGE_PITCH + 24;
    int bottom = 108 + runs.size() * (LARGE_PITCH + 24);
    Svg svg = new Svg(changes + LARGE_PITCH + MARGIN, bottom + 48);
    svg.text("The same noise, in different company", MARGIN, 42, Svg.LARGE, BLACK);
    svg.text("in batch", MARGIN, 92, Svg.SMALL, GREY);
    for (int batch = 0; batch < batches; batch++) {
      int middle = MARGIN + LABELS + batch * LARGE_PITCH + LARGE_TILE / 2;
      svg.centred(String.valueOf(batch + 1), middle, 92, GREY);
    }
    svg.centred("moved", changes + LARGE_TILE / 2, 92, GREY);
    for (int row = 0; row < runs.size(); row++) {
      NormRun run = runs.get(row);
      int top = 108 + row * (LARGE_PITCH + 24);
      svg.text(run.norm().label(), MARGIN, top + 24, Svg.SMALL, BLACK);
      svg.text("rms change", MARGIN, top + 50, Svg.SMALL, GREY);
      double dependence = run.dependence();
      String number =
          dependence == 0 ? "0: not a bit" : String.format(Locale.ROOT, "%.4f", dependence);
      svg.text(number, MARGIN, top + 70, Svg.SMALL, GREY);
      float[][] digits = run.amongCompanions()[watched];
      for (int batch = 0; batch < batches; batch++) {
        int left = MARGIN + LABELS + batch * LARGE_PITCH;
        tile(svg, digits[batch], left, top, LARGE_PIXEL, BLACK);
      }
      float[] moved = NormRun.ranges(digits);
      for (int i = 0; i < moved.length; i++) {
        moved[i] /= FULL_CHANGE;
      }
      tile(svg, moved, changes, top, LARGE_PIXEL, PURPLE);
    }
    svg.text(
        "Full ink is 1. Moved: white is 0, purple " + FULL_CHANGE + " and more.",
        MARGIN,
        bottom + 26,
        Svg.SMALL,
        GREY);
    return svg;
  }

  private static int mostChanged(List<NormRun> runs) {
    int most = 0;
    double largest = 0;
    for (NormRun run : runs) {
      for (int i = 0; i < run.amongCompanions().length; i++) {
        double sum = 0;
        for (float range : NormRun.ranges(run.amongCompanions()[i])) {
          sum += range;
        }
        if (sum > largest) {
          largest = sum;
          most = i;
        }
      }
    }
    return most;
  }
}
