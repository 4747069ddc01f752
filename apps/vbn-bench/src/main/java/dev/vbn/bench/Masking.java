package dev.vbn.bench;

/** Which elements of a batch count. */
enum Masking {
  /** All. */
  NONE(""),
  /** Of each example a beginning: of the first none is missing, of the last half. */
  LENGTHS("lengths"),
  /** Every second run of neighbours, of 1 to 64 of them. */
  POSITIONS("mask");

  private final String label;

  Masking(String label) {
    this.label = label;
  }

  String label() {
    return label;
  }
}
