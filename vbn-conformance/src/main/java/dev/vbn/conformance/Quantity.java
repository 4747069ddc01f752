package dev.vbn.conformance;

import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;

/** The tensors that a layer makes of a case. */
enum Quantity {
  MEAN("reference mean", "The mean over all examples and positions of a feature."),
  VARIANCE("reference variance", "Biased: over all examples and positions, divided by n."),
  LONE_MEAN("mean taken alone", "The mean that the reference pass has too."),
  LONE_VARIANCE("variance taken alone", "The biased variance that the reference pass has too."),
  REFERENCE_OUTPUT(
      "reference output", "It normalises by its own mean and biased variance, and nothing else."),
  LIVE_MEAN("mixed mean", "m = mr + w*d of the live statistics, per example in scope EXAMPLE."),
  LIVE_VARIANCE("mixed variance", "v = (1-w)*vr + w*va + w*(1-w)*d*d of the live statistics."),
  OUTPUT(
      "output",
      "y = gamma*(x - m)/sqrt(v + epsilon) + beta, with m = mr + w*d and v = (1-w)*vr + w*va +"
          + " w*(1-w)*d*d, d = ma - mr. Look at the weight w and at the scope of ma and va."),
  DX(
      "dx",
      "dx = gamma/s*(dy - w/n*(A + xh*B)), n elements of the group, A = sum(dy), B = sum(dy*xh)."),
  DGAMMA("dgamma", "dgamma = sum(dy*xh) over examples and positions of a feature."),
  DBETA("dbeta", "dbeta = sum(dy) over examples and positions of a feature."),
  DREFERENCE(
      "gradient of the reference batch",
      "dr = dmr/(R*Pr) + 2*(r - mr)*dvr/(R*Pr), dmr = sum of (1-w)*dm - 2*w*(1-w)*d*dv over"
          + " groups, dvr = sum of (1-w)*dv."),
  REFERENCE_DX(
      "dx of the reference pass", "Detached: gamma/s*dy. Attached: the backward of batch norm."),
  REFERENCE_DGAMMA("dgamma of the reference pass", "dgamma = sum(dy*xh)."),
  REFERENCE_DBETA("dbeta of the reference pass", "dbeta = sum(dy)."),
  SECOND_X(
      "second gradient of x",
      "Of L = sum(dx*v) + sum(dgamma*vgamma) + sum(dbeta*vbeta): it reaches x through xh, and through"
          + " m and s of the group. Normalization.secondSlopes has the formula."),
  SECOND_UPSTREAM(
      "second gradient of dy",
      "gamma/s*(v - w/n*(V + xh*W)) + vgamma*xh + vbeta, V = sum(v), W = sum(v*xh)."),
  SECOND_GAMMA(
      "second gradient of gamma",
      "Sum over groups of (D - w/n*(A*V + B*W))/s, D = sum(dy*v); A, B, V, W as in dx.");

  private final String label;
  private final String hint;

  Quantity(String label, String hint) {
    this.label = label;
    this.hint = hint;
  }

  /** What messages call it. */
  String label() {
    return label;
  }

  /** How it is computed, for whoever got it wrong. */
  String hint() {
    return hint;
  }

  /** Whether it takes {@link Capability#DOUBLE_BACKWARD}. */
  boolean isSecond() {
    return this == SECOND_X || this == SECOND_UPSTREAM || this == SECOND_GAMMA;
  }

  /** The type whose rounding its errors are measured by, for batches of {@code dtype}. */
  DType roundedTo(DType dtype) {
    return switch (this) {
      case REFERENCE_OUTPUT, OUTPUT, DX, DREFERENCE, REFERENCE_DX, SECOND_X, SECOND_UPSTREAM ->
        dtype;
      default -> dtype.parameterType();
    };
  }
}
