package dev.vbn.conformance;

import static dev.vbn.conformance.Tolerance.assertSameBits;
import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Gradients, by golden cases, oracle, central differences and laws. */
abstract class GradientRules extends Rules {
  GradientRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.INPUT_GRADIENT)
  final void inputGradient() {
    agrees(Quantity.DX);
  }

  @Test
  @Checks(Rule.GAMMA_GRADIENT)
  final void gammaGradient() {
    agrees(Quantity.DGAMMA);
  }

  @Test
  @Checks(Rule.BETA_GRADIENT)
  final void betaGradient() {
    agrees(Quantity.DBETA);
  }

  @Test
  @Checks(Rule.REFERENCE_GRADIENT)
  final void referenceGradient() {
    agrees(Quantity.DREFERENCE);
  }

  @Test
  @Checks(Rule.REFERENCE_PASS_GRADIENT)
  final void gradientsOfTheReferencePass() {
    agrees(Quantity.REFERENCE_DX, Quantity.REFERENCE_DGAMMA, Quantity.REFERENCE_DBETA);
  }

  @Test
  @Checks(Rule.DOUBLE_BACKWARD)
  final void secondGradients() {
    agrees(Quantity.SECOND_X, Quantity.SECOND_UPSTREAM, Quantity.SECOND_GAMMA);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.DOUBLE_BACKWARD)
  final void goldenSecondGradients(Variant variant) {
    holds(() -> {
      requireComputed(Quantity.SECOND_X);
      for (SecondGoldenCase golden : SecondGoldenCase.of(variant)) {
        for (DType dtype : subject().dtypes()) {
          if (dtype.precision() >= 24) {
            golden.check(subject(), dtype);
          }
        }
      }
    });
  }

  /** An element of 1e9 without upstream gradient: it is in no sum, and nothing may cancel. */
  @Test
  @Checks(Rule.GAMMA_GRADIENT)
  final void anElementWithoutUpstreamGradientLeavesNoTrace() {
    holds(() -> {
      VbnConfig config = attached(Variant.REFERENCE_ONLY);
      Case drawn = new Samples(36).of(config, new long[] {6, 3, 7}, new long[] {5, 3, 7});
      Case c =
          drawn.withLive(Layouts.with(drawn.x(), 25, 1e9), Layouts.with(drawn.upstream(), 25, 0));
      for (DType dtype : subject().dtypes()) {
        if (dtype.precision() >= 24) {
          assertAgrees(
              subject(),
              c.describe() + ", an element of 1e9 without upstream gradient, in " + dtype,
              subject().expect(c, dtype),
              subject().run(c, dtype),
              dtype);
        }
      }
    });
  }

  private static VbnConfig attached(Variant variant) {
    return VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.REFERENCE_GRADIENT)
  final void chunksOfTheReferenceBatchGetTheirPartOfItsGradient(Variant variant) {
    holds(() -> {
      Case c = new Samples(34).of(attached(variant), new long[] {4, 3, 5}, new long[] {6, 3, 5});
      checkChunks(subject(), c.roundedTo(DType.FLOAT32));
    });
  }

  private static <T> void checkChunks(Subject<T> subject, Case c) {
    int[] chunk = {2, 3, 4};
    int size = c.reference().size() / 6;
    Values whole = subject.expect(c, DType.FLOAT32).of(Quantity.DREFERENCE);
    Values expected = new Values(
        Arrays.copyOfRange(whole.expected(), 2 * size, 5 * size),
        Arrays.copyOfRange(whole.scale(), 2 * size, 5 * size));
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, DType.FLOAT32);
      T x = made.of(c.x(), DType.FLOAT32);
      T upstream = made.of(c.upstream(), DType.FLOAT32);
      T part = made.of(Layouts.examples(c.reference(), chunk), DType.FLOAT32);
      try (ReferenceStatistics<T> statistics =
              layer.referenceStatistics(made.of(c.reference(), DType.FLOAT32));
          Gradients<T> gradients = layer.backward(x, statistics, upstream);
          Output<T> reached = layer.referenceGradient(part, statistics, gradients)) {
        subject.tolerance.assertClose(
            "gradient of a chunk of the reference batch",
            expected,
            subject.host(reached.output()),
            DType.FLOAT32,
            "Divide by the elements of the whole reference batch. " + Quantity.DREFERENCE.hint());
      }
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.DETACHED)
  final void attachingChangesNoOtherGradient(Variant variant) {
    holds(() -> {
      VbnConfig config = attached(variant);
      Case attached = new Samples(32).of(config, new long[] {4, 3, 5}, new long[] {6, 3, 5});
      Case detached = attached.withConfig(config.withReferenceGradient(ReferenceGradient.DETACHED));
      for (DType dtype : subject().dtypes()) {
        Computed with = right(subject(), attached, dtype);
        Computed without = subject().run(detached, dtype);
        for (Quantity each :
            List.of(Quantity.OUTPUT, Quantity.DX, Quantity.DGAMMA, Quantity.DBETA)) {
          assertSameBits(
              each.label() + ", detached, " + variant.label() + " in " + dtype,
              with.of(each),
              without.of(each),
              "Attaching the reference batch changes no other result.");
        }
      }
    });
  }

  /** In 64 bits, for differences of 32 bits say little; skipped where the backend has none. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SLOPES)
  final void gradientsAreTheSlopesOfTheForwardPass(Variant variant) {
    holds(() -> {
      if (!subject().has(Capability.FLOAT64)) {
        throw new DeclaredAbsent("FLOAT64 is declared absent; its refusal is checked apart");
      }
      VbnConfig config =
          VbnConfig.of(2).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
      Case c = new Samples(35).of(config, new long[] {3, 2, 3}, new long[] {4, 2, 2});
      Computed computed = subject().run(c, DType.FLOAT64);
      checkSlopes(c, computed, Quantity.DX, c.x(), x -> c.withLive(x, c.upstream()));
      checkSlopes(
          c,
          computed,
          Quantity.DREFERENCE,
          c.reference(),
          reference -> c.withReference(reference, c.referenceUpstream()));
      checkSlopes(
          c,
          computed,
          Quantity.DGAMMA,
          requireNonNull(c.gamma()),
          gamma -> c.withParameters(gamma, c.beta()));
      checkSlopes(
          c,
          computed,
          Quantity.DBETA,
          requireNonNull(c.beta()),
          beta -> c.withParameters(c.gamma(), beta));
    });
  }

  private interface CaseOf {
    Case with(HostTensor tensor);
  }

  private void checkSlopes(
      Case c, Computed computed, Quantity quantity, HostTensor at, CaseOf changed) {
    double step = 1e-5;
    HostTensor gradient = computed.of(quantity);
    assertEquals(at.size(), gradient.size(), "elements of " + quantity.label());
    Values slopes = new Values(at.size());
    for (int i = 0; i < at.size(); i++) {
      double above = loss(c, changed.with(Layouts.with(at, i, at.get(i) + step)));
      double below = loss(c, changed.with(Layouts.with(at, i, at.get(i) - step)));
      // The difference errs by the third derivative times step^2, about 1e-9 here; and the unit is
      // 2^-53, of which 16 are allowed.
      slopes.set(i, (above - below) / (2 * step), 1e-7 * 0x1p53 / 16);
    }
    subject()
        .tolerance
        .assertClose(
            quantity.label(),
            slopes,
            gradient,
            DType.FLOAT64,
            "It is the slope of sum(dy*y), by differences.");
  }

  private double loss(Case c, Case changed) {
    double[] output = subject().run(changed, DType.FLOAT64).of(Quantity.OUTPUT).doubles();
    double loss = 0;
    for (int i = 0; i < output.length; i++) {
      loss += c.upstream().get(i) * output[i];
    }
    return loss;
  }
}
