package dev.vbn.cli.report;

import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.time.Duration;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The report for programs. */
public final class JsonReport {
  private static final int FORMAT = 1;

  private JsonReport() {}

  /** The content of {@code conformance.json}. */
  public static String of(ConformanceReport report) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("format", FORMAT);
    json.put("conforms", report.conforms());
    json.put("started", report.started().truncatedTo(ChronoUnit.SECONDS).toString());
    json.put("seconds", seconds(report.duration()));
    json.put("seed", report.seed().isPresent() ? report.seed().getAsLong() : null);
    json.put("vbn", report.environment().vbn());
    json.put("java", report.environment().java());
    json.put("system", report.environment().system());
    json.put("processors", report.environment().processors());
    json.put("rules", rules());
    json.put("backends", report.backends().stream().map(JsonReport::backend).toList());
    return Json.of(json);
  }

  private static List<Object> rules() {
    List<Object> rules = new ArrayList<>();
    for (RuleGroup group : RuleGroup.values()) {
      for (Rule rule : group.rules()) {
        Map<String, @Nullable Object> json = new LinkedHashMap<>();
        json.put("rule", rule.id());
        json.put("group", group.title());
        json.put("since", rule.since());
        json.put("sentence", rule.sentence());
        rules.add(json);
      }
    }
    return rules;
  }

  private static Map<String, @Nullable Object> backend(BackendResult backend) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("name", backend.name());
    json.put("verdict", backend.verdict().label());
    json.put("available", backend.available());
    json.put("required", backend.required());
    json.put("description", backend.description());
    json.put("tensorType", backend.tensorType());
    json.put("origin", backend.origin());
    json.put("version", backend.version());
    json.put("seconds", seconds(backend.duration()));
    Map<String, Object> counts = new LinkedHashMap<>();
    for (Outcome outcome : Outcome.values()) {
      counts.put(outcome.label(), backend.count(outcome));
    }
    json.put("checks", counts);
    json.put("worstUlps", measured(backend.worstUlps()));
    json.put("orderOfWork", backend.orderOfWork().stream().map(Rule::id).toList());
    List<Object> thrown = new ArrayList<>();
    backend.thrown().forEach((first, count) -> thrown.add(thrown(first, count)));
    json.put("thrown", thrown);
    json.put("rules", backend.rules().stream().map(JsonReport::rule).toList());
    json.put(
        "failuresBesideRules",
        backend.failuresBesideRules().stream().map(JsonReport::check).toList());
    return json;
  }

  private static Map<String, @Nullable Object> thrown(CheckResult.Thrown thrown, int checks) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("kernel", thrown.kernel());
    json.put("frame", thrown.frame());
    json.put("exception", thrown.exception());
    json.put("checks", checks);
    return json;
  }

  private static Map<String, @Nullable Object> rule(RuleResult result) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("rule", result.rule().id());
    json.put("outcome", result.outcome().map(Outcome::label).orElse("not checked"));
    json.put("comparisons", result.comparisons());
    json.put("worstUlps", measured(result.worstUlps()));
    json.put("worstShareOfTolerance", measured(result.worstShareOfTolerance()));
    json.put("checks", result.checks().stream().map(JsonReport::check).toList());
    return json;
  }

  private static Map<String, @Nullable Object> check(CheckResult check) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("name", check.name());
    json.put("outcome", check.outcome().label());
    json.put("message", check.message().isEmpty() ? null : check.message());
    CheckResult.Thrown thrown = check.thrown();
    json.put("kernel", thrown == null ? null : thrown.kernel());
    json.put("frame", thrown == null ? null : thrown.frame());
    json.put("comparisons", check.comparisons());
    json.put("ulps", measured(check.ulps()));
    json.put("shareOfTolerance", measured(check.shareOfTolerance()));
    json.put("seconds", seconds(check.duration()));
    return json;
  }

  private static @Nullable Double measured(double value) {
    return Double.isNaN(value) ? null : value;
  }

  private static double seconds(Duration duration) {
    return duration.toMillis() / 1000.0;
  }
}
