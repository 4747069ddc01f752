package dev.vbn.bench;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.fasterxml.jackson.jr.ob.JSON;
import dev.vbn.Variant;
import dev.vbn.bench.Comparison.Series;
import dev.vbn.cli.report.Environment;
import java.io.IOException;
import java.io.StringReader;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import javax.xml.parsers.DocumentBuilderFactory;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;

/** Reports on made-up times, whose medians and ratios are known. */
class BenchReportTest {
  private static final Shape SHAPE = Shape.of(2, 5);
  private static final double[] COPY = {10, 20, 40};
  private static final double[] OURS = {30, 40, 200}; // 3, 2 and 5 times the copy
  private static final double[] PEERS = {60, 120, 400}; // 6, 6 and 10 times

  private static BenchReport report(List<BenchReport.Entry> more) {
    List<Measurement> measurements = new ArrayList<>();
    for (Comparison comparison : List.of(
        Comparison.of(Series.SHAPES, SHAPE, Pass.FORWARD),
        Comparison.of(Series.SIZES, SHAPE, Pass.FORWARD),
        new Comparison(Series.VARIANTS, SHAPE, Variant.POOLED, Masking.NONE, Pass.FORWARD),
        new Comparison(Series.MASKS, SHAPE, Variant.LIVE_BATCH, Masking.POSITIONS, Pass.FORWARD),
        Comparison.of(Series.AGAIN, SHAPE, Pass.FORWARD))) {
      for (int threads : List.of(1, 2)) {
        measurements.add(new Measurement(threads, comparison, "copy", COPY, COPY, true));
        measurements.add(new Measurement(
            threads, comparison, "ours", OURS, COPY, comparison.series() != Series.SIZES));
        measurements.add(new Measurement(threads, comparison, "theirs", PEERS, COPY, threads == 2));
      }
    }
    List<BenchReport.Entry> entries = new ArrayList<>(List.of(
        new BenchReport.Entry("copy", Contender.Kind.COPY, true, "a copy", null),
        new BenchReport.Entry("ours", Contender.Kind.BACKEND, true, "<&> \"quoted\"", null),
        new BenchReport.Entry("theirs", Contender.Kind.PEER, true, "a peer", null)));
    entries.addAll(more);
    return new BenchReport(
        Environment.here(),
        "a processor",
        Instant.EPOCH,
        Duration.ofSeconds(3),
        "./vbn bench",
        List.of("-Xmx1g"),
        entries,
        measurements,
        List.of());
  }

  @Test
  @SuppressWarnings("unchecked")
  void jsonHoldsEveryRoundAndWhatFollowsFromThem() throws IOException {
    Map<String, Object> json = JSON.std.mapFrom(JsonBenchReport.of(report(List.of())));
    List<Map<String, Object>> measurements = (List<Map<String, Object>>) json.get("measurements");
    assertEquals(30, measurements.size());
    Map<String, Object> ours = measurements.get(1);
    assertEquals("ours", ours.get("contender"));
    assertEquals(List.of(2, 5), ours.get("shape"));
    assertEquals(1, ours.get("featureAxis"));
    assertEquals("float32", ours.get("dtype"));
    assertEquals("none", ours.get("mask"));
    assertEquals(true, ours.get("steady"));
    assertEquals(40, ours.get("bytes"));
    assertEquals(40.0, ours.get("nanoseconds"));
    assertEquals(4.0, ours.get("nanosecondsPerElement"));
    assertEquals(3.0, ours.get("timesCopy"));
    assertEquals(List.of(2.5, 4.0), ours.get("timesCopyQuartiles"));
    assertEquals(List.of(30.0, 40.0, 200.0), ours.get("rounds"));
    assertEquals(List.of(10.0, 20.0, 40.0), ours.get("roundsOfCopy"));
  }

  @Test
  void tablesGiveRatiosFirst() {
    List<ResultTable> tables = ResultTable.of(report(List.of()));
    ResultTable first = tables.get(0);
    assertEquals("Forward, 1 thread: times what a copy of the same bytes takes", first.title());
    assertEquals(
        List.of(List.of("ours", "3.0"), List.of("theirs", "6.0 ?"), List.of("copy", "20 ns")),
        first.rows());
    Comparison masked =
        new Comparison(Series.MASKS, SHAPE, Variant.LIVE_BATCH, Masking.POSITIONS, Pass.FORWARD);
    assertEquals(
        List.of(
            List.of("ours", Units.ratio(1 / Workload.share(masked))),
            List.of("theirs", Units.ratio(1 / Workload.share(masked)))),
        rows(
            tables,
            "Forward, 1 thread: times the call without a mask, for each element that counts"));
    assertEquals(
        List.of(List.of("ours", "1.0"), List.of("theirs", "1.0")),
        rows(
            tables,
            "Forward, 2 threads: measured last, times what it took when it was measured first"));
    assertTrue(MarkdownReport.of(report(List.of())).contains("| ours | 3.0 |"));
  }

  private static List<List<String>> rows(List<ResultTable> tables, String title) {
    return tables.stream()
        .filter(table -> table.title().equals(title))
        .findFirst()
        .orElseThrow()
        .rows();
  }

  /** The page is well-formed XML as well, and needs nothing but itself. */
  @Test
  void thePageIsWhole() throws Exception {
    String html = HtmlBenchReport.of(report(List.of()));
    Document page = DocumentBuilderFactory.newInstance()
        .newDocumentBuilder()
        .parse(new InputSource(new StringReader(html)));
    assertTrue(html.stripTrailing().endsWith("</html>"));
    assertFalse(html.contains("<script") || html.contains("<link"));
    assertTrue(page.getElementsByTagName("figure").getLength() >= 5);
    List<String> headings = new ArrayList<>();
    for (int i = 0; i < page.getElementsByTagName("h2").getLength(); i++) {
      headings.add(page.getElementsByTagName("h2").item(i).getTextContent());
    }
    assertEquals(
        List.of(
            "Who is compared",
            "Beside a copy",
            "From small to large",
            "With more threads",
            "What a variant costs",
            "Tables",
            "How to read this"),
        headings);
    assertTrue(page.getDocumentElement().getTextContent().contains("<&> \"quoted\""));
  }

  @Test
  void aFailureIsInEveryReportAndNoSuccess() throws Exception {
    assertTrue(report(List.of()).succeeded());
    BenchReport failed = report(List.of(new BenchReport.Entry(
        "fragile", Contender.Kind.BACKEND, true, "made of glass", "at 2,5: it broke")));
    assertFalse(failed.succeeded());
    assertTrue(HtmlBenchReport.of(failed).contains("Failed at 2,5: it broke"));
    assertTrue(JsonBenchReport.of(failed).contains("at 2,5: it broke"));
    assertTrue(MarkdownReport.of(failed).contains("failed at 2,5: it broke"));
  }

  @Test
  void noNumberIsNoMeasurement() {
    Comparison comparison = Comparison.of(Series.SHAPES, SHAPE, Pass.FORWARD);
    for (double wrong : new double[] {0, -1, Double.NaN, Double.POSITIVE_INFINITY}) {
      double[] times = {1, wrong, 1};
      assertThrows(
          IllegalArgumentException.class,
          () -> new Measurement(1, comparison, "ours", times, COPY, true));
    }
    double[] none = {};
    assertThrows(
        IllegalArgumentException.class,
        () -> new Measurement(1, comparison, "ours", none, none, true));
  }
}
