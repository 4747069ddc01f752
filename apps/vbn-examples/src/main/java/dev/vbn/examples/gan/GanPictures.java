package dev.vbn.examples.gan;

import dev.vbn.cli.demo.Canvas;
import dev.vbn.cli.demo.Digits;
import dev.vbn.cli.demo.PixelFont;
import java.util.List;
import java.util.Locale;
import java.util.function.ToDoubleFunction;

/** Draws what the runs gave. */
final class GanPictures {
  private static final int SMALL = 2;
  private static final int LARGE = 3;
  private static final int MARGIN = 28;

  private static final int WHITE = 0xffffff;
  private static final int BLACK = 0x202020;
  private static final int GREY = 0x707070;
  private static final int FRAME = 0xc8c8c8;
  private static final int GRID = 0xe8e8e8;
  private static final int PURPLE = 0x54278f;
  private static final int[] COLOURS = {0xb2182b, 0x2166ac, 0x4d9221};

  private GanPictures() {}

  // Loss curves

  private static final int PLOT_WIDTH = 900;
  private static final int PLOT_HEIGHT = 260;
  private static final int PLOT_LEFT = 96;
  private static final int PLOT_TOP = 124;
  private static final int PLOT_GAP = 84;
  private static final int TICKS = 4;

  /** The losses of both networks over the steps, a line per normalization. */
  static Canvas losses(List<NormRun> runs) {
    Canvas canvas =
        new Canvas(PLOT_LEFT + PLOT_WIDTH + 60, PLOT_TOP + 2 * PLOT_HEIGHT + PLOT_GAP + 90);
    canvas.text("losses in training", MARGIN, 22, LARGE, BLACK);
    int left = PLOT_LEFT;
    for (int i = 0; i < runs.size(); i++) {
      canvas.fill(left, 68, 30, 4, COLOURS[i]);
      String label = runs.get(i).norm().label();
      canvas.text(label, left + 40, 62, SMALL, BLACK);
      left += 40 + PixelFont.width(label, SMALL) + 40;
    }
    plot(canvas, "discriminator", PLOT_TOP, runs, losses -> losses.discriminator());
    int second = PLOT_TOP + PLOT_HEIGHT + PLOT_GAP;
    plot(canvas, "generator", second, runs, losses -> losses.generator());
    String axis = "training step";
    canvas.text(
        axis,
        PLOT_LEFT + (PLOT_WIDTH - PixelFont.width(axis, SMALL)) / 2,
        second + PLOT_HEIGHT + 46,
        SMALL,
        BLACK);
    return canvas;
  }

  private static void plot(
      Canvas canvas, String title, int top, List<NormRun> runs, ToDoubleFunction<Gan.Losses> loss) {
    double[][] curves =
        runs.stream().map(run -> smooth(run.losses(), loss)).toArray(double[][]::new);
    double highest = 0;
    for (double[] curve : curves) {
      for (double value : curve) {
        highest = Math.max(highest, value);
      }
    }
    double tick = roundTick(highest / TICKS);
    double scale = PLOT_HEIGHT / (tick * Math.ceil(highest / tick));
    canvas.text("loss of the " + title, PLOT_LEFT, top - 26, SMALL, BLACK);
    for (int i = 0; i * tick * scale <= PLOT_HEIGHT + 0.5; i++) {
      int y = top + PLOT_HEIGHT - (int) Math.round(i * tick * scale);
      canvas.fill(PLOT_LEFT, y, PLOT_WIDTH, 1, GRID);
      String label = String.format(Locale.ROOT, tick < 0.1 ? "%.2f" : "%.1f", i * tick);
      canvas.text(label, PLOT_LEFT - 12 - PixelFont.width(label, SMALL), y - 7, SMALL, GREY);
    }
    int steps = curves[0].length;
    for (int i = 0; i <= TICKS; i++) {
      int x = PLOT_LEFT + PLOT_WIDTH * i / TICKS;
      canvas.fill(x, top, 1, PLOT_HEIGHT + 6, GRID);
      String label = String.valueOf(steps * i / TICKS);
      canvas.text(
          label, x - PixelFont.width(label, SMALL) / 2, top + PLOT_HEIGHT + 14, SMALL, GREY);
    }
    canvas.frame(PLOT_LEFT, top, PLOT_WIDTH, PLOT_HEIGHT, FRAME);
    for (int i = 0; i < curves.length; i++) {
      curve(canvas, curves[i], top + PLOT_HEIGHT, scale, COLOURS[i]);
    }
  }

  /** Mean over windows of a hundredth of the training. */
  private static double[] smooth(List<Gan.Losses> losses, ToDoubleFunction<Gan.Losses> loss) {
    int window = Math.max(1, losses.size() / 100);
    double[] curve = new double[losses.size()];
    double sum = 0;
    for (int i = 0; i < curve.length; i++) {
      sum += loss.applyAsDouble(losses.get(i));
      if (i >= window) {
        sum -= loss.applyAsDouble(losses.get(i - window));
      }
      curve[i] = sum / Math.min(i + 1, window);
    }
    return curve;
  }

