package dev.vbn.cli.report;

/** What the kit says of a backend as a whole. */
public enum Verdict {
  /** It computes virtual batch normalization. */
  CONFORMS("conforms"),
  /** A check failed, or a rule was not checked. */
  DOES_NOT_CONFORM("does not conform"),
  /** Nothing can be said. */
  NO_DEVICE("no device");

  private final String label;

  Verdict(String label) {
    this.label = label;
  }

  /** Words for it. */
  public String label() {
    return label;
  }
}
