package dev.vbn.bench;

import java.util.Locale;

/** Numbers with their units; measured ones to two or three digits. */
final class Units {
  private static final double THOUSAND = 1000;
  private static final String[] TIMES = {"ns", "\u00b5s", "ms", "s"};
  private static final String[] SIZES = {"B", "KB", "MB", "GB"};

  private Units() {}

  /** A ratio, such as {@code 1.4}. */
  static String ratio(double ratio) {
    return digits(ratio);
  }

  /** A time, such as {@code 3.1 ms}. */
  static String time(double nanoseconds) {
    double time = nanoseconds;
    int unit = 0;
    while (time >= THOUSAND && unit < TIMES.length - 1) {
      time /= THOUSAND;
      unit++;
    }
    return digits(time) + " " + TIMES[unit];
  }

  /** A size in powers of 1024, such as {@code 32 MB}. */
  static String bytes(long bytes) {
    double size = bytes;
    int unit = 0;
    while (size >= 1024 && unit < SIZES.length - 1) {
      size /= 1024;
      unit++;
    }
    return (size == Math.rint(size) ? Long.toString((long) size) : digits(size)) + " "
        + SIZES[unit];
  }

  /** A number of threads, such as {@code 2 threads}. */
  static String threads(int threads) {
    return threads == 1 ? "1 thread" : threads + " threads";
  }

  private static String digits(double value) {
    if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "a measured number is " + value + "; expected a positive one");
    }
    int decimals = value >= 9.95 ? 0 : value >= 0.95 ? 1 : value >= 0.095 ? 2 : 3;
    return String.format(Locale.ROOT, "%." + decimals + "f", value);
  }
}
