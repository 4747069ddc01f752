package dev.vbn.conformance;

/** How a check ended. A rule ends as the check of it whose outcome is last in this order. */
public enum Outcome {
  /** The backend lacks an optional capability, and refused as documented. */
  DECLARED_ABSENT("declared absent"),
  /** It did what is right. */
  PASSED("passed"),
  /** It cannot be used here. */
  NO_DEVICE("no device"),
  /** Anything else. */
  FAILED("failed");

  private final String label;

  Outcome(String label) {
    this.label = label;
  }

  /** Words for it. */
  public String label() {
    return label;
  }
}
