package dev.vbn.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.cli.report.BackendResult;
import dev.vbn.cli.report.CheckResult;
import dev.vbn.cli.report.CheckResult.Thrown;
import dev.vbn.cli.report.ConformanceReport;
import dev.vbn.cli.report.Environment;
import dev.vbn.cli.report.HtmlReport;
import dev.vbn.cli.report.JsonReport;
import dev.vbn.cli.report.Verdict;
import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.io.IOException;
import java.io.StringReader;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.xml.parsers.DocumentBuilderFactory;
import javax.xml.xpath.XPathFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.w3c.dom.Document;
import org.xml.sax.InputSource;

/** What the report says of results that were made up, and when it says that all is well. */
class ConformanceReportTest {
  private static final String NASTY =
      "<script>alert(\"&amp;\")</script>\n\u0001\u0000 \\ ' \ud83d\ude00 \ud83d {{style}}";

  private static CheckResult check(Rule rule, Outcome outcome, String message, double ulps) {
    return new CheckResult(
        rule, "family > test", outcome, message, ulps, ulps / 16, 40, null, Duration.ofMillis(20));
  }

  private static CheckResult threw(
      Rule rule, String kernel, String exception, @Nullable String frame) {
    return new CheckResult(
        rule,
        "family > test",
        Outcome.FAILED,
        exception,
        Double.NaN,
        Double.NaN,
        0,
        new Thrown(kernel, exception, frame),
        Duration.ZERO);
  }

  /** A port of which one kernel throws, at one place for two reasons, and another at another. */
  private static ConformanceReport port() {
    return report(tested(
        "port",
        passedBut(
            threw(Rule.BIASED_VARIANCE, "statistics", "an.Exception: first", "A.b(A.java:1)"),
            threw(Rule.FORWARD, "forward", "an.Error: <other>", null),
            threw(Rule.STATISTICS, "statistics", "an.Exception: second", "A.b(A.java:1)"),
            check(Rule.ROUND_TRIP, Outcome.FAILED, "why", Double.NaN),
            check(Rule.REFERENCE_PASS, Outcome.FAILED, "why", Double.NaN))));
  }

  @Test
  void thePageSaysWhatThrewAndWhereToBegin() throws Exception {
    Document page = parse(HtmlReport.of(port()));
    String threw = "//article//div[@class='beside']";
    assertTrue(find(page, threw + "[1]/p").contains("statistics threw in 2 checks"));
    assertEquals("an.Exception: first\n    at A.b(A.java:1)", find(page, threw + "[1]/pre"));
    assertTrue(find(page, threw + "[2]/p").contains("forward threw in 1 check"));
    assertEquals("an.Error: <other>", find(page, threw + "[2]/pre"));
    assertEquals(
        "Start with VBN-801 then VBN-202 then VBN-306",
        find(page, "//article//p[starts-with(., 'Start')]").strip().replaceAll("\\s+", " "));
    assertTrue(find(page, "//tr[th='VBN-202']/td[2]").contains("40 compared"));
    assertEquals(
        "0",
        find(parse(HtmlReport.of(mixed())), "count(//article[1]//p[starts-with(., 'Start')])"));
  }

  @Test
  @SuppressWarnings("unchecked")
  void jsonSaysWhatThrewAndWhereToBegin() throws IOException {
    Map<String, Object> json = JsonReader.read(JsonReport.of(port()));
    Map<String, Object> backend = ((List<Map<String, Object>>) json.get("backends")).get(0);
    assertEquals(List.of("VBN-801", "VBN-202", "VBN-306"), backend.get("orderOfWork"));
    assertEquals(
        "[{kernel=statistics, frame=A.b(A.java:1), exception=an.Exception: first, checks=2},"
            + " {kernel=forward, frame=null, exception=an.Error: <other>, checks=1}]",
        backend.get("thrown").toString());
    List<Map<String, Object>> rules = (List<Map<String, Object>>) backend.get("rules");
    Map<String, Object> rule = rules.get(List.of(Rule.values()).indexOf(Rule.STATISTICS));
    assertEquals(40, rule.get("comparisons"));
    Map<String, Object> check = ((List<Map<String, Object>>) rule.get("checks")).get(1);
    assertEquals("statistics", check.get("kernel"));
    assertEquals("A.b(A.java:1)", check.get("frame"));
    assertEquals(0, check.get("comparisons"));
  }

