package dev.vbn.cli.report;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.OptionalLong;

/**
 * How the kit ended for several backends, side by side.
 *
 * @param started when it began
 */
public record ConformanceReport(
    Environment environment, Instant started, Duration duration, List<BackendResult> backends) {

  /** Copies the list. */
  public ConformanceReport {
    backends = List.copyOf(backends);
  }

  /** At least one backend was tested, all that were conform, and none that must be is missing. */
  public boolean conforms() {
    return tested() > 0
        && backends.stream()
            .allMatch(backend ->
                backend.available() ? backend.verdict() == Verdict.CONFORMS : !backend.required());
  }

  /** Number of backends that were tested. */
  public int tested() {
    return (int) backends.stream().filter(BackendResult::available).count();
  }

  /** Of the random cases: one for all backends. */
  public OptionalLong seed() {
    return backends.stream()
        .map(BackendResult::seed)
        .flatMapToLong(OptionalLong::stream)
        .findFirst();
  }
}
