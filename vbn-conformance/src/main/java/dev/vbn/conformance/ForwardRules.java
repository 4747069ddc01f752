package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Outputs and mixed statistics, by worked values, golden cases and oracle. */
abstract class ForwardRules extends Rules {
  private static final double SMALL_EPSILON = 1e-12;

  ForwardRules(VbnConformance kit) {
    super(kit);
  }

  @Test
  @Checks(Rule.FORWARD)
  final void output() {
    agrees(Quantity.OUTPUT);
  }

  @Test
  @Checks(Rule.REFERENCE_PASS)
  final void referenceOutput() {
    agrees(Quantity.REFERENCE_OUTPUT);
  }

  @Test
  @Checks(Rule.MIXED_STATISTICS)
  final void mixedStatistics() {
    agrees(Quantity.LIVE_MEAN, Quantity.LIVE_VARIANCE);
  }

  /** Reference [1,3], gamma 1, beta 0, and an epsilon that leaves no trace. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.FORWARD)
  final void workedValues(Variant variant) {
    holds(() -> {
      double ofFive = switch (variant) {
        case LIVE_BATCH -> 0.9045340337332909;
        case BATCH, PER_EXAMPLE, POOLED -> 1.224744871391589;
        case REFERENCE_ONLY -> 3;
      };
      double ofPair = switch (variant) {
        case LIVE_BATCH, BATCH -> 1.5666989036012806;
        case PER_EXAMPLE -> 1.224744871391589;
        case POOLED -> 1.3416407864998738;
        case REFERENCE_ONLY -> 3;
      };
      checkWorked(variant, new double[] {ofFive}, 5);
      checkWorked(variant, new double[] {ofPair, -ofPair}, 5, -1);
    });
  }

  private void checkWorked(Variant variant, double[] expected, float... live) {
    HostTensor x = HostTensor.of(live, live.length, 1);
    HostTensor reference = HostTensor.of(new float[] {1, 3}, 2, 1);
    VbnConfig config = VbnConfig.of(1).withVariant(variant).withEpsilon(1e-30);
    double[] scale = new double[expected.length];
    Arrays.fill(scale, 6);
    subject()
        .tolerance
        .assertClose(
            variant.label() + " of live " + Arrays.toString(live) + ", reference [1, 3],",
            new Values(expected, scale),
            subject()
                .run(new Case(config, x, reference, null, null, x, reference), DType.FLOAT32)
                .of(Quantity.OUTPUT),
            DType.FLOAT32,
            Quantity.OUTPUT.hint());
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.FORWARD)
  final void goldenCases(Variant variant) {
    holds(() -> {
      for (GoldenCase golden : GoldenCase.of(variant)) {
        for (DType dtype : subject().dtypes()) {
          if (dtype.precision() >= 24) { // golden inputs are values of 32 bits
            golden.check(subject(), dtype);
          }
        }
      }
    });
  }

  @Test
  @Checks(Rule.FORWARD)
  final void layersThatOthersSaved() {
    holds(() -> {
      for (SavedLayer layer : SavedLayer.all()) {
        for (DType dtype : subject().dtypes()) {
          if (dtype.precision() >= 24) { // what was saved are values of 32 bits
            layer.check(subject(), dtype);
          }
        }
      }
    });
  }

  /** Epsilons around the variance: outside the root they would show at once. */
  @ParameterizedTest
  @ValueSource(doubles = {4, 0.5, 1e-3})
  @Checks(Rule.EPSILON)
  final void epsilonIsInsideTheRoot(double epsilon) {
    holds(() -> {
      for (Variant variant : Variant.values()) {
        VbnConfig config = VbnConfig.of(3).withVariant(variant);
        Case without = new Samples(23)
            .of(config.withEpsilon(SMALL_EPSILON), new long[] {4, 3, 5}, new long[] {6, 3, 5})
            .bare();
        Case with = without.withConfig(config.withEpsilon(epsilon));
        for (DType dtype : subject().dtypes()) {
          if (dtype.precision() >= 24) {
            checkGrowth(without.roundedTo(dtype), with.roundedTo(dtype), dtype, epsilon);
          }
        }
      }
    });
  }

  private void checkGrowth(Case without, Case with, DType dtype, double epsilon) {
    Computed before = subject().run(without, dtype);
    Computed after = subject().run(with, dtype);
    String where = " of " + with.describe() + ", in " + dtype;
    checkGrowth(where, without.x(), before, after, Quantity.OUTPUT, dtype, epsilon);
    checkGrowth(
        where, without.reference(), before, after, Quantity.REFERENCE_OUTPUT, dtype, epsilon);
    // With the statistics as constants, the gradient is dy/s.
    checkGrowth(
        where, without.referenceUpstream(), before, after, Quantity.REFERENCE_DX, dtype, epsilon);
    if (with.config().variant().scope() == Scope.NONE) {
      checkGrowth(where, without.upstream(), before, after, Quantity.DX, dtype, epsilon);
    }
  }

  /** The s of a result is how much closer than in the argument two elements of a group lie. */
  private void checkGrowth(
      String where,
      HostTensor argument,
      Computed without,
      Computed with,
      Quantity quantity,
      DType dtype,
      double epsilon) {
    double[] squares = squaresOfS(argument, with.of(quantity));
    double[] growth = squaresOfS(argument, without.of(quantity));
    double largest = Arrays.stream(squares).max().orElse(0);
    Arrays.setAll(growth, i -> squares[i] - growth[i]);
    Values expected = new Values(growth.length);
    // Either result has an error, which counts twice in a square.
    for (int i = 0; i < growth.length; i++) {
      expected.set(i, epsilon - SMALL_EPSILON, 8 * largest);
    }
    subject()
        .tolerance
        .assertClose(
            "growth of s^2 with epsilon, by the " + quantity.label() + where,
            expected,
            HostTensor.of(growth, growth.length),
            dtype,
            "s = sqrt(v + epsilon), not sqrt(v) + epsilon and not max(v, epsilon).");
  }

