package dev.vbn.bench;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.DoubleStream;

/** A logarithmic axis from a place on the page to another. */
final class LogScale {
  private static final double[] STEPS = {1, 2, 5};
  private static final double ROOM = 1.15;
  private static final int MOST_FINE_TICKS = 9;

  private final double least;
  private final double largest;
  private final double from;
  private final double to;

  private LogScale(double least, double largest, double from, double to) {
    this.least = least;
    this.largest = largest;
    this.from = from;
    this.to = to;
  }

  /**
   * An axis on which all values have a place.
   *
   * @throws IllegalArgumentException if there are none, or one is not positive
   */
  static LogScale of(DoubleStream values, double from, double to) {
    double[] all = values.toArray();
    if (all.length == 0 || !Arrays.stream(all).allMatch(v -> v > 0 && Double.isFinite(v))) {
      throw new IllegalArgumentException(
          "values are " + Arrays.toString(all) + "; expected positive ones");
    }
    return new LogScale(
        Arrays.stream(all).min().getAsDouble() / ROOM,
        Arrays.stream(all).max().getAsDouble() * ROOM,
        from,
        to);
  }

  double place(double value) {
    return from + (to - from) * Math.log(value / least) / Math.log(largest / least);
  }

  /** Round numbers on the axis: 1, 2, 5 of each decade, or 1 alone if those are many. */
  List<Double> ticks() {
    List<Double> fine = new ArrayList<>();
    List<Double> coarse = new ArrayList<>();
    for (int exponent = (int) Math.floor(Math.log10(least));
        Math.pow(10, exponent) <= largest;
        exponent++) {
      for (double step : STEPS) {
        double tick = step * Math.pow(10, exponent);
        if (tick >= least && tick <= largest) {
          fine.add(tick);
          if (step == 1) {
            coarse.add(tick);
          }
        }
      }
    }
    return fine.size() <= MOST_FINE_TICKS || coarse.size() < 2 ? fine : coarse;
  }
}
