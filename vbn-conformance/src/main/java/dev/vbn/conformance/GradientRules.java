package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertClose;
import static dev.vbn.conformance.Tolerance.bound;
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
import java.util.stream.Stream;
import org.junit.jupiter.api.Assumptions;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;

/** Gradients, by golden cases, oracle, central differences and laws. */
abstract class GradientRules extends Rules {
  private static final String FORMULA =
      "See the formulas of VbnBackend.backward: dx = gamma/s*(dy - w/n*(A + xh*B)).";

  GradientRules(VbnConformance kit) {
    super(kit);
  }

  static Stream<String> goldenNames() {
    return GoldenCase.names();
  }

  @ParameterizedTest
  @MethodSource("goldenNames")
  final void goldenGradients(String name) {
    GoldenCase golden = GoldenCase.load(name);
    Expected scales = Oracle.expect(golden.input());
    for (DType dtype : dtypes()) {
      if (dtype != DType.FLOAT32 && dtype != DType.FLOAT64) {
        continue; // the inputs are no values of 16 bits
      }
      Subject.Outcome outcome = subject().run(golden.input(), dtype);
      check(golden, "dx", outcome.dx(), dtype, scales, scales.dxScale);
      check(golden, "dgamma", outcome.dgamma(), dtype, scales, scales.dgammaScale);
      check(golden, "dbeta", outcome.dbeta(), dtype, scales, scales.dbetaScale);
      check(
          golden,
          "dref",
          requireNonNull(outcome.dreference()),
          dtype,
          scales,
          scales.dreferenceScale);
    }
  }

  private static void check(
      GoldenCase golden,
      String array,
      HostTensor actual,
      DType dtype,
      Expected scales,
      double scale) {
    assertClose(
        array + " of " + golden + " in " + dtype,
        golden.expected(array),
        actual,
        bound(dtype, scale, scales.condition),
        FORMULA);
  }

  static Stream<Arguments> shapes() {
    return ForwardRules.shapes();
  }

  @ParameterizedTest
  @MethodSource("shapes")
  final void everyVariantOnEveryLayoutAgreesWithTheOracle(
      long[] liveShape, long[] referenceShape, int featureAxis) {
    int axis = featureAxis < 0 ? featureAxis + liveShape.length : featureAxis;
    VbnConfig config = VbnConfig.of((int) liveShape[axis])
        .withFeatureAxis(featureAxis)
        .withReferenceGradient(ReferenceGradient.ATTACHED);
    Case drawn = new Samples(31).of(config, liveShape, referenceShape);
    for (DType dtype : dtypes()) {
      for (Variant variant : Variant.values()) {
        for (boolean scale : new boolean[] {true, false}) {
          Case c = drawn
              .withConfig(config.withVariant(variant).withScale(scale).withCenter(scale))
              .roundedTo(dtype);
          checkAgainstOracle(c, dtype, variant.label() + " in " + dtype + ", scale " + scale);
        }
      }
    }
  }

  private void checkAgainstOracle(Case c, DType dtype, String where) {
    Expected expected = Oracle.expect(c);
    Subject.Outcome outcome = subject().run(c, dtype);
    DType parameters = dtype.parameterType();
    double k = expected.condition;
    assertClose(
        "dx of " + where, expected.dx, outcome.dx(), bound(dtype, expected.dxScale, k), FORMULA);
    assertClose(
        "dgamma of " + where,
        expected.dgamma,
        outcome.dgamma(),
        bound(parameters, expected.dgammaScale, k),
        "dgamma = sum(dy*xh) over batch and positions.");
    assertClose(
        "dbeta of " + where,
        expected.dbeta,
        outcome.dbeta(),
        bound(parameters, expected.dbetaScale, 0),
        "dbeta = sum(dy) over batch and positions.");
    assertClose(
        "gradient of the reference batch of " + where,
        expected.dreference,
        requireNonNull(outcome.dreference()),
        bound(dtype, expected.dreferenceScale, k),
        FORMULA);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  final void detachedStatisticsHaveNoGradient(Variant variant) {
    VbnConfig config = VbnConfig.of(3).withVariant(variant);
    Case detached = new Samples(32).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
    Case attached = detached.withConfig(config.withReferenceGradient(ReferenceGradient.ATTACHED));
    checkDetached(subject(), detached);
    Tolerance.assertSameBits(
        "dx, detached,",
        subject().run(attached, DType.FLOAT32).dx(),
        subject().run(detached, DType.FLOAT32).dx(),
        "Attaching the reference batch changes no other gradient.");
  }

  private static <T> void checkDetached(Subject<T> subject, Case c) {
    subject.withLayer(c, DType.FLOAT32, (layer, reference) -> {
      T x = subject.tensor(c.x(), DType.FLOAT32);
      T upstream = subject.tensor(c.upstream(), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        Gradients<T> gradients = layer.backward(x, statistics, upstream);
        assertNull(
            gradients.reference(), "gradient of detached reference statistics; expected none");
        release(subject, gradients);
      } finally {
        subject.backend.release(x);
        subject.backend.release(upstream);
      }
      return true;
    });
  }

  private static <T> void release(Subject<T> subject, Gradients<T> gradients) {
    subject.backend.release(gradients.input());
    subject.backend.release(gradients.gamma());
    subject.backend.release(gradients.beta());
    subject.release(gradients.reference());
  }

  @ParameterizedTest
  @EnumSource(ReferenceGradient.class)
  final void backwardOfTheReferencePass(ReferenceGradient mode) {
    VbnConfig config = VbnConfig.of(3).withReferenceGradient(mode);
    // With the reference batch as live batch of weight 0, or of weight 1, the oracle's formulas are
    // those of the reference pass.
    Case c = new Samples(33).of(config, new long[] {6, 3, 5}, new long[] {6, 3, 5});
    for (DType dtype : dtypes()) {
      checkReferenceBackward(subject(), c.roundedTo(dtype), dtype);
    }
  }

  private static <T> void checkReferenceBackward(Subject<T> subject, Case c, DType dtype) {
    double[][] expected = batchNormBackward(c);
    double magnitude = largest(expected[0]);
    subject.withLayer(c, dtype, (layer, reference) -> {
      T upstream = subject.tensor(c.upstream(), dtype);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        Gradients<T> gradients = layer.referenceBackward(reference, statistics, upstream);
        assertClose(
            "dx of the reference pass, " + c.config().referenceGradient() + " in " + dtype,
            expected[0],
            subject.backend.toHost(gradients.input()),
            bound(dtype, magnitude, 4),
            "Detached: gamma/s*dy. Attached: the backward of batch normalization.");
        assertClose(
            "dgamma of the reference pass",
            expected[1],
            subject.backend.toHost(gradients.gamma()),
            bound(dtype.parameterType(), 30, 4),
            "dgamma = sum(dy*xh).");
        assertNull(gradients.reference(), "the reference pass has no statistics before it");
        release(subject, gradients);
      } finally {
        subject.backend.release(upstream);
      }
      return true;
    });
  }

