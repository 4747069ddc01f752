package dev.vbn.bench;

import dev.vbn.Variant;
import dev.vbn.bench.Comparison.Series;
import dev.vbn.cli.report.HtmlPage;
import dev.vbn.cli.report.Marker;
import dev.vbn.cli.report.Markup;
import dev.vbn.cli.report.Numbers;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.NavigableMap;
import java.util.TreeMap;

/** The report for readers: a page that needs nothing but itself, neither files nor scripts. */
final class HtmlBenchReport {
  private static final double QUARTER = 0.25;

  private final BenchReport report;
  private final List<String> names;
  private final Markup page = new Markup();

  private HtmlBenchReport(BenchReport report) {
    this.report = report;
    names = report.contenders().stream().map(BenchReport.Entry::name).toList();
  }

  /** The content of {@code bench.html}. */
  static String of(BenchReport report) throws IOException {
    HtmlBenchReport html = new HtmlBenchReport(report);
    html.writeHeader();
    html.writeContenders();
    html.writeRatios();
    html.writeSizes();
    html.writeScaling();
    html.writeVariants();
    html.writeTables();
    return HtmlPage.of(
        HtmlBenchReport.class, "bench", new Markup().text(report.processor()), html.page);
  }

  private void writeHeader() {
    page.open("header").element("h1", "VBN benchmark");
    page.element("p", report.command(), "class", "summary");
    page.open("dl", "class", "facts");
    fact("Started", Numbers.date(report.started()));
    fact("Took", Numbers.seconds(report.duration()));
    fact("Processor", report.processor());
    fact("Processors", Integer.toString(report.environment().processors()));
    fact("System", report.environment().system());
    fact("VBN", report.environment().vbn());
    fact("Java", report.environment().java());
    page.close();
    page.open("p").text("Options of the JVM with most threads: ");
    page.element("code", String.join(" ", report.options())).close();
    page.close();
  }

  private void fact(String name, String value) {
    page.open("div").element("dt", name).element("dd", value).close();
  }

  private void marker(String contender) {
    page.open("svg", "class", "marker", "viewBox", "-6 -6 12 12", "aria-hidden", "true");
    Marker.draw(page, names.indexOf(contender), 0, 0);
    page.close();
  }

  private void writeContenders() {
    page.open("section").element("h2", "Who is compared");
    page.open("div", "class", "scroll").open("table").open("tbody");
    for (BenchReport.Entry entry : report.contenders()) {
      page.open("tr").open("th", "scope", "row");
      marker(entry.name());
      page.text(entry.name()).close();
      page.element("td", entry.kind().label());
      page.open("td");
      page.text((entry.available() ? "" : "Unavailable: ") + entry.description());
      if (entry.failure() != null) {
        page.element("p", "Failed " + entry.failure());
      }
      page.close().close();
    }
    page.close().close().close();
    for (String what : report.notMeasured()) {
      page.element("p", "Not measured: " + what);
    }
    page.close();
  }

  private void writeRatios() {
    page.open("section").element("h2", "Beside a copy");
    for (Pass pass : Pass.values()) {
      for (int threads : report.threads()) {
        RatioChart chart = new RatioChart(
            pass.label() + ", " + Units.threads(threads) + ": times what a copy takes, by shape");
        for (Shape shape : report.shapes(Series.SHAPES)) {
          Comparison comparison = Comparison.of(Series.SHAPES, shape, pass);
          chart.group(shape + " (" + Units.bytes(shape.bytes()) + ")", ratios(threads, comparison));
        }
        figure(pass.label() + ", " + Units.threads(threads), chart);
      }
    }
    page.close();
  }

  private void figure(String caption, RatioChart chart) {
    if (!chart.isEmpty()) {
      page.open("figure").element("figcaption", caption);
      chart.draw(page);
      page.close();
    }
  }

  private void figure(String caption, LineChart chart) {
    if (!chart.isEmpty()) {
      page.open("figure").element("figcaption", caption);
      chart.draw(page);
      page.close();
    }
  }

  private List<RatioChart.Ratio> ratios(int threads, Comparison comparison) {
    List<RatioChart.Ratio> ratios = new ArrayList<>();
    for (String name : names) {
      if (!name.equals(CopyContender.NAME)) {
        report
            .find(threads, comparison, name)
            .ifPresent(found -> ratios.add(new RatioChart.Ratio(
                name,
                names.indexOf(name),
                found.timesCopy(QUARTER),
                found.timesCopy(),
                found.timesCopy(1 - QUARTER))));
      }
    }
    return ratios;
  }

