package dev.vbn.spi;

/** What the live statistics of one feature are taken over. */
public enum Scope {
  /** All positions of all examples: one group per feature. */
  BATCH,
  /** The positions of each example: one group per example and feature. */
  EXAMPLE,
  /** Nothing: the reference statistics alone normalise; the weight is 0. */
  NONE
}