  /** A check of every rule, all passed. */
  private static List<CheckResult> passed() {
    List<CheckResult> checks = new ArrayList<>();
    for (Rule rule : Rule.values()) {
      checks.add(check(rule, Outcome.PASSED, "", rule.number() / 100.0));
    }
    return checks;
  }

  private static List<CheckResult> passedBut(CheckResult... others) {
    List<CheckResult> checks = passed();
    checks.addAll(List.of(others));
    return checks;
  }

  private static BackendResult tested(String name, List<CheckResult> checks) {
    return new BackendResult(
        name,
        "a device",
        true,
        false,
        "a.Tensor",
        "some.jar",
        "1.2",
        checks,
        OptionalLong.of(7),
        Duration.ofSeconds(3));
  }

  private static BackendResult unavailable(String name, boolean required) {
    return new BackendResult(
        name,
        NASTY,
        false,
        required,
        null,
        "some.jar",
        null,
        List.of(),
        OptionalLong.empty(),
        Duration.ZERO);
  }

  private static ConformanceReport report(BackendResult... backends) {
    return new ConformanceReport(
        new Environment("0.0", "17", "an OS", 2),
        Instant.parse("2026-01-02T03:04:05.6Z"),
        Duration.ofMillis(1500),
        List.of(backends));
  }

  private static ConformanceReport mixed() {
    return report(
        tested("good", passed()),
        tested(
            "bad",
            passedBut(
                check(Rule.SPLIT, Outcome.FAILED, NASTY, Double.POSITIVE_INFINITY),
                check(Rule.STRIDES, Outcome.DECLARED_ABSENT, "lacks it", Double.NaN),
                check(null, Outcome.FAILED, "the census: " + NASTY, Double.NaN))),
        unavailable("gpu", false));
  }

  @Test
  void conformsWhereEveryRuleWasCheckedAndNoCheckFailed() {
    assertEquals(Verdict.CONFORMS, tested("good", passed()).verdict());
    assertTrue(report(tested("good", passed()), unavailable("gpu", false)).conforms());
  }

  @Test
  void nothingElseConforms() {
    for (Outcome outcome : new Outcome[] {Outcome.FAILED, Outcome.NO_DEVICE}) {
      BackendResult backend =
          tested("bad", passedBut(check(Rule.SPLIT, outcome, "why", Double.NaN)));
      assertEquals(Verdict.DOES_NOT_CONFORM, backend.verdict(), outcome.label());
      assertFalse(report(tested("good", passed()), backend).conforms(), outcome.label());
    }
    BackendResult census =
        tested("bad", passedBut(check(null, Outcome.FAILED, "not every rule", Double.NaN)));
    assertEquals(Verdict.DOES_NOT_CONFORM, census.verdict());
    List<CheckResult> partial = passed();
    partial.remove(3);
    assertEquals(Verdict.DOES_NOT_CONFORM, tested("partial", partial).verdict());
    assertEquals(Verdict.DOES_NOT_CONFORM, tested("empty", List.of()).verdict());
    assertFalse(report().conforms());
    assertFalse(report(unavailable("gpu", false)).conforms());
    assertFalse(report(tested("good", passed()), unavailable("gpu", true)).conforms());
  }

  /** The page is well-formed XML as well. */
  private static Document parse(String html) throws Exception {
    DocumentBuilderFactory factory = DocumentBuilderFactory.newInstance();
    return factory.newDocumentBuilder().parse(new InputSource(new StringReader(html)));
  }

  private static String find(Document page, String path) throws Exception {
    return XPathFactory.newInstance().newXPath().evaluate(path, page);
  }

