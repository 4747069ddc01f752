package dev.vbn.bench;

/** Which elements of a batch count. */
enum Masking {
  /** All. */
  NONE(""),
  /** The beginning of each example: all of the first, down to half of the last. */
  LENGTHS("lengths"),
  /** Every second run of neighbours, each of 1 to 64. */
  POSITIONS("mask");

  private final String label;

  Masking(String label) {
    this.label = label;
  }

  String label() {
    return label;
  }
}
