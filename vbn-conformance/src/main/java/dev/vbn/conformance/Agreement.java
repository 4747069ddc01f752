package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.largest;
import static java.util.Objects.requireNonNull;

import dev.vbn.conformance.Oracle.Expected;
import dev.vbn.tensor.DType;

/** Compares what a backend computed of one case with what the oracle, or a law, says. */
final class Agreement {
  static final String FORMULA = "y = gamma*(x - m)/sqrt(v + epsilon) + beta, with m = mr + w*d and"
      + " v = (1-w)*vr + w*va + w*(1-w)*d*d, d = ma - mr.";

  final Expected expected;
  final Subject.Outcome outcome;
  private final Subject<?> subject;
  private final DType dtype;
  private final double condition;
  private final String where;

  private Agreement(
      Subject<?> subject,
      Expected expected,
      Subject.Outcome outcome,
      DType dtype,
      double condition,
      String where) {
    this.subject = subject;
    this.expected = expected;
    this.outcome = outcome;
    this.dtype = dtype;
    this.condition = condition;
    this.where = where;
  }

  /** Runs {@code c}, rounded to {@code dtype}, on the backend and through the oracle. */
  static Agreement of(Subject<?> subject, Case c, DType dtype) {
    return of(subject, c, dtype, "");
  }

  /** As above, for a case that messages are to say more about. */
  static Agreement of(Subject<?> subject, Case c, DType dtype, String what) {
    Expected expected = Oracle.expect(c, dtype);
    return new Agreement(
        subject,
        expected,
        subject.outcome(c, dtype),
        dtype,
        expected.condition,
        " of " + (what.isEmpty() ? "" : what + ", ") + c.describe() + ", in " + dtype);
  }

  /**
   * By a law: the backend must compute of {@code c} what it computed of another case, or of the
   * same in other circumstances, of the magnitudes of {@code scales}. Whether that was right is the
   * matter of other rules.
   */
  static Agreement ofLaw(
      Subject<?> subject,
      Subject.Outcome known,
      Expected scales,
      Subject.Outcome outcome,
      Case c,
      DType dtype,
      String what) {
    return new Agreement(
        subject,
        scales.withValues(known),
        outcome,
        dtype,
        scales.condition,
        " of " + what + ", " + c.describe() + ", in " + dtype);
  }

  /** As if the inputs were no larger than their deviations: their own rounding costs nothing. */
  Agreement ofExactInputs() {
    return new Agreement(subject, expected, outcome, dtype, 1, where);
  }

  Agreement output(String hint) {
    tolerance(largest(expected.output))
        .assertClose("output" + where, expected.output, outcome.output(), hint);
    return this;
  }

  Agreement referenceOutput(String hint) {
    tolerance(largest(expected.referenceOutput))
        .assertClose(
            "reference output" + where, expected.referenceOutput, outcome.referenceOutput(), hint);
    return this;
  }

  Agreement referenceStatistics(String hint) {
    tolerance(expected.meanScale)
        .assertClose(
            "reference mean" + where, expected.referenceMean, outcome.referenceMean(), hint);
    tolerance(largest(expected.referenceVariance))
        .assertClose(
            "reference variance" + where,
            expected.referenceVariance,
            outcome.referenceVariance(),
            hint);
    return this;
  }

  Agreement mixedStatistics(String hint) {
    tolerance(expected.meanScale)
        .assertClose("mixed mean" + where, expected.mixedMean, outcome.mixedMean(), hint);
    // In 64 bits the means that d is the difference of have no width to spare, and v no epsilon.
    double varianceCondition = dtype == DType.FLOAT64 ? expected.varianceCondition : condition;
    subject
        .tolerance(dtype, largest(expected.mixedVariance), varianceCondition)
        .assertClose(
            "mixed variance" + where, expected.mixedVariance, outcome.mixedVariance(), hint);
    return this;
  }

  Agreement inputGradient(String hint) {
    tolerance(expected.dxScale).assertClose("dx" + where, expected.dx, outcome.dx(), hint);
    return this;
  }

  Agreement gammaGradient(String hint) {
    subject
        .tolerance(dtype.parameterType(), expected.dgammaScale, condition)
        .assertClose("dgamma" + where, expected.dgamma, outcome.dgamma(), hint);
    return this;
  }

  Agreement betaGradient(String hint) {
    subject
        .tolerance(dtype.parameterType(), expected.dbetaScale, 0)
        .assertClose("dbeta" + where, expected.dbeta, outcome.dbeta(), hint);
    return this;
  }

  Agreement referenceGradient(String hint) {
    tolerance(expected.dreferenceScale)
        .assertClose(
            "gradient of the reference batch" + where,
            expected.dreference,
            requireNonNull(outcome.dreference(), "the case is attached"),
            hint);
    return this;
  }

  private Tolerance tolerance(double magnitude) {
    return subject.tolerance(dtype, magnitude, condition);
  }
}
