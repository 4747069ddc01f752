package dev.vbn.conformance;

/**
 * How a layer is called.
 *
 * @param output where the live output goes
 * @param dx where the gradient of the live batch goes
 * @param statistics where the reference statistics come from
 * @param passes which kernels compute the live batch, where the backend has several
 */
record Manner(Into output, Into dx, Source statistics, Passes passes) {
  /** Every result a new tensor. */
  static final Manner PLAIN = new Manner(Into.NEW, Into.NEW, Source.PASS);

  Manner(Into output, Into dx, Source statistics) {
    this(output, dx, statistics, Passes.WHOLE);
  }

  /** A copy with other passes. */
  Manner by(Passes other) {
    return new Manner(output, dx, statistics, other);
  }

  /** Ways to one result. */
  enum Passes {
    /** One for the output, one for the gradients. */
    WHOLE("one pass each"),
    /** Gamma and beta given anew for each example, the same for all. */
    PARAMETERS_OF_EXAMPLES("gamma and beta repeated for each example"),
    /** Live moments and sums of gradients that are shared with no one. */
    SHARED_STATISTICS("live statistics that could be shared");

    private final String label;

    Passes(String label) {
      this.label = label;
    }

    @Override
    public String toString() {
      return label;
    }
  }

  /** Where a result goes. */
  enum Into {
    NEW("a new tensor"),
    SUPPLIED("a supplied tensor full of NaN"),
    OVER_X("x itself"),
    OVER_UPSTREAM("the upstream gradient itself");

    private final String label;

    Into(String label) {
      this.label = label;
    }

    @Override
    public String toString() {
      return label;
    }
  }

  /** Where the statistics come from that a live batch is normalised with. */
  enum Source {
    PASS("the reference pass"),
    ALONE("the statistics taken alone"),
    CHUNKS("the reference batch in chunks"),
    MOMENTS("moments on the host");

    private final String label;

    Source(String label) {
      this.label = label;
    }

    @Override
    public String toString() {
      return label;
    }
  }
}
