package dev.vbn.cli.report;

import static java.util.stream.Collectors.joining;

import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.io.IOException;
import java.util.List;
import java.util.function.Predicate;

/** The report for readers: a page that needs nothing but itself, neither files nor scripts. */
public final class HtmlReport {
  /** The order in which they are shown. */
  private static final List<Outcome> OUTCOMES =
      List.of(Outcome.PASSED, Outcome.DECLARED_ABSENT, Outcome.NO_DEVICE, Outcome.FAILED);

  private final ConformanceReport report;
  private final List<BackendResult> backends;
  private final ErrorChart chart;
  private final Markup page = new Markup();

  private HtmlReport(ConformanceReport report) {
    this.report = report;
    backends = report.backends();
    chart = new ErrorChart(backends);
  }

  /** The content of {@code conformance.html}. */
  public static String of(ConformanceReport report) throws IOException {
    HtmlReport html = new HtmlReport(report);
    html.writeHeader();
    html.writeBackends();
    for (RuleGroup group : RuleGroup.values()) {
      html.writeGroup(group);
    }
    Markup title = new Markup()
        .text(backends(report, backend -> true) + ": "
            + (report.conforms() ? "conforms" : "does not conform"));
    return HtmlPage.of(HtmlReport.class, "conformance", title, html.page);
  }

  private static String backends(ConformanceReport report, Predicate<BackendResult> which) {
    return report.backends().stream().filter(which).map(BackendResult::name).collect(joining(", "));
  }

  private void writeHeader() {
    page.open("header").element("h1", "VBN conformance");
    page.open("p", "class", "summary");
    badge(report.conforms() ? Verdict.CONFORMS : Verdict.DOES_NOT_CONFORM, false);
    page.text(" " + summary()).close();
    page.open("dl", "class", "facts");
    fact("Started", Numbers.date(report.started()));
    fact("Took", Numbers.seconds(report.duration()));
    fact("Seed", report.seed().isPresent() ? Long.toString(report.seed().getAsLong()) : "-");
    fact("VBN", report.environment().vbn());
    fact("Java", report.environment().java());
    fact("System", report.environment().system());
    fact("Processors", Integer.toString(report.environment().processors()));
    page.close().close();
  }

  private String summary() {
    String conforming = backends(report, backend -> backend.verdict() == Verdict.CONFORMS);
    String failing = backends(report, backend -> backend.verdict() == Verdict.DOES_NOT_CONFORM);
    String missing = backends(report, backend -> backend.verdict() == Verdict.NO_DEVICE);
    StringBuilder summary = new StringBuilder();
    if (report.tested() == 0) {
      summary.append("No backend was tested. ");
    }
    if (!conforming.isEmpty()) {
      summary.append("Conforms: ").append(conforming).append(". ");
    }
    if (!failing.isEmpty()) {
      summary.append("Does not conform: ").append(failing).append(". ");
    }
    if (!missing.isEmpty()) {
      summary.append("Not tested, for want of a device: ").append(missing).append(". ");
    }
    return summary.toString().strip();
  }

  private void fact(String name, String value) {
    page.open("div").element("dt", name).element("dd", value).close();
  }

  private void badge(Verdict verdict, boolean required) {
    String kind = switch (verdict) {
      case CONFORMS -> "passed";
      case DOES_NOT_CONFORM -> "failed";
      case NO_DEVICE -> required ? "failed" : "no-device";
    };
    page.element(
        "strong",
        symbol(kind) + " " + verdict.label() + (required ? ", though required" : ""),
        "class",
        "badge " + kind);
  }

  private static String kind(Outcome outcome) {
    return outcome.label().replace(' ', '-');
  }

  private static String symbol(String kind) {
    return switch (kind) {
      case "passed" -> "\u2713";
      case "declared-absent" -> "\u25cb";
      case "no-device" -> "\u2298";
      default -> "\u2717";
    };
  }

  private void marker(int backend) {
    page.open("svg", "class", "marker", "viewBox", "-6 -6 12 12", "aria-hidden", "true");
    Marker.draw(page, backend, 0, 0);
    page.close();
  }

  private void writeBackends() {
    page.open("section", "class", "backends");
    for (int i = 0; i < backends.size(); i++) {
      BackendResult backend = backends.get(i);
      page.open("article");
      page.open("div", "class", "name").open("h2");
      marker(i);
      page.text(backend.name()).close();
      badge(backend.verdict(), !backend.available() && backend.required());
      page.close();
      page.element("p", backend.description(), "class", "description");
      if (backend.available()) {
        writeCounts(backend);
        writeFailedRules(backend);
      }
      page.open("dl", "class", "facts");
      if (backend.available()) {
        fact("Worst error", Numbers.ulps(backend.worstUlps()) + " ulp");
        fact("Took", Numbers.seconds(backend.duration()));
      }
      if (backend.tensorType() != null) {
        fact("Tensor", backend.tensorType());
      }
      fact("From", backend.origin());
      if (backend.version() != null) {
        fact("Version", backend.version());
      }
      page.close().close();
    }
    page.close();
  }

  private void writeCounts(BackendResult backend) {
    page.open("div", "class", "bar", "aria-hidden", "true");
    for (Outcome outcome : OUTCOMES) {
      int count = backend.count(outcome);
      if (count > 0) {
        page.element("span", "", "class", kind(outcome), "style", "flex-grow:" + count);
      }
    }
    page.close();
    page.open("ul", "class", "counts");
    for (Outcome outcome : OUTCOMES) {
      int count = backend.count(outcome);
      page.open("li", "class", count > 0 ? kind(outcome) : "none");
      page.element("b", Integer.toString(count));
      page.text(symbol(kind(outcome)) + " " + outcome.label()).close();
    }
    page.close();
  }

