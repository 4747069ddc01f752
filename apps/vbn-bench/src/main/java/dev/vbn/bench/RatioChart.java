package dev.vbn.bench;

import dev.vbn.cli.report.Marker;
import dev.vbn.cli.report.Markup;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.DoubleStream;

/** Draws ratios to the copy: a line for each contender, in groups, from 1 to where it is. */
final class RatioChart {
  private static final double WIDTH = 760;
  private static final double LEFT = 170;
  private static final double RIGHT = 700;
  private static final double TOP = 6;
  private static final double LINE = 14;
  private static final double GAP = 10;
  private static final double BELOW = 44;

  private final String title;
  private final List<Group> groups = new ArrayList<>();

  /**
   * A ratio with its quartiles.
   *
   * @param marker of the contender
   */
  record Ratio(String label, int marker, double low, double value, double high) {}

  private record Group(String label, List<Ratio> ratios) {}

  /**
   * An empty chart.
   *
   * @param title for those who cannot see it
   */
  RatioChart(String title) {
    this.title = title;
  }

  void group(String label, List<Ratio> ratios) {
    if (!ratios.isEmpty()) {
      groups.add(new Group(label, List.copyOf(ratios)));
    }
  }

  boolean isEmpty() {
    return groups.isEmpty();
  }

  void draw(Markup page) {
    LogScale axis = LogScale.of(
        groups.stream()
            .flatMap(group -> group.ratios().stream())
            .flatMapToDouble(ratio -> DoubleStream.of(1, ratio.low(), ratio.high())),
        LEFT,
        RIGHT);
    double bottom = TOP
        + groups.stream()
            .mapToDouble(group -> GAP + LINE * (group.ratios().size() + 1))
            .sum();
    page.open(
        "svg",
        "viewBox",
        "0 0 " + (int) WIDTH + " " + (int) (bottom + BELOW),
        "role",
        "img",
        "aria-label",
        title);
    for (double tick : axis.ticks()) {
      double x = round(axis.place(tick));
      page.empty("line", "class", "grid", "x1", x, "x2", x, "y1", TOP, "y2", bottom);
      text(page, "tick", Units.ratio(tick), x, bottom + 14);
    }
    double one = round(axis.place(1));
    page.empty("line", "class", "copy", "x1", one, "x2", one, "y1", TOP, "y2", bottom);
    text(page, "title", "times what the copy takes, logarithmic", (LEFT + RIGHT) / 2, bottom + 32);
    double y = TOP + LINE / 2;
    for (Group group : groups) {
      page.empty(
          "line", "class", "row", "x1", 0, "x2", WIDTH, "y1", y - LINE / 2, "y2", y - LINE / 2);
      y += GAP / 2;
      text(page, "group", group.label(), 0, y);
      for (Ratio ratio : group.ratios()) {
        y += LINE;
        draw(page, axis, ratio, y);
      }
      y += LINE + GAP / 2;
    }
    page.close();
  }

  private static void draw(Markup page, LogScale axis, Ratio ratio, double y) {
    double x = axis.place(ratio.value());
    text(page, "contender", ratio.label(), 12, y);
    page.empty(
        "line",
        "class",
        "stem " + Marker.color(ratio.marker()),
        "x1",
        round(axis.place(1)),
        "x2",
        round(x),
        "y1",
        y,
        "y2",
        y);
    page.empty(
        "line",
        "class",
        "spread " + Marker.color(ratio.marker()),
        "x1",
        round(axis.place(ratio.low())),
        "x2",
        round(axis.place(ratio.high())),
        "y1",
        y,
        "y2",
        y);
    Marker.draw(page, ratio.marker(), x, y);
    double beside = Math.max(x, axis.place(ratio.high())) + 8;
    text(page, "value", Units.ratio(ratio.value()), beside, y);
  }

  private static void text(Markup page, String kind, String text, double x, double y) {
    page.element("text", text, "class", kind, "x", round(x), "y", round(y));
  }

  private static double round(double coordinate) {
    return Math.round(coordinate * 10) / 10.0;
  }
}