  /** The smallest of 1, 2 and 5 times a power of ten that is no smaller. */
  private static double roundTick(double least) {
    double power = Math.pow(10, Math.floor(Math.log10(least)));
    for (int factor : new int[] {1, 2, 5}) {
      if (factor * power >= least) {
        return factor * power;
      }
    }
    return 10 * power;
  }

  private static void curve(Canvas canvas, double[] curve, int bottom, double scale, int colour) {
    int last = height(curve[0], scale);
    for (int x = 0; x < PLOT_WIDTH - 1; x++) {
      int index = (int) Math.round((double) x * (curve.length - 1) / (PLOT_WIDTH - 2));
      int next = height(curve[index], scale);
      canvas.fill(
          PLOT_LEFT + x, bottom - Math.max(last, next) - 1, 2, Math.abs(next - last) + 2, colour);
      last = next;
    }
  }

  private static int height(double value, double scale) {
    return (int) Math.min(PLOT_HEIGHT - 2, Math.max(1, Math.round(value * scale)));
  }

  // Generated digits

  private static final int COLUMNS = 10;
  private static final int PIXEL = 4;
  private static final int TILE = PIXEL * Digits.SIDE;
  private static final int PITCH = TILE + 6;

  /** Digits as they were written, and a grid of generated ones for each normalization. */
  static Canvas digits(List<NormRun> runs, Digits written) {
    int count = runs.get(0).samples().length;
    int gridWidth = COLUMNS * PITCH;
    int rows = (count + COLUMNS - 1) / COLUMNS;
    Canvas canvas =
        new Canvas(MARGIN + (runs.size() + 1) * (gridWidth + MARGIN), 112 + rows * PITCH + MARGIN);
    canvas.text("digits, written and generated", MARGIN, 22, LARGE, BLACK);
    float[][] real = new float[count][];
    for (int i = 0; i < count; i++) {
      float[] image = written.image(i).clone();
      for (int pixel = 0; pixel < image.length; pixel++) {
        image[pixel] /= 16;
      }
      real[i] = image;
    }
    grid(canvas, "written by hand", real, MARGIN);
    for (int i = 0; i < runs.size(); i++) {
      NormRun run = runs.get(i);
      grid(canvas, run.norm().label(), run.samples(), MARGIN + (i + 1) * (gridWidth + MARGIN));
    }
    return canvas;
  }

  private static void grid(Canvas canvas, String title, float[][] digits, int left) {
    canvas.text(title, left, 74, SMALL, BLACK);
    for (int i = 0; i < digits.length; i++) {
      tile(canvas, digits[i], left + i % COLUMNS * PITCH, 104 + i / COLUMNS * PITCH, PIXEL, BLACK);
    }
  }

  private static void tile(Canvas canvas, float[] digit, int left, int top, int pixel, int colour) {
    for (int i = 0; i < digit.length; i++) {
      canvas.fill(
          left + pixel * (i % Digits.SIDE),
          top + pixel * (i / Digits.SIDE),
          pixel,
          pixel,
          Canvas.blend(WHITE, colour, digit[i]));
    }
    canvas.frame(left, top, pixel * Digits.SIDE, pixel * Digits.SIDE, FRAME);
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
  static Canvas dependence(List<NormRun> runs) {
    int watched = mostChanged(runs);
    int batches = runs.get(0).amongCompanions()[watched].length;
    int changes = MARGIN + LABELS + batches * LARGE_PITCH + 24;
    int bottom = 108 + runs.size() * (LARGE_PITCH + 24);
    Canvas canvas = new Canvas(changes + LARGE_PITCH + MARGIN, bottom + 48);
    canvas.text("the same noise, in different company", MARGIN, 22, LARGE, BLACK);
    canvas.text("in batch", MARGIN, 78, SMALL, GREY);
    for (int batch = 0; batch < batches; batch++) {
      canvas.text(
          String.valueOf(batch + 1),
          MARGIN + LABELS + batch * LARGE_PITCH + LARGE_TILE / 2 - 5,
          78,
          SMALL,
          GREY);
    }
    canvas.text("moved", changes + 6, 78, SMALL, GREY);
    for (int row = 0; row < runs.size(); row++) {
      NormRun run = runs.get(row);
      int top = 108 + row * (LARGE_PITCH + 24);
      canvas.text(run.norm().label(), MARGIN, top + 10, SMALL, BLACK);
      canvas.text("rms change", MARGIN, top + 36, SMALL, GREY);
      double dependence = run.dependence();
      String number =
          dependence == 0 ? "0: not a bit" : String.format(Locale.ROOT, "%.4f", dependence);
      canvas.text(number, MARGIN, top + 56, SMALL, GREY);
      float[][] digits = run.amongCompanions()[watched];
      for (int batch = 0; batch < batches; batch++) {
        int left = MARGIN + LABELS + batch * LARGE_PITCH;
        tile(canvas, digits[batch], left, top, LARGE_PIXEL, BLACK);
      }
      float[] moved = NormRun.ranges(digits);
      for (int i = 0; i < moved.length; i++) {
        moved[i] /= FULL_CHANGE;
      }
      tile(canvas, moved, changes, top, LARGE_PIXEL, PURPLE);
    }
    canvas.text(
        "full ink is 1. moved: white is 0, purple " + FULL_CHANGE + " and more",
        MARGIN,
        bottom + 12,
        SMALL,
        GREY);
    return canvas;
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
