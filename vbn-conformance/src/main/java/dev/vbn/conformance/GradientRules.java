package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.largest;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;

import dev.vbn.DType;
import dev.vbn.Gradients;
import dev.vbn.HostTensor;
import dev.vbn.ReferenceGradient;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Oracle.Expected;
import dev.vbn.spi.Capability;
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
            "dx", run.outcome.dx(), run.dtype, run.scales.condition, run.scales.dxScale, INPUT),
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
        (golden, run) ->
            golden.check("dbeta", run.outcome.dbeta(), run.dtype, 0, run.scales.dbetaScale, hint),
        agreement -> agreement.betaGradient(hint));
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.REFERENCE_GRADIENT)
  final void referenceGradient(Variant variant) {
    check(
        variant,
        (golden, run) -> golden.check(
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
      Expected scales = Oracle.expect(golden.input());
      for (DType dtype : dtypes()) {
        if (dtype.precision() >= 24) { // golden inputs are values of 32 bits
          checkGolden.accept(
              golden, new GoldenRun(subject().run(golden.input(), dtype), scales, dtype));
        }
      }
    }
    for (Shapes shapes : Shapes.LAYOUTS) {
      VbnConfig config =
          shapes.config().withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
      Case drawn = new Samples(31).of(config, shapes.live(), shapes.reference());
      for (DType dtype : dtypes()) {
        for (boolean scale : new boolean[] {true, false}) {
          Case c = drawn.withConfig(config.withScale(scale).withCenter(scale));
          checkAgreement.accept(Agreement.of(
              subject(), c, dtype, variant.label() + ", " + shapes + ", scale " + scale));
        }
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.REFERENCE_GRADIENT)
  final void chunksOfTheReferenceBatchGetTheirPartOfItsGradient(Variant variant) {
    VbnConfig config =
        VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    checkChunks(subject(), new Samples(34).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5}));
  }

  private static <T> void checkChunks(Subject<T> subject, Case c) {
    int[] chunk = {2, 3, 4};
    int size = c.reference().size() / 6;
    Expected expected = Oracle.expect(c);
    double[] expectedChunk = Arrays.copyOfRange(expected.dreference, 2 * size, 5 * size);
    subject.withGradients(c, DType.FLOAT32, (layer, statistics, gradients) -> {
      T part = subject.tensor(Layouts.examples(c.reference(), chunk), DType.FLOAT32);
      T dr = layer.referenceGradient(part, statistics, gradients);
      Tolerance.of(DType.FLOAT32, expected.dreferenceScale, expected.condition)
          .assertClose(
              "gradient of a chunk of the reference batch",
              expectedChunk,
              subject.backend.toHost(dr),
              "Divide by the elements of the whole reference batch. " + REFERENCE);
      subject.backend.release(part);
      subject.backend.release(dr);
    });
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.DETACHED)
  final void detachedStatisticsHaveNoGradient(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case detached = new Samples(32).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
    checkDetached(subject(), detached);
    Case attached = detached.withConfig(config.withReferenceGradient(ReferenceGradient.ATTACHED));
    Tolerance.assertSameBits(
        "dx, detached,",
        subject().run(attached, DType.FLOAT32).dx(),
        subject().run(detached, DType.FLOAT32).dx(),
        "Attaching the reference batch changes no other gradient.");
  }

  private static <T> void checkDetached(Subject<T> subject, Case c) {
    subject.withGradients(
        c,
        DType.FLOAT32,
        (layer, statistics, gradients) -> assertNull(
            gradients.reference(),
            "gradient of the reference statistics; expected none where they are detached"));
  }

  @ParameterizedTest
  @EnumSource(ReferenceGradient.class)
  @Checks(Rule.REFERENCE_PASS_GRADIENT)
  final void backwardOfTheReferencePass(ReferenceGradient mode) {
    VbnConfig config = VbnConfig.of(3).withReferenceGradient(mode);
    Case c = new Samples(33).of(config, new long[] {6, 3, 5}, new long[] {6, 3, 5});
    for (DType dtype : dtypes()) {
      checkReferenceBackward(subject(), c.roundedTo(dtype), dtype);
    }
  }

  private static <T> void checkReferenceBackward(Subject<T> subject, Case c, DType dtype) {
    ReferencePass expected = ReferencePass.of(c);
    subject.withLayer(c, dtype, (layer, reference) -> {
      T upstream = subject.tensor(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        Gradients<T> gradients = layer.referenceBackward(reference, statistics, upstream);
        Tolerance.of(dtype, largest(expected.dx), 4)
            .assertClose(
                "dx of the reference pass, " + c.config().referenceGradient() + " in " + dtype,
                expected.dx,
                subject.backend.toHost(gradients.input()),
                "Detached: gamma/s*dy. Attached: the backward of batch norm.");
        Tolerance.of(dtype.parameterType(), 30, 4)
            .assertClose(
                "dgamma of the reference pass in " + dtype,
                expected.dgamma,
                subject.backend.toHost(gradients.gamma()),
                "dgamma = sum(dy*xh).");
        assertNull(
            gradients.reference(),
            "gradient of the reference statistics of the reference pass; expected none");
        subject.release(gradients);
      } finally {
        subject.backend.release(upstream);
      }
      return true;
    });
  }

  /** Gradients of the reference pass of a channels-first case, in plain doubles. */
  private record ReferencePass(double[] dx, double[] dgamma) {
    static ReferencePass of(Case c) {
      Expected forward = Oracle.expect(c);
      int positions = (int) c.referenceGeometry().positions();
      int features = c.config().features();
      double n = c.reference().size() / (double) features;
      double[] dx = new double[c.reference().size()];
      double[] a = new double[features];
      double[] b = new double[features];
      double[] xh = new double[dx.length];
      double[] s = new double[features];
      for (int i = 0; i < dx.length; i++) {
        int f = i / positions % features;
        s[f] = Math.sqrt(forward.referenceVariance[f] + c.config().epsilon());
        xh[i] = (c.reference().get(i) - forward.referenceMean[f]) / s[f];
        a[f] += c.upstream().get(i);
        b[f] += c.upstream().get(i) * xh[i];
      }
      boolean attached = c.config().referenceGradient() == ReferenceGradient.ATTACHED;
      for (int i = 0; i < dx.length; i++) {
        int f = i / positions % features;
        double through = attached ? (a[f] + xh[i] * b[f]) / n : 0;
        dx[i] = requireNonNull(c.gamma()).get(f) / s[f] * (c.upstream().get(i) - through);
      }
      return new ReferencePass(dx, b);
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
        "dgamma", c, outcome.dgamma(), requireNonNull(c.gamma()), gamma -> withGamma(c, gamma));
    checkSlopes("dbeta", c, outcome.dbeta(), requireNonNull(c.beta()), beta -> withBeta(c, beta));
  }

  private static Case withGamma(Case c, HostTensor gamma) {
    return new Case(c.config(), c.x(), c.reference(), gamma, c.beta(), c.upstream());
  }

  private static Case withBeta(Case c, HostTensor beta) {
    return new Case(c.config(), c.x(), c.reference(), c.gamma(), beta, c.upstream());
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
