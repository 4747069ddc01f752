package dev.vbn.bench;

import static java.util.stream.Collectors.joining;

import dev.vbn.cli.report.Marker;
import dev.vbn.cli.report.Markup;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.NavigableMap;
import java.util.function.DoubleFunction;

/** Draws lines on logarithmic axes, each with its name at its end. */
final class LineChart {
  private static final double WIDTH = 760;
  private static final double HEIGHT = 380;
  private static final double LEFT = 56;
  private static final double RIGHT = 580;
  private static final double TOP = 24;
  private static final double BOTTOM = 332;
  private static final double LABEL = 14;

  private final String title;
  private final String xTitle;
  private final String yTitle;
  private final DoubleFunction<String> xLabel;
  private final List<Line> lines = new ArrayList<>();

  private record Line(String name, int marker, NavigableMap<Double, Double> points) {}

  /** A line's name, and where it would like to be. */
  private record End(Line line, double y) {}

  /**
   * An empty chart.
   *
   * @param title for those who cannot see it
   * @param xLabel words for a place on the horizontal axis; every place that a line has gets them
   */
  LineChart(String title, String xTitle, DoubleFunction<String> xLabel, String yTitle) {
    this.title = title;
    this.xTitle = xTitle;
    this.yTitle = yTitle;
    this.xLabel = xLabel;
  }

  /**
   * Adds a line, if it has any points.
   *
   * @param marker number of its marker and colour
   * @param points by their place across
   */
  void line(String name, int marker, NavigableMap<Double, Double> points) {
    if (!points.isEmpty()) {
      lines.add(new Line(name, marker, points));
    }
  }

  boolean isEmpty() {
    return lines.isEmpty();
  }

  void draw(Markup page) {
    LogScale across = LogScale.of(
        lines.stream()
            .flatMap(line -> line.points.keySet().stream())
            .mapToDouble(Double::doubleValue),
        LEFT,
        RIGHT);
    LogScale up = LogScale.of(
        lines.stream()
            .flatMap(line -> line.points.values().stream())
            .mapToDouble(Double::doubleValue),
        BOTTOM,
        TOP);
    page.open(
        "svg",
        "viewBox",
        "0 0 " + (int) WIDTH + " " + (int) HEIGHT,
        "role",
        "img",
        "aria-label",
        title);
    drawAxes(page, across, up);
    for (Line line : lines) {
      String points = line.points.entrySet().stream()
          .map(point ->
              round(across.place(point.getKey())) + "," + round(up.place(point.getValue())))
          .collect(joining(" "));
      page.empty("polyline", "class", Marker.color(line.marker), "points", points);
      line.points.forEach((x, y) -> Marker.draw(page, line.marker, across.place(x), up.place(y)));
    }
    drawNames(page, up);
    page.close();
  }

  private void drawAxes(Markup page, LogScale across, LogScale up) {
    for (double tick : up.ticks()) {
      double y = round(up.place(tick));
      page.empty("line", "class", "grid", "x1", LEFT, "x2", RIGHT, "y1", y, "y2", y);
      text(page, "up", Units.ratio(tick), LEFT - 6, y);
    }
    List<Double> places = lines.stream()
        .flatMap(line -> line.points.keySet().stream())
        .distinct()
        .sorted()
        .toList();
    for (double place : places) {
      double x = round(across.place(place));
      page.empty("line", "class", "grid", "x1", x, "x2", x, "y1", TOP, "y2", BOTTOM);
      text(page, "tick", xLabel.apply(place), x, BOTTOM + 14);
    }
    text(page, "title", xTitle, (LEFT + RIGHT) / 2, BOTTOM + 34);
    text(page, "contender", yTitle, 0, TOP - 14);
  }

  /** Names next to the ends of their lines, moved apart where they would overlap. */
  private void drawNames(Markup page, LogScale up) {
    List<End> ends = lines.stream()
        .map(line -> new End(line, up.place(line.points.lastEntry().getValue())))
        .sorted(Comparator.comparingDouble(End::y))
        .toList();
    double[] places = new double[ends.size()];
    for (int i = 0; i < places.length; i++) {
      double y = ends.get(i).y;
      places[i] = i == 0 ? y : Math.max(y, places[i - 1] + LABEL);
    }
    // What was pushed below the axis goes up again.
    double limit = BOTTOM;
    for (int i = places.length - 1; i >= 0; i--) {
      places[i] = Math.min(places[i], limit);
      limit = places[i] - LABEL;
    }
    for (int i = 0; i < places.length; i++) {
      Line line = ends.get(i).line;
      Marker.draw(page, line.marker, RIGHT + 14, places[i]);
      text(page, "contender", line.name, RIGHT + 24, places[i]);
    }
  }

  private static void text(Markup page, String kind, String text, double x, double y) {
    page.element("text", text, "class", kind, "x", round(x), "y", round(y));
  }

  private static double round(double coordinate) {
    return Math.round(coordinate * 10) / 10.0;
  }
}
