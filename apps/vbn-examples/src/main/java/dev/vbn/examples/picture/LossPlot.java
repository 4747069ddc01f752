package dev.vbn.examples.picture;

import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Function;

/** Losses of a discriminator and of a generator over the training steps, a line for each training. */
public final class LossPlot {
  private static final int MARGIN = 28;
  private static final int BLACK = 0x202020;
  private static final int GREY = 0x707070;
  private static final int GRID = 0xe8e8e8;
  private static final int[] COLOURS = {0xb2182b, 0x2166ac, 0x4d9221, 0x8c510a};

  private static final int PLOT_WIDTH = 900;
  private static final int PLOT_HEIGHT = 260;
  private static final int PLOT_LEFT = 96;
  private static final int PLOT_TOP = 124;
  private static final int PLOT_GAP = 84;
  private static final int LEGEND = 230;
  private static final int TICKS = 4;

  private record Training(String label, double[] discriminator, double[] generator) {}

  private final List<Training> trainings = new ArrayList<>();

  /** Adds a training, with the losses of each step. */
  public void add(String label, double[] discriminator, double[] generator) {
    trainings.add(new Training(label, discriminator, generator));
  }

  /** The picture. */
  public Svg draw() {
    Svg svg = new Svg(PLOT_LEFT + PLOT_WIDTH + 60, PLOT_TOP + 2 * PLOT_HEIGHT + PLOT_GAP + 90);
    svg.text("Losses in training", MARGIN, 42, Svg.LARGE, BLACK);
    for (int i = 0; i < trainings.size(); i++) {
      int left = PLOT_LEFT + i * LEGEND;
      svg.fill(left, 68, 30, 4, COLOURS[i]);
      svg.text(trainings.get(i).label(), left + 40, 76, Svg.SMALL, BLACK);
    }
    plot(svg, "discriminator", PLOT_TOP, Training::discriminator);
    int second = PLOT_TOP + PLOT_HEIGHT + PLOT_GAP;
    plot(svg, "generator", second, Training::generator);
    svg.centred("training step", PLOT_LEFT + PLOT_WIDTH / 2, second + PLOT_HEIGHT + 60, BLACK);
    return svg;
  }

  private void plot(Svg svg, String title, int top, Function<Training, double[]> loss) {
    double[][] curves =
        trainings.stream().map(training -> smooth(loss.apply(training))).toArray(double[][]::new);
    double highest = 0;
    for (double[] curve : curves) {
      for (double value : curve) {
        highest = Math.max(highest, value);
      }
    }
    double tick = roundTick(highest / TICKS);
    double scale = PLOT_HEIGHT / (tick * Math.ceil(highest / tick));
    int bottom = top + PLOT_HEIGHT;
    svg.text("loss of the " + title, PLOT_LEFT, top - 12, Svg.SMALL, BLACK);
    for (int i = 0; i * tick * scale <= PLOT_HEIGHT + 0.5; i++) {
      int y = bottom - (int) Math.round(i * tick * scale);
      svg.fill(PLOT_LEFT, y, PLOT_WIDTH, 1, GRID);
      String label = String.format(Locale.ROOT, tick < 0.1 ? "%.2f" : "%.1f", i * tick);
      svg.before(label, PLOT_LEFT - 12, y + 6, GREY);
    }
    int steps = curves[0].length;
    for (int i = 0; i <= TICKS; i++) {
      int x = PLOT_LEFT + PLOT_WIDTH * i / TICKS;
      svg.fill(x, top, 1, PLOT_HEIGHT + 6, GRID);
      svg.centred(String.valueOf(steps * i / TICKS), x, bottom + 28, GREY);
    }
    for (int i = 0; i < curves.length; i++) {
      curve(svg, curves[i], bottom, scale, COLOURS[i]);
    }
  }

  /** Mean over windows of a hundredth of the training. */
  private static double[] smooth(double[] losses) {
    int window = Math.max(1, losses.length / 100);
    double[] curve = new double[losses.length];
    double sum = 0;
    for (int i = 0; i < curve.length; i++) {
      sum += losses[i];
      if (i >= window) {
        sum -= losses[i - window];
      }
      curve[i] = sum / Math.min(i + 1, window);
    }
    return curve;
  }

  /** The smallest of 1, 2 and 5 times a power of ten that is not below {@code least}. */
  private static double roundTick(double least) {
    double power = Math.pow(10, Math.floor(Math.log10(least)));
    for (int factor : new int[] {1, 2, 5}) {
      if (factor * power >= least) {
        return factor * power;
      }
    }
    return 10 * power;
  }

  /** As many points as there is room for. */
  private static void curve(Svg svg, double[] curve, int bottom, double scale, int colour) {
    int points = Math.min(curve.length, PLOT_WIDTH / 2);
    double[] x = new double[points];
    double[] y = new double[points];
    for (int i = 0; i < points; i++) {
      double share = points == 1 ? 0 : (double) i / (points - 1);
      x[i] = PLOT_LEFT + share * PLOT_WIDTH;
      y[i] = bottom - curve[(int) Math.round(share * (curve.length - 1))] * scale;
    }
    svg.line(x, y, colour);
  }
}