  private void writeFailedRules(BackendResult backend) {
    List<RuleResult> failed = backend.failedRules();
    if (!failed.isEmpty()) {
      page.open("p", "class", "rules").text(Numbers.counted(failed.size(), "rule") + " failed: ");
      for (RuleResult result : failed) {
        page.element("a", result.rule().id(), "href", "#" + reasons(backend, result.rule()))
            .text(" ");
      }
      page.close();
    }
    writeThrown(backend);
    if (!failed.isEmpty()) {
      page.open("p", "class", "rules").text("Start with ");
      String between = "";
      for (Rule rule : backend.orderOfWork()) {
        page.text(between).element("a", rule.id(), "href", "#" + reasons(backend, rule));
        between = "then ";
      }
      page.close();
    }
    for (CheckResult failure : backend.failuresBesideRules()) {
      page.open("div", "class", "beside");
      page.element("p", symbol("failed") + " " + failure.name());
      page.element("pre", failure.message()).close();
    }
  }

  private void writeThrown(BackendResult backend) {
    backend.thrown().forEach((thrown, checks) -> {
      page.open("div", "class", "beside");
      page.element(
          "p",
          symbol("failed") + " " + thrown.kernel() + " threw in "
              + Numbers.counted(checks, "check"));
      page.element(
          "pre", thrown.exception() + (thrown.frame() == null ? "" : "\n    at " + thrown.frame()));
      page.close();
    });
  }

  /** The id of what is said about failures. */
  private static String reasons(BackendResult backend, Rule rule) {
    return rule.id() + "-" + backend.name();
  }

  private void writeGroup(RuleGroup group) {
    page.open("section", "class", "group");
    page.open("h2").text(group.title()).text(" ");
    page.element("small", group.rules().get(0).id().replaceFirst("..$", "xx")).close();
    page.open("div", "class", "scroll").open("table");
    page.open("colgroup").empty("col", "class", "rule").empty("col");
    for (int i = 0; i < backends.size(); i++) {
      page.empty("col", "class", "backend");
    }
    page.close();
    page.open("thead").open("tr").element("th", "Rule", "scope", "col", "colspan", 2);
    for (int i = 0; i < backends.size(); i++) {
      page.open("th", "scope", "col");
      marker(i);
      page.text(backends.get(i).name()).close();
    }
    page.close().close();
    for (Rule rule : group.rules()) {
      writeRule(rule);
    }
    page.close().close();
    if (chart.shows(group)) {
      page.open("figure");
      chart.draw(page, group);
      page.close();
    }
    page.close();
  }

  private void writeRule(Rule rule) {
    page.open("tbody").open("tr");
    page.element("th", rule.id(), "scope", "row", "id", rule.id());
    page.element("td", rule.sentence());
    backends.forEach(backend -> writeCell(backend, backend.of(rule)));
    page.close();
    for (BackendResult backend : backends) {
      RuleResult result = backend.of(rule);
      if (result.checks().stream().anyMatch(check -> check.outcome() != Outcome.PASSED)) {
        writeReasons(backend, result);
      }
    }
    page.close();
  }

  private void writeCell(BackendResult backend, RuleResult result) {
    String kind =
        backend.available() ? result.outcome().map(HtmlReport::kind).orElse("failed") : "no-device";
    page.open("td", "class", "cell");
    page.open("div");
    page.open("span", "class", kind).text(symbol(kind) + " ");
    if (!backend.available()) {
      page.text("no device");
    } else if (result.checks().isEmpty()) {
      page.text("not checked");
    } else if (result.count(Outcome.FAILED) > 0) {
      page.element(
          "a",
          result.count(Outcome.FAILED) + " of " + result.checks().size() + " failed",
          "href",
          "#" + reasons(backend, result.rule()));
    } else {
      page.text(counts(result));
    }
    page.close();
    if (!Double.isNaN(result.worstUlps())) {
      page.element("span", Numbers.ulps(result.worstUlps()) + " ulp", "class", "ulps");
    }
    page.close();
    if (result.comparisons() > 0) {
      page.element("span", result.comparisons() + " compared", "class", "ulps");
    }
    page.close();
  }

  private static String counts(RuleResult result) {
    return OUTCOMES.stream()
        .filter(outcome -> result.count(outcome) > 0)
        .map(outcome -> result.count(outcome) + " " + outcome.label())
        .collect(joining(", "));
  }

  /** What the checks that did not pass say: hidden until it is asked for, or linked to. */
  private void writeReasons(BackendResult backend, RuleResult result) {
    List<CheckResult> checks = result.checks().stream()
        .filter(check -> check.outcome() != Outcome.PASSED)
        .toList();
    String kind =
        result.count(Outcome.FAILED) > 0 ? "failed" : kind(checks.get(0).outcome());
    page.open("tr", "class", "reasons").open("td").close();
    page.open("td", "colspan", backends.size() + 1).open("details");
    page.open("summary", "class", kind);
    page.element("b", symbol(kind) + " " + backend.name()).text(" ");
    page.element("span", worst(checks).firstLine()).close();
    page.open("ul", "id", reasons(backend, result.rule()));
    for (CheckResult check : checks) {
      page.open("li", "class", kind(check.outcome()));
      page.element("p", symbol(kind(check.outcome())) + " " + check.name());
      page.element("pre", check.message()).close();
    }
    page.close().close().close().close();
  }

  private static CheckResult worst(List<CheckResult> checks) {
    return checks.stream()
        .filter(check -> check.outcome() == Outcome.FAILED)
        .findFirst()
        .orElse(checks.get(0));
  }
}