  @Test
  void thePageShowsEveryRuleOfEveryBackend() throws Exception {
    Document page = parse(HtmlReport.of(mixed()));
    for (Rule rule : Rule.values()) {
      String row = "//tr[th='" + rule.id() + "']";
      assertEquals(rule.sentence(), find(page, row + "/td[1]"));
      assertTrue(find(page, row + "/td[2]").contains("1 passed"), rule.id());
      assertTrue(find(page, row + "/td[4]").contains("no device"), rule.id());
    }
    assertTrue(find(page, "//tr[th='VBN-203']/td[3]").contains("1 of 2 failed"));
    assertTrue(find(page, "//tr[th='VBN-203']/td[3]").contains("\u221e ulp"));
    assertTrue(find(page, "//tr[th='VBN-707']/td[3]").contains("1 passed, 1 declared absent"));
    assertEquals("9", find(page, "count(//section[@class='group'])"));
    assertEquals("9", find(page, "count(//figure//*[local-name()='svg'])"));
  }

  @Test
  void thePageShowsTexts() throws Exception {
    String html = HtmlReport.of(mixed());
    assertFalse(html.contains("<script"), "unescaped");
    Document page = parse(html);
    String shown =
        "<script>alert(\"&amp;\")</script>\n\ufffd\ufffd \\ ' \ud83d\ude00 \ufffd {{style}}";
    assertEquals(shown, find(page, "//*[@id='VBN-203-bad']//pre"));
    assertEquals("the census: " + shown, find(page, "//*[@class='beside']/pre"));
    assertEquals(shown, find(page, "//article[3]/p[@class='description']"));
    assertTrue(find(page, "//header").contains("Not tested, for want of a device: gpu."));
    assertTrue(find(page, "//header").contains("2 January 2026, 03:04 UTC"));
  }

  @Test
  void thePageNeedsNothingElse() throws Exception {
    String html = HtmlReport.of(report(tested("good", passed()))); // no texts from outside
    Matcher reference = Pattern.compile("(?:src|href|url|@import)\\W+([^\"]*)").matcher(html);
    int links = 0;
    while (reference.find()) {
      links++;
      assertTrue(
          reference.group(1).equals("conformance.json"), () -> "refers to " + reference.group(1));
    }
    assertEquals(1, links);
    assertFalse(html.contains("<script") || html.contains("<link"));
  }

  @Test
  @SuppressWarnings("unchecked")
  void jsonSaysTheSame() throws IOException {
    Map<String, Object> json = JsonReader.read(JsonReport.of(mixed()));
    assertEquals(
        List.of(
            "format",
            "conforms",
            "started",
            "seconds",
            "seed",
            "vbn",
            "java",
            "system",
            "processors",
            "rules",
            "backends"),
        List.copyOf(json.keySet()));
    assertEquals(false, json.get("conforms"));
    assertEquals("2026-01-02T03:04:05Z", json.get("started"));
    assertEquals(1.5, json.get("seconds"));
    assertEquals(7, json.get("seed"));
    List<Map<String, Object>> backends = (List<Map<String, Object>>) json.get("backends");
    assertEquals(
        List.of("conforms", "does not conform", "no device"),
        backends.stream().map(backend -> backend.get("verdict")).toList());
    assertEquals(NASTY, backends.get(2).get("description"));
    List<Map<String, Object>> rules =
        (List<Map<String, Object>>) backends.get(1).get("rules");
    assertEquals(
        Arrays.stream(Rule.values()).map(Rule::id).toList(),
        rules.stream().map(rule -> rule.get("rule")).toList());
    Map<String, Object> split = rules.get(List.of(Rule.values()).indexOf(Rule.SPLIT));
    assertEquals("failed", split.get("outcome"));
    assertEquals("Infinity", split.get("worstUlps"));
    List<Map<String, Object>> checks = (List<Map<String, Object>>) split.get("checks");
    assertEquals(2, checks.size());
    assertEquals(NASTY, checks.get(1).get("message"));
    assertTrue(checks.get(0).containsKey("message"));
    assertNull(checks.get(0).get("message"));
    assertEquals(1, ((List<?>) backends.get(1).get("failuresBesideRules")).size());
  }
}