  /** dx and dgamma of batch normalization, or with constant statistics, in plain doubles. */
  private static double[][] batchNormBackward(Case c) {
    Expected forward = Oracle.expect(c);
    int positions = (int) c.referenceGeometry().positions();
    int features = c.config().features();
    double n = c.reference().size() / (double) features;
    double[] dx = new double[c.reference().size()];
    double[] a = new double[features];
    double[] b = new double[features];
    double[] s = new double[features];
    for (int i = 0; i < dx.length; i++) {
      int f = i / positions % features;
      s[f] = Math.sqrt(forward.referenceVariance[f] + c.config().epsilon());
      a[f] += c.upstream().get(i);
      b[f] += c.upstream().get(i) * (c.reference().get(i) - forward.referenceMean[f]) / s[f];
    }
    boolean attached = c.config().referenceGradient() == ReferenceGradient.ATTACHED;
    for (int i = 0; i < dx.length; i++) {
      int f = i / positions % features;
      double xh = (c.reference().get(i) - forward.referenceMean[f]) / s[f];
      double through = attached ? (a[f] + xh * b[f]) / n : 0;
      dx[i] = requireNonNull(c.gamma()).get(f) / s[f] * (c.upstream().get(i) - through);
    }
    return new double[][] {dx, b};
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
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
    subject.withLayer(c, DType.FLOAT32, (layer, reference) -> {
      T x = subject.tensor(c.x(), DType.FLOAT32);
      T upstream = subject.tensor(c.upstream(), DType.FLOAT32);
      T part = subject.tensor(Layouts.examples(c.reference(), chunk), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics = layer.referenceStatistics(reference)) {
        Gradients<T> gradients = layer.backward(x, statistics, upstream);
        T dr = layer.referenceGradient(part, statistics, gradients);
        assertClose(
            "gradient of a chunk of the reference batch",
            expectedChunk,
            subject.backend.toHost(dr),
            bound(DType.FLOAT32, expected.dreferenceScale, expected.condition),
            "dr = dmr/elements + 2*(r - mr)*dvr/elements, elements of the whole reference.");
        subject.backend.release(dr);
        release(subject, gradients);
      } finally {
        subject.backend.release(x);
        subject.backend.release(upstream);
        subject.backend.release(part);
      }
      return true;
    });
  }

  /** Every gradient against differences of the backend's own outputs, in 64 bits. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  final void gradientsAreTheSlopesOfTheForwardPass(Variant variant) {
    Assumptions.assumeTrue(
        subject().has(Capability.FLOAT64), "FLOAT64 is declared absent; its refusal is checked");
    VbnConfig config =
        VbnConfig.of(2).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
    Case drawn = new Samples(35).of(config, new long[] {3, 2, 3}, new long[] {4, 2, 2});
    Case c = new Case(
        config,
        drawn.x().to(DType.FLOAT64),
        drawn.reference().to(DType.FLOAT64),
        requireNonNull(drawn.gamma()).to(DType.FLOAT64),
        requireNonNull(drawn.beta()).to(DType.FLOAT64),
        drawn.upstream().to(DType.FLOAT64));
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
        gamma -> new Case(c.config(), c.x(), c.reference(), gamma, c.beta(), c.upstream()));
    checkSlopes(
        "dbeta",
        c,
        outcome.dbeta(),
        requireNonNull(c.beta()),
        beta -> new Case(c.config(), c.x(), c.reference(), c.gamma(), beta, c.upstream()));
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
      slopes[i] =
          (loss(c, changed.with(moved(at, i, step))) - loss(c, changed.with(moved(at, i, -step))))
              / (2 * step);
    }
    // The difference errs by the third derivative times step^2, about 1e-9 here.
    assertClose(what, slopes, gradient, 1e-7, "It is the slope of sum(dy*y).");
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
