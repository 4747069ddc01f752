package dev.vbn.bench;

import dev.vbn.Variant;
import dev.vbn.bench.Comparison.Series;
import dev.vbn.cli.report.Environment;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * What a run of the benchmark found.
 *
 * @param command that it was started with
 * @param options of the JVMs that measured
 * @param notMeasured what was left out, and why
 */
record BenchReport(
    Environment environment,
    String processor,
    Instant started,
    Duration duration,
    String command,
    List<String> options,
    List<Entry> contenders,
    List<Measurement> measurements,
    List<String> notMeasured) {

  /**
   * A contender.
   *
   * @param description of the device and library; or the reason why it cannot be used here
   * @param failure why it ended before the others; null if it did not
   */
  record Entry(
      String name,
      Contender.Kind kind,
      boolean available,
      String description,
      @Nullable String failure) {
    Entry failed(String why) {
      return new Entry(name, kind, available, description, why);
    }
  }

  BenchReport {
    options = List.copyOf(options);
    contenders = List.copyOf(contenders);
    measurements = List.copyOf(measurements);
    notMeasured = List.copyOf(notMeasured);
  }

  /** A backend was measured, and nothing failed. */
  boolean succeeded() {
    return contenders.stream().allMatch(entry -> entry.failure() == null)
        && contenders.stream()
            .anyMatch(entry -> entry.kind() == Contender.Kind.BACKEND && entry.available());
  }

  /** Numbers of threads, in order. */
  List<Integer> threads() {
    return measurements.stream().map(Measurement::threads).distinct().sorted().toList();
  }

  /** Shapes of a series, in order. */
  List<Shape> shapes(Series series) {
    return measurements.stream()
        .map(Measurement::comparison)
        .filter(comparison -> comparison.series() == series)
        .map(Comparison::shape)
        .distinct()
        .toList();
  }

  /** Contenders that took part in a series and a pass, in order. */
  List<String> contenders(Series series, Pass pass) {
    List<String> names = new ArrayList<>();
    for (Entry entry : contenders) {
      if (measurements.stream()
          .anyMatch(measured -> measured.contender().equals(entry.name())
              && measured.comparison().series() == series
              && measured.comparison().pass() == pass)) {
        names.add(entry.name());
      }
    }
    return names;
  }

  /** The variants measured, in order. */
  Set<Variant> variants() {
    Set<Variant> variants = new LinkedHashSet<>();
    for (Variant variant : Variant.values()) {
      if (measurements.stream().anyMatch(found -> found.comparison().variant() == variant)) {
        variants.add(variant);
      }
    }
    return variants;
  }

  /** One measurement, if it was made. */
  Optional<Measurement> find(int threads, Comparison comparison, String contender) {
    return measurements.stream()
        .filter(measured -> measured.threads() == threads
            && measured.comparison().equals(comparison)
            && measured.contender().equals(contender))
        .findFirst();
  }
}
