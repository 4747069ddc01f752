package dev.vbn.bench;

import dev.vbn.spi.Availability;
import java.util.Optional;

/** One way to normalise a batch, which the benchmark compares with others. */
interface Contender {

  /** What it is. */
  enum Kind {
    /** The yardstick. */
    COPY("copy"),
    /** Computes virtual batch normalization behind the API. */
    BACKEND("backend"),
    /** What a user would do without VBN. */
    PEER("peer");

    private final String label;

    Kind(String label) {
      this.label = label;
    }

    String label() {
      return label;
    }
  }

  /** What it computes. */
  enum Task {
    /** The batch itself. */
    COPY,
    /** Virtual batch normalization of the workload's variant. */
    VIRTUAL_BATCH_NORM,
    /** The batch normalized by its own statistics alone. */
    BATCH_NORM
  }

  /** Unique among all. */
  String name();

  /** What it is. */
  Kind kind();

  /** What its results are compared with. */
  default Task task() {
    return Task.VIRTUAL_BATCH_NORM;
  }

  /** Whether it is asked at all. */
  default boolean takesPart(Comparison comparison) {
    return true;
  }

  /** Whether it can be used here; does not throw. */
  Availability probe();

  /**
   * Makes the tensors for a comparison.
   *
   * @return what can be timed, to be closed; empty where it has no such pass, variant, type or mask
   */
  Optional<Prepared> prepare(Workload workload, Pass pass);
}
