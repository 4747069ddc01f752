package dev.vbn.conformance;

/** The tensors that a layer is given. */
enum Argument {
  X("x"),
  UPSTREAM("the upstream gradient"),
  REFERENCE("the reference batch"),
  REFERENCE_UPSTREAM("the upstream gradient of the reference pass"),
  GAMMA("gamma"),
  BETA("beta"),
  MEAN("the reference mean"),
  VARIANCE("the reference variance"),
  OUTPUT("a supplied output"),
  DX("a tensor supplied for dx"),
  SECOND_DX("the upstream gradient of dx"),
  SECOND_DGAMMA("the upstream gradient of dgamma"),
  SECOND_DBETA("the upstream gradient of dbeta");

  private final String label;

  Argument(String label) {
    this.label = label;
  }

  @Override
  public String toString() {
    return label;
  }
}
