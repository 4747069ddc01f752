package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static dev.vbn.conformance.Tolerance.largest;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Oracle.Expected;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.function.BiConsumer;
import java.util.function.Consumer;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Gradients, by golden cases, oracle, central differences and laws. */
abstract class GradientRules extends Rules {
  private static final String INPUT =
      "dx = gamma/s*(dy - w/n*(A + xh*B)), n elements of the group, A = sum(dy), B = sum(dy*xh).";
  private static final String REFERENCE =
      "dr = dmr/(R*Pr) + 2*(r - mr)*dvr/(R*Pr), dmr = sum of (1-w)*dm - 2*w*(1-w)*d*dv over"
          + " groups, dvr = sum of (1-w)*dv.";

  GradientRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.INPUT_GRADIENT)
  final void inputGradient(Variant variant) {
    check(
        variant,
        (golden, run) -> golden.check(
            subject(),
            "dx",
            run.outcome.dx(),
            run.dtype,
            run.scales.condition,
            run.scales.dxScale,
            INPUT),
        agreement -> agreement.inputGradient(INPUT));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.GAMMA_GRADIENT)
  final void gammaGradient(Variant variant) {
    String hint = "dgamma = sum(dy*xh), over examples and positions, along the feature axis.";
    check(
        variant,
        (golden, run) -> golden.check(
            subject(),
            "dgamma",
            run.outcome.dgamma(),
            run.dtype,
            run.scales.condition,
            run.scales.dgammaScale,
            hint),
        agreement -> agreement.gammaGradient(hint));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.BETA_GRADIENT)
  final void betaGradient(Variant variant) {
    String hint = "dbeta = sum(dy), over examples and positions, along the feature axis.";
    check(
        variant,
        (golden, run) -> golden.check(
            subject(), "dbeta", run.outcome.dbeta(), run.dtype, 0, run.scales.dbetaScale, hint),
        agreement -> agreement.betaGradient(hint));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.REFERENCE_GRADIENT)
  final void referenceGradient(Variant variant) {
    check(
        variant,
        (golden, run) -> golden.check(
            subject(),
            "dref",
            requireNonNull(run.outcome.dreference()),
            run.dtype,
            run.scales.condition,
            run.scales.dreferenceScale,
            REFERENCE),
        agreement -> agreement.referenceGradient(REFERENCE));
  }

  private record GoldenRun(Subject.Outcome outcome, Expected scales, DType dtype) {}

  private void check(
      Variant variant,
      BiConsumer<GoldenCase, GoldenRun> checkGolden,
      Consumer<Agreement> checkAgreement) {
    for (GoldenCase golden : GoldenCase.of(variant)) {
      Expected scales = golden.expected();
      for (DType dtype : dtypes()) {
        if (dtype.precision() >= 24) { // golden inputs are values of 32 bits
          checkGolden.accept(
              golden, new GoldenRun(subject().outcome(golden.input(), dtype), scales, dtype));
        }
      }
    }
    for (Case c : LayoutCases.of(variant)) {
      for (DType dtype : dtypes()) {
        checkAgreement.accept(Agreement.of(subject(), c, dtype));
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.REFERENCE_GRADIENT)
  final void chunksOfTheReferenceBatchGetTheirPartOfItsGradient(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case c = new Samples(34).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
    checkChunks(subject(), c.roundedTo(DType.FLOAT32));
  }

  private static <T> void checkChunks(Subject<T> subject, Case c) {
    int[] chunk = {2, 3, 4};
    int size = c.reference().size() / 6;
    Expected expected = Oracle.expect(c);
    double[] expectedChunk = Arrays.copyOfRange(expected.dreference, 2 * size, 5 * size);
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      T upstream = made.of(c.upstream(), DType.FLOAT32);
      T part = made.of(Layouts.examples(c.reference(), chunk), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics =
              layer.referenceStatistics(made.of(c.reference(), DType.FLOAT32));
          Gradients<T> gradients = layer.backward(x, statistics, upstream)) {
        subject
            .tolerance(DType.FLOAT32, expected.dreferenceScale, expected.condition)
            .assertClose(
                "gradient of a chunk of the reference batch",
                expectedChunk,
                subject.referenceGradient(layer, part, statistics, gradients),
                "Divide by the elements of the whole reference batch. " + REFERENCE);
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.DETACHED)
  final void detachedStatisticsHaveNoGradient(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case detached = new Samples(32).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
    Case attached = detached.withConfig(config.withReferenceGradient(ReferenceGradient.ATTACHED));
    String hint = "Attaching the reference batch changes no other gradient.";
    for (DType dtype : dtypes()) {
      Subject.Outcome with = subject().run(attached, dtype);
      Subject.Outcome without = subject().run(detached, dtype);
      assertSameBits("dx, detached, in " + dtype, with.dx(), without.dx(), hint);
      assertSameBits("dgamma, detached, in " + dtype, with.dgamma(), without.dgamma(), hint);
      assertSameBits("dbeta, detached, in " + dtype, with.dbeta(), without.dbeta(), hint);
    }
  }

  @ParameterizedTest
  @EnumSource(ReferenceGradient.class)
  @Checks(Rule.REFERENCE_PASS_GRADIENT)
  final void backwardOfTheReferencePass(ReferenceGradient mode) {
    for (long[] shape : new long[][] {{6, 3, 5}, {7, 3}, {1, 3, 4}, {3, 2, 3, 4}, {2, 3, 1031}}) {
      for (int axis : new int[] {1, -1}) {
        int features = (int) shape[axis == 1 ? 1 : shape.length - 1];
        VbnConfig config = VbnConfig.of(features).withReferenceGradient(mode).withFeatureAxis(axis);
        Case c = new Samples(33).of(config, shape, shape);
        for (DType dtype : dtypes()) {
          checkReferenceBackward(subject(), c.roundedTo(dtype), dtype);
          checkReferenceBackward(
              subject(), c.withParameters(null, c.beta()).roundedTo(dtype), dtype);
        }
      }
    }
  }

  private static <T> void checkReferenceBackward(Subject<T> subject, Case c, DType dtype) {
    ReferencePass expected = ReferencePass.of(c);
    String where =
        " of the reference pass over " + Arrays.toString(c.reference().shape())
            + ", feature axis " + c.config().featureAxis() + ", " + c.config().referenceGradient()
            + " in " + dtype;
    double condition = expected.condition;
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T reference = made.of(c.reference(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference);
          Gradients<T> gradients = layer.referenceBackward(reference, statistics, upstream)) {
        subject
            .tolerance(dtype, expected.dxScale, condition)
            .assertClose(
                "dx" + where,
                expected.dx,
                subject.host(gradients.dx()),
                "Detached: gamma/s*dy. Attached: the backward of batch norm.");
        subject
            .tolerance(dtype.parameterType(), expected.sumScale, condition)
            .assertClose(
                "dgamma" + where,
                expected.dgamma,
                subject.host(gradients.dgamma()),
                "dgamma = sum(dy*xh).");
        subject
            .tolerance(dtype.parameterType(), expected.sumScale, 0)
            .assertClose(
                "dbeta" + where,
                expected.dbeta,
                subject.host(gradients.dbeta()),
                "dbeta = sum(dy).");
      }
    }
  }

  /** Gradients of the reference pass, by the oracle's statistics. */
  private record ReferencePass(
      double[] dx,
      double[] dgamma,
      double[] dbeta,
      double dxScale,
      double sumScale,
      double condition) {
    static ReferencePass of(Case c) {
      Expected forward = Oracle.expect(c);
      Geometry geometry = c.referenceGeometry();
      int features = c.config().features();
      double n = geometry.elementsPerFeature();
      double[] dx = new double[c.reference().size()];
      double[] a = new double[features];
      double[] b = new double[features];
      double[] absolute = new double[features];
      double[] xh = new double[dx.length];
      double[] s = new double[features];
      for (int i = 0; i < dx.length; i++) {
        int f = (int) (i / geometry.after() % features);
        s[f] = Math.sqrt(forward.referenceVariance[f] + c.config().epsilon());
        xh[i] = (c.reference().get(i) - forward.referenceMean[f]) / s[f];
        a[f] += c.upstream().get(i);
        b[f] += c.upstream().get(i) * xh[i];
        absolute[f] += Math.abs(c.upstream().get(i)) * Math.max(Math.abs(xh[i]), 1);
      }
      boolean attached = c.config().referenceGradient() == ReferenceGradient.ATTACHED;
      double dxScale = 0;
      for (int i = 0; i < dx.length; i++) {
        int f = (int) (i / geometry.after() % features);
        double through = attached ? (a[f] + xh[i] * b[f]) / n : 0;
        double factor = (c.gamma() == null ? 1 : c.gamma().get(f)) / s[f];
        dx[i] = factor * (c.upstream().get(i) - through);
        dxScale = Math.max(dxScale, Math.abs(factor * c.upstream().get(i)));
      }
      return new ReferencePass(dx, b, a, dxScale, largest(absolute), forward.condition);
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.GRADIENT_FORM)
  final void gradientsHaveTheStatedShapesAndTypes(Variant variant) {
    for (Case c : LayoutCases.of(variant)) {
      if (c.x().size() <= 1000) {
        for (DType dtype : dtypes()) {
          checkForm(subject(), c.roundedTo(dtype), dtype);
        }
      }
    }
  }

  private static <T> void checkForm(Subject<T> subject, Case c, DType dtype) {
    long[] perFeature = {c.config().features()};
    String where = " of " + c.describe() + ", in " + dtype;
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T reference = made.of(c.reference(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference);
          Gradients<T> gradients = layer.backward(x, statistics, upstream);
          Output<T> reached = layer.referenceGradient(reference, statistics, gradients)) {
        subject.assertForm("dx" + where, c.x().shape(), dtype, gradients.dx());
        subject.assertForm("dgamma" + where, perFeature, dtype.parameterType(), gradients.dgamma());
        subject.assertForm("dbeta" + where, perFeature, dtype.parameterType(), gradients.dbeta());
        subject.assertForm(
            "gradient of the reference batch" + where,
            c.reference().shape(),
            dtype,
            reached.output());
      }
    }
  }

  /** In 64 bits, for differences of 32 bits say little; skipped where the backend has none. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SLOPES)
  final void gradientsAreTheSlopesOfTheForwardPass(Variant variant) {
    if (!subject().has(Capability.FLOAT64)) {
      throw new DeclaredAbsent("FLOAT64 is declared absent; its refusal is checked apart");
    }
    VbnConfig config =
        VbnConfig.of(2).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case c = new Samples(35)
        .of(config, new long[] {3, 2, 3}, new long[] {4, 2, 2})
        .roundedTo(DType.FLOAT64);
    Subject.Outcome outcome = subject().run(c, DType.FLOAT64);
    checkSlopes("dx", c, outcome.dx(), c.x(), x -> c.withLive(x, c.upstream()));
    checkSlopes(
        "gradient of the reference batch",
        c,
        requireNonNull(outcome.dreference()),
        c.reference(),
        c::withReference);
    checkSlopes(
        "dgamma",
        c,
        outcome.dgamma(),
        requireNonNull(c.gamma()),
        gamma -> c.withParameters(gamma, c.beta()));
    checkSlopes(
        "dbeta",
        c,
        outcome.dbeta(),
        requireNonNull(c.beta()),
        beta -> c.withParameters(c.gamma(), beta));
  }

  private interface CaseOf {
    Case with(HostTensor tensor);
  }

  private void checkSlopes(
      String what, Case c, HostTensor gradient, HostTensor at, CaseOf changed) {
    double step = 1e-5;
    assertEquals(at.size(), gradient.size(), "elements of " + what);
    double[] slopes = new double[at.size()];
    for (int i = 0; i < slopes.length; i++) {
      double above = loss(c, changed.with(moved(at, i, step)));
      double below = loss(c, changed.with(moved(at, i, -step)));
      slopes[i] = (above - below) / (2 * step);
    }
    // The difference errs by the third derivative times step^2, about 1e-9 here.
    Tolerance.absolute(1e-7)
        .assertClose(what, slopes, gradient, "It is the slope of sum(dy*y), by differences.");
  }

  private static HostTensor moved(HostTensor tensor, int index, double step) {
    double[] values = tensor.toDoubles();
    values[index] += step;
    return HostTensor.of(values, tensor.shape());
  }

  private double loss(Case c, Case changed) {
    double[] output = subject().output(changed, DType.FLOAT64).doubles();
    double loss = 0;
    for (int i = 0; i < output.length; i++) {
      loss += c.upstream().get(i) * output[i];
    }
    return loss;
  }
}