  private void writeSizes() {
    List<Shape> sizes = report.shapes(Series.SIZES);
    if (sizes.isEmpty()) {
      return;
    }
    page.open("section").element("h2", "From small to large");
    for (int threads : report.threads()) {
      LineChart chart = new LineChart(
          "forward, " + Units.threads(threads) + ": time per element against size",
          "size of the batch",
          bytes -> Units.bytes((long) bytes),
          "ns per element");
      for (String name : names) {
        NavigableMap<Double, Double> points = new TreeMap<>();
        for (Shape shape : sizes) {
          Comparison comparison = Comparison.of(Series.SIZES, shape, Pass.FORWARD);
          report
              .find(threads, comparison, name)
              .ifPresent(found -> points.put((double) shape.bytes(), found.timePerElement()));
        }
        chart.line(name, names.indexOf(name), points);
      }
      figure("forward, " + Units.threads(threads) + ": time per element", chart);
    }
    page.close();
  }

  private void writeScaling() {
    if (report.threads().size() < 2) {
      return;
    }
    page.open("section").element("h2", "With more threads");
    for (Pass pass : List.of(Pass.FORWARD, Pass.STEP)) {
      for (Shape shape : report.shapes(Series.SHAPES)) {
        LineChart chart = new LineChart(
            pass.label() + " of " + shape + ": speed against number of threads",
            "threads",
            threads -> Integer.toString((int) threads),
            "times as fast as with one thread");
        Comparison comparison = Comparison.of(Series.SHAPES, shape, pass);
        for (String name : names) {
          chart.line(name, names.indexOf(name), speedUps(comparison, name));
        }
        figure(pass.label() + " of " + shape, chart);
      }
    }
    page.close();
  }

  private NavigableMap<Double, Double> speedUps(Comparison comparison, String name) {
    NavigableMap<Double, Double> speedUps = new TreeMap<>();
    report.find(1, comparison, name).ifPresent(alone -> {
      for (int threads : report.threads()) {
        report
            .find(threads, comparison, name)
            .ifPresent(found -> speedUps.put((double) threads, alone.time() / found.time()));
      }
    });
    return speedUps;
  }

  private void writeVariants() {
    List<Shape> shapes = report.shapes(Series.VARIANTS);
    if (shapes.isEmpty()) {
      return;
    }
    Shape shape = shapes.get(0);
    int threads = report.threads().get(report.threads().size() - 1);
    page.open("section").element("h2", "What a variant costs");
    for (Pass pass : List.of(Pass.FORWARD, Pass.BACKWARD)) {
      RatioChart chart = new RatioChart(pass.label() + " of " + shape + ", "
          + Units.threads(threads) + ": times what a copy takes, by variant");
      for (Variant variant : Variant.values()) {
        // The default has been measured among the shapes.
        Series series = variant == Variant.LIVE_BATCH ? Series.SHAPES : Series.VARIANTS;
        List<RatioChart.Ratio> ratios =
            ratios(threads, new Comparison(series, shape, variant, Masking.NONE, pass));
        chart.group(variant.label(), ratios.stream().filter(this::isBackend).toList());
      }
      figure(pass.label() + " of " + shape + ", " + Units.threads(threads), chart);
    }
    page.close();
  }

  private boolean isBackend(RatioChart.Ratio ratio) {
    return report.contenders().get(ratio.marker()).kind() == Contender.Kind.BACKEND;
  }

  private void writeTables() {
    page.open("section").element("h2", "Tables");
    page.element("p", ResultTable.LEGEND);
    for (ResultTable table : ResultTable.of(report)) {
      page.open("div", "class", "scroll").open("table");
      page.element("caption", table.title());
      page.open("thead").open("tr");
      for (String heading : table.headings()) {
        page.element("th", heading, "scope", "col");
      }
      page.close().close().open("tbody");
      for (List<String> row : table.rows()) {
        page.open("tr").open("th", "scope", "row");
        marker(row.get(0));
        page.text(row.get(0)).close();
        row.stream().skip(1).forEach(cell -> page.element("td", cell));
        page.close();
      }
      page.close().close().close();
    }
    page.close();
  }
}
