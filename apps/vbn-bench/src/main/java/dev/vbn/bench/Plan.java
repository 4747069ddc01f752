package dev.vbn.bench;

import java.io.Serializable;
import java.util.List;

/**
 * What a fork is to do.
 *
 * @param backends names; empty for every backend
 * @param excluded contenders that have failed before
 * @param threads that every contender may use
 * @param comparisons in their order
 * @param first of the comparisons that is still to be done
 * @param milliseconds in which to be done
 */
record Plan(
    List<String> backends,
    List<String> excluded,
    int threads,
    List<Comparison> comparisons,
    int first,
    long milliseconds)
    implements Serializable {

  Plan {
    backends = List.copyOf(backends);
    excluded = List.copyOf(excluded);
    comparisons = List.copyOf(comparisons);
  }
}
