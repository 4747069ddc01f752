package dev.vbn.cli.report;

import dev.vbn.conformance.Outcome;
import dev.vbn.conformance.Rule;
import java.time.Duration;
import org.jspecify.annotations.Nullable;

/**
 * How one check ended.
 *
 * @param rule what it checked; null for a failure that belongs to no rule
 * @param name of the test
 * @param message why it did not pass; empty if it did
 * @param ulps largest error; NaN where none was measured by ulps
 * @param shareOfTolerance largest error as a share of what is tolerated; NaN where none is
 * @param comparisons how many were made
 * @param thrown what a kernel of the backend threw; null where none did
 */
public record CheckResult(
    @Nullable Rule rule,
    String name,
    Outcome outcome,
    String message,
    double ulps,
    double shareOfTolerance,
    long comparisons,
    @Nullable Thrown thrown,
    Duration duration) {

  /**
   * What a kernel threw in place of a result.
   *
   * @param kernel name of the SPI's method
   * @param exception its type and message
   * @param frame the first that is neither the JDK's nor VBN's; null if there is none
   */
  public record Thrown(
      String kernel, String exception, @Nullable String frame) {}

  /** The first line of the message. */
  public String firstLine() {
    return message.strip().lines().findFirst().orElse("");
  }
}