  /** By the two positions farthest apart of each example and feature. */
  private static double[] squaresOfS(HostTensor x, HostTensor y) {
    int positions = (int) x.shape()[2];
    double[] squares = new double[x.size() / positions];
    for (int i = 0; i < squares.length; i++) {
      int least = i * positions;
      int most = least;
      for (int j = i * positions; j < (i + 1) * positions; j++) {
        least = x.get(j) < x.get(least) ? j : least;
        most = x.get(j) > x.get(most) ? j : most;
      }
      double s = (x.get(most) - x.get(least)) / (y.get(most) - y.get(least));
      squares[i] = s * s;
    }
    return squares;
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.SCALE_AND_CENTER)
  final void gammaMultipliesAndBetaIsAdded(Variant variant) {
    holds(() -> {
      VbnConfig config = VbnConfig.of(3).withVariant(variant);
      Case drawn = new Samples(25).of(config, new long[] {3, 3, 4}, new long[] {4, 3, 4});
      HostTensor beta = requireNonNull(drawn.beta());
      HostTensor mixed = HostTensor.of(new double[] {0, -1.25, 2}, 3);
      for (DType dtype : subject().dtypes()) {
        Computed normalised = subject().run(drawn.bare(), dtype);
        for (Case c : List.of(
            drawn,
            drawn.withParameters(drawn.gamma(), null),
            drawn.withParameters(null, beta),
            drawn.withParameters(mixed, beta),
            drawn.withParameters(mixed, null))) {
          Computed computed = subject().run(c, dtype);
          checkAffine(c, normalised, computed, Quantity.OUTPUT, dtype);
          checkAffine(c, normalised, computed, Quantity.REFERENCE_OUTPUT, dtype);
        }
      }
    });
  }

  private void checkAffine(
      Case c, Computed normalised, Computed computed, Quantity quantity, DType dtype) {
    HostTensor xh = normalised.of(quantity);
    Case rounded = c.roundedTo(dtype);
    Geometry geometry = Geometry.of(xh.shape(), c.config().featureAxis());
    Values scales = subject().expect(c, dtype).of(quantity);
    Values expected = new Values(xh.size());
    for (int i = 0; i < xh.size(); i++) {
      int feature = (int) (i / geometry.after() % geometry.features());
      double gamma = rounded.gamma() == null ? 1 : rounded.gamma().get(feature);
      double beta = rounded.beta() == null ? 0 : rounded.beta().get(feature);
      // Twice, for xh is a result as well.
      expected.set(i, gamma * xh.get(i) + beta, 2 * scales.scale()[i]);
    }
    subject()
        .tolerance
        .assertClose(
            quantity.label() + " of " + c.describe() + ", in " + dtype,
            expected,
            computed.of(quantity),
            dtype,
            "y = gamma*xh + beta; gamma is 1 and beta 0 where null, which gave xh.");
  }

  @ParameterizedTest
  @MethodSource("dtypes")
  @Checks(Rule.RESULT_FORM)
  final void resultsHaveTheStatedShapesAndTypes(DType dtype) {
    holds(() -> {
      for (Conditions row : Conditions.all()) {
        Case c = row.of(dtype);
        if (c.x().size() <= 1000) {
          checkForm(subject(), c.roundedTo(dtype), dtype);
        }
      }
    });
  }

  private static <T> void checkForm(Subject<T> subject, Case c, DType dtype) {
    long features = c.config().features();
    long[] perFeature = {features};
    long[] mixed = c.config().variant().scope() == Scope.EXAMPLE
        ? new long[] {c.x().shape()[0], features}
        : perFeature;
    String where = " of " + c.describe() + ", in " + dtype;
    DType statisticsType = subject.backend.statisticsType();
    DType parameterType = dtype.parameterType();
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      T reference = made.of(c.reference(), dtype);
      T upstream = made.of(c.upstream(), dtype);
      try (ReferenceOutput<T> pass = layer.reference(reference);
          ReferenceStatistics<T> alone = layer.referenceStatistics(reference);
          Output<T> live = layer.forward(x, alone);
          Gradients<T> gradients = layer.backward(x, alone, upstream)) {
        Form<T> form = new Form<>(subject, where);
        form.check("output", c.x().shape(), dtype, live.output());
        form.check("reference output", c.reference().shape(), dtype, pass.output());
        for (ReferenceStatistics<T> statistics : List.of(pass.statistics(), alone)) {
          form.check("reference mean", perFeature, statisticsType, statistics.mean());
          form.check("reference variance", perFeature, statisticsType, statistics.variance());
        }
        assertArrayEquals(
            mixed,
            layer.mixedStatistics(x, alone).variance().shape(),
            "shape of the live statistics" + where);
        form.check("dx", c.x().shape(), dtype, gradients.dx());
        form.check("dgamma", perFeature, parameterType, gradients.dgamma());
        form.check("dbeta", perFeature, parameterType, gradients.dbeta());
        if (c.attached()) {
          try (Output<T> reached = layer.referenceGradient(reference, alone, gradients)) {
            form.check(Quantity.DREFERENCE.label(), c.reference().shape(), dtype, reached.output());
          }
        }
      }
    }
  }

  private record Form<T>(Subject<T> subject, String where) {
    void check(String what, long[] shape, DType dtype, T tensor) {
      Check.current().compared();
      assertArrayEquals(shape, subject.backend.shape(tensor), "shape of the " + what + where);
      assertEquals(dtype, subject.backend.dtype(tensor), "type of the " + what + where);
    }
  }
}
