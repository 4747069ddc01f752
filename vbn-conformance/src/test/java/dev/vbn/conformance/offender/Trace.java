package dev.vbn.conformance.offender;

import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;

/** What a run of the kit has seen of a fault, on all backends that it opened. */
final class Trace {
  /** Whether a number came out wrong by more than rounding. */
  final AtomicBoolean altered = new AtomicBoolean();

  /** In a rehearsal, where nothing is altered: the conditions that calls have met. */
  final Set<Condition> met = ConcurrentHashMap.newKeySet();

  /**
   * In a rehearsal: the conditions under which the fault would have altered something, with the
   * checks in which it would.
   */
  final Map<Condition, Set<String>> bearing = new ConcurrentHashMap<>();

  /** In a rehearsal: the conditions under which a number would have differed, by rounding or more. */
  final Set<Condition> differing = ConcurrentHashMap.newKeySet();

  /** Calls in progress, and backends open. */
  final AtomicInteger running = new AtomicInteger();

  final AtomicInteger open = new AtomicInteger();

  final boolean rehearsal;
  private volatile boolean stopped;
  private volatile String check = "";

  private Trace(boolean rehearsal) {
    this.rehearsal = rehearsal;
  }

  static Trace ofFault() {
    return new Trace(false);
  }

  static Trace ofRehearsal() {
    return new Trace(true);
  }

  /** What the kit does after it has failed is of no interest: every check ends at once. */
  void stop() {
    stopped = true;
  }

  void requireRunning() {
    if (stopped) {
      throw new IllegalStateException("the kit has failed already");
    }
  }

  /** A check begins, of that unique id. */
  void begin(String id) {
    requireRunning();
    check = id;
  }

  /** In a rehearsal: under these conditions the fault would alter something. */
  void bears(Set<Condition> conditions) {
    conditions.forEach(each ->
        bearing.computeIfAbsent(each, first -> ConcurrentHashMap.newKeySet()).add(check));
  }
}
