package dev.vbn.conformance;

/**
 * How a layer is called.
 *
 * @param output where the live output goes
 * @param dx where the gradient of the live batch goes
 * @param statistics where the reference statistics come from
 */
record Manner(Into output, Into dx, Source statistics) {
  /** Every result a new tensor. */
  static final Manner PLAIN = new Manner(Into.NEW, Into.NEW, Source.PASS);

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
