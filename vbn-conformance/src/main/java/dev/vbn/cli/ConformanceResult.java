package dev.vbn.cli;

import java.util.List;

/**
 * How the kit's tests of one backend ended.
 *
 * @param failures names of the failed tests, each with the first line of its message
 */
record ConformanceResult(int passed, int skipped, List<String> failures) {

  /** Nothing failed, and not because nothing ran. */
  boolean conforms() {
    return passed > 0 && failures.isEmpty();
  }

  String verdict() {
    if (conforms()) {
      return "conforms";
    }
    return failures.isEmpty() ? "no test ran" : "does not conform";
  }
}
