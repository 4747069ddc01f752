package dev.vbn.conformance;

import org.jspecify.annotations.Nullable;

/**
 * What one check has done: how much it compared, how far off the results were, and how it ended,
 * told by the check itself. What stands between it and JUnit may skip it or swallow its failure, but
 * not its record.
 */
final class Check {
  private static final ThreadLocal<Check> CURRENT = ThreadLocal.withInitial(Check::new);

  private long comparisons;
  private double worstUlps = Double.NaN;
  private double worstShare = Double.NaN;
  private boolean ended;
  private @Nullable Throwable failure;

  private Check() {}

  /** The check that runs on this thread. */
  static Check current() {
    return CURRENT.get();
  }

  /** A new record for this thread. */
  static void start() {
    CURRENT.remove();
  }

  /** The body of a check. */
  interface Body {
    void run() throws Exception;
  }

  /** Runs the body, and keeps how it ended. */
  void run(Body body) {
    try {
      body.run();
      ended = true;
    } catch (Throwable e) {
      failure = e;
      throw Check.<RuntimeException>as(e);
    }
  }

  @SuppressWarnings({"unchecked", "TypeParameterUnusedInFormals"}) // thrown on as it is
  private static <E extends Throwable> E as(Throwable e) throws E {
    throw (E) e;
  }

  /** Counts a comparison whose error is measured by nothing. */
  void compared() {
    comparisons++;
  }

  /** Counts a comparison with its largest error, in units in the last place and as a share of the
   * one allowed. */
  void compared(double ulps, double share) {
    comparisons++;
    worstUlps = larger(worstUlps, ulps);
    worstShare = larger(worstShare, share);
  }

  private static double larger(double known, double next) {
    return known >= next ? known : next; // NaN is smaller than any
  }

  /** Comparisons made. */
  long comparisons() {
    return comparisons;
  }

  /** Largest error met, in units in the last place; NaN where none was measured by them. */
  double worstUlps() {
    return worstUlps;
  }

  /** Largest error met as a share of the one allowed; NaN where none was allowed. */
  double worstShare() {
    return worstShare;
  }

  /** Whether the body ran to its end. */
  boolean ended() {
    return ended;
  }

  /** What the body threw; null where it threw nothing. */
  @Nullable
  Throwable failure() {
    return failure;
  }
}
