package dev.vbn.conformance;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.state.Npz;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Second gradients that were computed elsewhere, by automatic differentiation in 64 bits. The inputs
 * are in {@code x, reference, gamma, dy, v, vgamma, vbeta} of the file.
 */
final class SecondGoldenCase {
  private static final List<String> SHAPES = List.of("nc", "ncl", "nhwc");

  private final String name;
  private final Npz arrays;
  private final Case input;

  private SecondGoldenCase(String name, Npz arrays, Case input) {
    this.name = name;
    this.arrays = arrays;
    this.input = input;
  }

  /** The cases of a variant, one per shape. */
  static List<SecondGoldenCase> of(Variant variant) throws IOException {
    List<SecondGoldenCase> cases = new ArrayList<>();
    for (String shape : SHAPES) {
      cases.add(load(variant, variant.label() + "-" + shape));
    }
    return cases;
  }

  private static SecondGoldenCase load(Variant variant, String name) throws IOException {
    Npz arrays = GoldenCase.readResource("double-backward/" + name + ".npz", Npz::read);
    HostTensor gamma = arrays.tensor("gamma");
    VbnConfig config = GoldenCase.config(arrays, gamma.size()).withVariant(variant);
    HostTensor reference = arrays.tensor("reference");
    Case input = new Case(
        config, arrays.tensor("x"), reference, gamma, null, arrays.tensor("dy"), reference);
    return new SecondGoldenCase(name, arrays, input);
  }

  /** Compares what the backend computes of the input with the arrays of the file. */
  void check(Subject<?> subject, DType dtype) throws IOException {
    check(subject, dtype, false, "");
    check(subject, dtype, true, "_all");
  }

  private <T> void check(Subject<T> subject, DType dtype, boolean all, String suffix)
      throws IOException {
    try (Tensors<T> made = subject.tensors()) {
      GradientUpstream<T> second = GradientUpstream.ofDx(made.of(arrays.tensor("v"), dtype));
      if (all) {
        DType type = dtype.parameterType();
        second = second
            .withDgamma(made.of(arrays.tensor("vgamma"), type))
            .withDbeta(made.of(arrays.tensor("vbeta"), type));
      }
      VirtualBatchNorm<T> layer = made.layer(input, dtype);
      T x = made.of(input.x(), dtype);
      T upstream = made.of(input.upstream(), dtype);
      try (ReferenceStatistics<T> statistics =
              layer.referenceStatistics(made.of(input.reference(), dtype));
          SecondGradients<T> gradients = layer.doubleBackward(x, statistics, upstream, second)) {
        Map<Quantity, HostTensor> computed = Map.of(
            Quantity.SECOND_X, subject.host(gradients.x()),
            Quantity.SECOND_UPSTREAM, subject.host(gradients.upstream()),
            Quantity.SECOND_GAMMA, subject.host(gradients.gamma()));
        compare(subject, dtype, suffix, computed);
      }
    }
  }

  /** The files' v, vgamma and vbeta are up to 2.5, and those that the magnitudes are made of 1. */
  private void compare(
      Subject<?> subject, DType dtype, String suffix, Map<Quantity, HostTensor> computed)
      throws IOException {
    Map<Quantity, String> names = Map.of(
        Quantity.SECOND_X, "x_gradient",
        Quantity.SECOND_UPSTREAM, "dy_gradient",
        Quantity.SECOND_GAMMA, "gamma_gradient");
    Case withBeta = input.withParameters(input.gamma(), input.gamma());
    Expected scales = subject.expect(withBeta, dtype);
    for (Map.Entry<Quantity, String> each : names.entrySet()) {
      Quantity quantity = each.getKey();
      subject.tolerance.assertClose(
          quantity.label() + suffix + " of " + name + " in " + dtype,
          scales.of(quantity).of(arrays.tensor(each.getValue() + suffix)).scaled(4),
          requireNonNull(computed.get(quantity)),
          quantity.roundedTo(dtype),
          quantity.hint());
    }
  }
}
