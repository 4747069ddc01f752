package dev.vbn.conformance;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.spi.Capability;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** Parameters of each example, and live statistics as constants. */
abstract class ConditionalRules extends ConditionalCases {
  /** Powers of two, which change no digit of an upstream gradient that they multiply. */
  private static final double[] GAMMAS = {1, 2, -0.5, 4, -1, 0, -2};

  ConditionalRules(VbnConformance kit) {
    super(kit);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.EXAMPLE_PARAMETERS)
  final void parametersOfEachExample(Variant variant) {
    eachCase(variant, ConditionalRules::checkParameters);
  }

  /**
   * What the oracle, which knows only parameters of features, says of them: without gamma, and with
   * the upstream gradient multiplied by it, dx is the same; and an example's part in a gradient is
   * the gradient where the others have no upstream.
   */
  private static <T> void checkParameters(Subject<T> subject, Case c, DType dtype) {
    int features = c.config().features();
    int examples = (int) c.x().shape()[0];
    double[] gammas = new double[examples * features];
    double[] betas = new double[gammas.length];
    Arrays.setAll(gammas, i -> GAMMAS[(i + i / features) % GAMMAS.length]);
    Arrays.setAll(betas, i -> ((5 * i) % 9 - 4) * 0.25);
    DType type = dtype.parameterType();
    Case scaled = c.bare().withLive(c.x(), times(c.upstream(), c, gammas));
    scaled = scaled.withReference(c.reference(), times(c.referenceUpstream(), c, gammas));
    Wanted wanted =
        new Wanted(c, gammas, betas, subject.expect(scaled, dtype), ofExamples(subject, c, dtype));
    String of = c.describe() + ", gamma and beta of each example, in " + dtype;
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> layer = VirtualBatchNorm.of(subject.backend, c.config())
          .withGamma(made.of(HostTensor.of(gammas, examples, features), type))
          .withBeta(made.of(HostTensor.of(betas, examples, features), type));
      T r = made.of(c.reference(), dtype);
      try (ReferenceOutput<T> pass = layer.withMask(c.referenceMask()).reference(r);
          Gradients<T> gradients = layer
              .withMask(c.referenceMask())
              .referenceBackward(r, pass.statistics(), made.of(c.referenceUpstream(), dtype))) {
        agree(
            subject,
            "reference output",
            wanted.line(Quantity.REFERENCE_OUTPUT, c.reference()),
            subject.host(pass.output()),
            dtype,
            of);
        agree(
            subject,
            "reference dx",
            wanted.all.of(Quantity.REFERENCE_DX),
            subject.host(gradients.dx()),
            dtype,
            of);
        for (Into into : ways(subject)) {
          checkLive(subject, made, wanted, dtype, layer, pass.statistics(), into, of);
        }
      }
    }
  }

  /** For each example, what the gradients would be if the others had no upstream. */
  private static List<Expected> ofExamples(Subject<?> subject, Case c, DType dtype) {
    int features = c.config().features();
    int examples = (int) c.x().shape()[0];
    List<Expected> ofExamples = new ArrayList<>();
    for (int i = 0; i < examples; i++) {
      double[] only = new double[examples * features];
      Arrays.fill(only, i * features, (i + 1) * features, 1);
      Case one = c.bare().withLive(c.x(), times(c.upstream(), c, only));
      ofExamples.add(subject.expect(one, dtype));
    }
    return ofExamples;
  }

  /**
   * What a case has to give with these parameters.
   *
   * @param all without gamma and beta, and with the upstream gradients multiplied by gamma
   */
  private record Wanted(
      Case c, double[] gammas, double[] betas, Expected all, List<Expected> ofExamples) {
    Values line(Quantity output, HostTensor like) {
      Values plain = all.of(output);
      Values line = new Values(plain.expected().length);
      for (int i = 0; i < line.expected().length; i++) {
        if (plain.scale()[i] > 0) { // else it is masked, and 0
          int group = group(like, c, i);
          double gamma = gammas[group];
          double beta = betas[group];
          line.set(
              i,
              gamma * plain.expected()[i] + beta,
              Math.abs(gamma) * plain.scale()[i] + Math.abs(beta));
        }
      }
      return line;
    }
  }

  private static <T> void checkLive(
      Subject<T> subject,
      Tensors<T> made,
      Wanted wanted,
      DType dtype,
      VirtualBatchNorm<T> whole,
      ReferenceStatistics<T> statistics,
      Into into,
      String of) {
    Case c = wanted.c;
    VirtualBatchNorm<T> layer = whole.withMask(c.mask());
    String where = of + ", into " + into;
    T x = made.of(c.x(), dtype);
    T dy = made.of(c.upstream(), dtype);
    T over = made.of(into == Into.SUPPLIED ? Layouts.filled(c.x(), Double.NaN) : c.x(), dtype);
    T dx = made.of(Layouts.filled(c.x(), Double.NaN), dtype);
    try (Output<T> y = into == Into.NEW
            ? layer.forward(x, statistics)
            : layer.forwardInto(over, into == Into.OVER_X ? over : x, statistics);
        Gradients<T> gradients = switch (into) {
          case NEW -> layer.backward(x, statistics, dy);
          case SUPPLIED -> layer.backwardInto(dx, x, statistics, dy);
          default -> layer.backwardInto(dy, x, statistics, dy);
        };
        Output<T> dr = whole
            .withMask(c.referenceMask())
            .referenceGradient(made.of(c.reference(), dtype), statistics, gradients)) {
      HostTensor output = subject.host(y.output());
      agree(subject, "output", wanted.line(Quantity.OUTPUT, c.x()), output, dtype, where);
      HostTensor input = subject.host(gradients.dx());
      agree(subject, "dx", wanted.all.of(Quantity.DX), input, dtype, where);
      HostTensor reached = subject.host(dr.output());
      agree(subject, "dreference", wanted.all.of(Quantity.DREFERENCE), reached, dtype, where);
      checkParameterGradients(subject, wanted, dtype, gradients, where);
    }
  }

  private static <T> void checkParameterGradients(
      Subject<T> subject, Wanted wanted, DType dtype, Gradients<T> gradients, String where) {
    int features = wanted.c.config().features();
    HostTensor dgamma = subject.host(gradients.dgamma());
    HostTensor dbeta = subject.host(gradients.dbeta());
    DType type = dtype.parameterType();
    for (int i = 0; i < wanted.ofExamples.size(); i++) {
      Expected own = wanted.ofExamples.get(i);
      String of = where + ", example " + i;
      agree(subject, "dgamma", own.of(Quantity.DGAMMA), row(dgamma, i, features), type, of);
      agree(subject, "dbeta", own.of(Quantity.DBETA), row(dbeta, i, features), type, of);
    }
  }

  private static HostTensor row(HostTensor parameters, int example, int features) {
    double[] row =
        Arrays.copyOfRange(parameters.toDoubles(), example * features, (example + 1) * features);
    return HostTensor.of(row, features).to(parameters.dtype());
  }

  private static List<Into> ways(Subject<?> subject) {
    return subject.has(Capability.CALLER_SUPPLIED_OUTPUT)
        ? List.of(Into.NEW, Into.SUPPLIED, Into.OVER_X)
        : List.of(Into.NEW);
  }

  /** Each element times the number of its example and feature. */
  private static HostTensor times(HostTensor tensor, Case c, double[] numbers) {
    double[] values = tensor.toDoubles();
    for (int i = 0; i < values.length; i++) {
      double number = numbers[group(tensor, c, i)];
      values[i] = number == 0 ? 0 : values[i] * number; // NaN that is masked counts no more
    }
    return HostTensor.of(values, tensor.shape());
  }

  private static int group(HostTensor tensor, Case c, int index) {
    long[] shape = tensor.shape();
    int axis = c.config().featureAxis();
    long after = 1;
    for (int i = axis < 0 ? axis + shape.length + 1 : axis + 1; i < shape.length; i++) {
      after *= shape[i];
    }
    int features = c.config().features();
    int example = (int) (index / (tensor.size() / shape[0]));
    return example * features + (int) (index / after % features);
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.CONSTANT_STATISTICS)
  final void liveStatisticsAsConstants(Variant variant) {
    eachCase(variant, ConditionalRules::checkConstants);
  }

  private static <T> void checkConstants(Subject<T> subject, Case c, DType dtype) {
    Expected expected = subject.expect(c, dtype);
    String of = c.describe() + ", live statistics as constants, in " + dtype;
    try (Tensors<T> made = subject.tensors()) {
      VirtualBatchNorm<T> whole = made.layer(c, dtype);
      T x = made.of(c.x(), dtype);
      try (ReferenceStatistics<T> statistics =
          whole.withMask(c.referenceMask()).referenceStatistics(made.of(c.reference(), dtype))) {
        VirtualBatchNorm<T> layer = whole.withMask(c.mask());
        VirtualBatchNorm<T> constant = layer.withReferenceGradient(ReferenceGradient.ALL_DETACHED);
        Tolerance.assertSameBits(
            "output, for " + of,
            subject.output(layer, x, statistics),
            subject.output(constant, x, statistics),
            "Constants make no difference to a forward pass.");
        try (Gradients<T> gradients =
            constant.backward(x, statistics, made.of(c.upstream(), dtype))) {
          agree(subject, "dx", slopes(expected, c), subject.host(gradients.dx()), dtype, of);
          DType type = dtype.parameterType();
          agree(
              subject,
              "dgamma",
              expected.of(Quantity.DGAMMA),
              subject.host(gradients.dgamma()),
              type,
              of);
          agree(
              subject,
              "dbeta",
              expected.of(Quantity.DBETA),
              subject.host(gradients.dbeta()),
              type,
              of);
        }
      }
    }
  }

  /** gamma/s*dy, where something counts. */
  private static Values slopes(Expected expected, Case c) {
    Values variances = expected.of(Quantity.LIVE_VARIANCE);
    Values counted = expected.of(Quantity.DX);
    Values slopes = new Values(c.x().size());
    int features = c.config().features();
    for (int i = 0; i < slopes.expected().length; i++) {
      if (counted.scale()[i] > 0) {
        int group = group(c.x(), c, i);
        int at = variances.expected().length == features ? group % features : group;
        double v = variances.expected()[at] + c.config().epsilon();
        double gamma = c.gamma() == null ? 1 : c.gamma().get(group % features);
        double slope = gamma / Math.sqrt(v) * c.upstream().get(i);
        slopes.set(i, slope, Math.abs(slope) * (1 + variances.scale()[at] / v));
      }
    }
    return slopes;
  }
}
