package dev.vbn.cli.report;

import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Locale;

/** Numbers as they are read best. */
public final class Numbers {
  private static final DateTimeFormatter DATE = DateTimeFormatter.ofPattern(
          "d MMMM uuuu, HH:mm 'UTC'", Locale.ENGLISH)
      .withZone(ZoneOffset.UTC);

  private Numbers() {}

  /** Day and minute. */
  public static String date(Instant time) {
    return DATE.format(time);
  }

  /** About three digits; a dash for NaN. */
  public static String ulps(double value) {
    if (Double.isNaN(value)) {
      return "-";
    }
    if (Double.isInfinite(value)) {
      return "\u221e";
    }
    if (value == 0) {
      return "0";
    }
    if (value >= 9995) {
      return String.format(Locale.ROOT, "%.0e", value).replaceFirst("e\\+0*", "e");
    }
    int decimals = value >= 99.95 ? 0 : value >= 9.995 ? 1 : 2;
    return value < 0.005 ? "<0.01" : String.format(Locale.ROOT, "%." + decimals + "f", value);
  }

  /** A share in per cent. */
  static String percent(double share) {
    return share < 0.005 ? "<1%" : Math.round(100 * share) + "%";
  }

  /** Seconds. */
  public static String seconds(Duration duration) {
    return String.format(Locale.ROOT, "%.1f s", duration.toMillis() / 1000.0);
  }

  /** A number and its noun: {@code 1 check}, {@code 2 checks}. */
  public static String counted(int number, String noun) {
    return number + " " + noun + (number == 1 ? "" : "s");
  }
}
