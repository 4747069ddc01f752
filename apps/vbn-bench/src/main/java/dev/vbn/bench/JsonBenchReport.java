package dev.vbn.bench;

import dev.vbn.cli.report.Json;
import java.time.temporal.ChronoUnit;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** The report for programs. */
final class JsonBenchReport {
  private static final int FORMAT = 2;
  private static final double QUARTER = 0.25;

  private JsonBenchReport() {}

  /** The content of {@code bench.json}. */
  static String of(BenchReport report) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("format", FORMAT);
    json.put("command", report.command());
    json.put("started", report.started().truncatedTo(ChronoUnit.SECONDS).toString());
    json.put("seconds", report.duration().toMillis() / 1000.0);
    json.put("vbn", report.environment().vbn());
    json.put("java", report.environment().java());
    json.put("javaOptions", report.options());
    json.put("system", report.environment().system());
    json.put("processor", report.processor());
    json.put("processors", report.environment().processors());
    json.put(
        "contenders", report.contenders().stream().map(JsonBenchReport::entry).toList());
    json.put(
        "measurements",
        report.measurements().stream().map(JsonBenchReport::measurement).toList());
    json.put("notMeasured", report.notMeasured());
    return Json.of(json);
  }

  private static Map<String, @Nullable Object> entry(BenchReport.Entry entry) {
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("name", entry.name());
    json.put("kind", entry.kind().label());
    json.put("available", entry.available());
    json.put("description", entry.description());
    json.put("failure", entry.failure());
    return json;
  }

  private static Map<String, @Nullable Object> measurement(Measurement measured) {
    Comparison comparison = measured.comparison();
    Map<String, @Nullable Object> json = new LinkedHashMap<>();
    json.put("series", comparison.series().name().toLowerCase(Locale.ROOT));
    json.put("shape", comparison.shape().lengths());
    json.put("featureAxis", comparison.shape().axis());
    json.put("dtype", comparison.shape().dtype().name().toLowerCase(Locale.ROOT));
    json.put("bytes", comparison.shape().bytes());
    json.put("variant", comparison.variant().label());
    json.put("mask", comparison.masking().name().toLowerCase(Locale.ROOT));
    json.put("pass", comparison.pass().label());
    json.put("threads", measured.threads());
    json.put("contender", measured.contender());
    json.put("steady", measured.steady());
    json.put("nanoseconds", measured.time());
    json.put("nanosecondsPerElement", measured.timePerElement());
    json.put("timesCopy", measured.timesCopy());
    json.put(
        "timesCopyQuartiles",
        List.of(measured.timesCopy(QUARTER), measured.timesCopy(1 - QUARTER)));
    json.put("rounds", Arrays.stream(measured.nanoseconds()).boxed().toList());
    json.put("roundsOfCopy", Arrays.stream(measured.copy()).boxed().toList());
    return json;
  }
}
