package dev.vbn.examples.wgan;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceStatistics;
import dev.vbn.SecondGradients;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Random;

/**
 * The critic of WGAN-GP (Gulrajani et al. 2017): {@code D(x) = sum(v * tanh(vbn(w convolved with x)))}.
 * Its penalty, {@code mean((|dD/dx| - 1)^2)}, is about the gradient at one example, so that batch
 * norm, which makes it one of the whole batch, is out of the question. Under {@link
 * Variant#PER_EXAMPLE} an example has a gradient of its own.
 */
final class Critic implements AutoCloseable {
  private final int channels;
  private final int kernel;
  private final int positions;
  private final VirtualBatchNorm<HostTensor> norm;
  private final double[][] frozen;
  private ReferenceStatistics<HostTensor> reference;

  final HostTensor w;
  final HostTensor v;
  final HostTensor gamma;
  final HostTensor beta;

  /** What is learned, or the gradient of it. */
  record Parameters(double[] w, double[] v, double[] gamma, double[] beta) {
    static Parameters zeros(Critic critic) {
      return new Parameters(
          new double[critic.w.size()],
          new double[critic.v.size()],
          new double[critic.gamma.size()],
          new double[critic.beta.size()]);
    }

    double[][] all() {
      return new double[][] {w, v, gamma, beta};
    }
  }

  /**
   * A critic of sequences.
   *
   * @param frozen the reference batch: sequences whose features it is normalised with
   */
  Critic(VbnBackend<HostTensor> backend, int channels, int kernel, double[][] frozen, long seed) {
    this.channels = channels;
    this.kernel = kernel;
    this.frozen = frozen;
    positions = frozen[0].length - kernel + 1;
    Random random = new Random(seed);
    w = HostTensor.of(drawn(random, channels * kernel, 0.5), channels, kernel);
    v = HostTensor.of(drawn(random, channels * positions, 0.1), channels, positions);
    gamma = HostTensor.of(drawn(random, channels, 0), channels);
    Arrays.fill(gamma.doubles(), 1);
    beta = HostTensor.of(new double[channels], channels);
    norm = VirtualBatchNorm.of(
            backend, VbnConfig.of(channels).withVariant(Variant.PER_EXAMPLE).withEpsilon(1e-3))
        .withGamma(gamma)
        .withBeta(beta);
    reference = norm.referenceStatistics(convolved(frozen));
  }

  /** Takes the statistics of the reference batch anew, after its features have changed. */
  void refresh() {
    reference.close();
    reference = norm.referenceStatistics(convolved(frozen));
  }

  private static double[] drawn(Random random, int size, double deviation) {
    return random.doubles(size).map(each -> deviation * random.nextGaussian()).toArray();
  }

  Parameters parameters() {
    return new Parameters(w.doubles(), v.doubles(), gamma.doubles(), beta.doubles());
  }

  /** {@code [examples, channels, positions]} of {@code w} convolved with each sequence. */
  private HostTensor convolved(double[][] x) {
    double[] a = new double[x.length * channels * positions];
    forEachWeight((c, k, weight, at) -> {
      for (int n = 0; n < x.length; n++) {
        for (int p = 0; p < positions; p++) {
          a[(n * channels + c) * positions + p] += weight * x[n][p + k];
        }
      }
    });
    return HostTensor.of(a, x.length, channels, positions);
  }

  private interface WeightAction {
    void accept(int channel, int place, double weight, int at);
  }

  private void forEachWeight(WeightAction action) {
    double[] weights = w.doubles();
    for (int i = 0; i < weights.length; i++) {
      action.accept(i / kernel, i % kernel, weights[i], i);
    }
  }

  /** Adds the gradient of the weights, where {@code da} is that of {@link #convolved}. */
  private void addWeights(double[][] x, double[] da, double[] to) {
    forEachWeight((c, k, weight, at) -> {
      for (int n = 0; n < x.length; n++) {
        for (int p = 0; p < positions; p++) {
          to[at] += da[(n * channels + c) * positions + p] * x[n][p + k];
        }
      }
    });
  }

  private double[] tanh(HostTensor a) {
    try (Output<HostTensor> y = norm.forward(a, reference)) {
      return Arrays.stream(y.output().toDoubles()).map(Math::tanh).toArray();
    }
  }

  private int size() {
    return channels * positions;
  }

  /** D of each sequence. */
  double[] of(double[][] x) {
    double[] h = tanh(convolved(x));
    double[] d = new double[x.length];
    for (int i = 0; i < h.length; i++) {
      d[i / size()] += v.get(i % size()) * h[i];
    }
    return d;
  }

  /** Adds the gradient of {@code sum(upstream * D(x))}. */
  void addGradient(double[][] x, double[] upstream, Parameters to) {
    HostTensor a = convolved(x);
    double[] h = tanh(a);
    double[] dy = new double[h.length];
    for (int i = 0; i < h.length; i++) {
      double each = upstream[i / size()];
      dy[i] = each * v.get(i % size()) * (1 - h[i] * h[i]);
      to.v[i % size()] += each * h[i];
    }
    try (Gradients<HostTensor> gradients =
        norm.backward(a, reference, HostTensor.of(dy, a.shape()))) {
      addWeights(x, gradients.dx().toDoubles(), to.w);
      add(gradients.dgamma(), to.gamma);
      add(gradients.dbeta(), to.beta);
    }
  }

  private static void add(HostTensor gradient, double[] to) {
    for (int i = 0; i < to.length; i++) {
      to[i] += gradient.get(i);
    }
  }

  /** The length of dD/dx at each sequence. */
  double[] slopes(double[][] x) {
    HostTensor a = convolved(x);
    try (Gradients<HostTensor> gradients = norm.backward(a, reference, upstream(a, tanh(a)))) {
      return Arrays.stream(inputGradient(x, gradients.dx().toDoubles()))
          .mapToDouble(Critic::length)
          .toArray();
    }
  }

  private HostTensor upstream(HostTensor a, double[] h) {
    double[] dy = new double[h.length];
    Arrays.setAll(dy, i -> v.get(i % size()) * (1 - h[i] * h[i]));
    return HostTensor.of(dy, a.shape());
  }

  private double[][] inputGradient(double[][] x, double[] da) {
    double[][] dx = new double[x.length][x[0].length];
    forEachWeight((c, k, weight, at) -> {
      for (int n = 0; n < x.length; n++) {
        for (int p = 0; p < positions; p++) {
          dx[n][p + k] += weight * da[(n * channels + c) * positions + p];
        }
      }
    });
    return dx;
  }

  private static double length(double[] vector) {
    return Math.sqrt(Arrays.stream(vector).map(each -> each * each).sum());
  }

  /** {@code mean((|dD/dx| - 1)^2)} over sequences. */
  double penalty(double[][] x) {
    return Arrays.stream(slopes(x))
        .map(each -> (each - 1) * (each - 1))
        .average()
        .orElseThrow();
  }

  /** Adds the gradient of {@code factor * penalty(x)}: back through the backward pass. */
  void addPenaltyGradient(double[][] x, double factor, Parameters to) {
    HostTensor a = convolved(x);
    double[] h = tanh(a);
    HostTensor dy = upstream(a, h);
    double[] da;
    double[][] dx;
    try (Gradients<HostTensor> gradients = norm.backward(a, reference, dy)) {
      da = gradients.dx().toDoubles();
      dx = inputGradient(x, da);
    }
    // The penalty's gradient by dD/dx, and by da, of which dD/dx is made with the weights.
    double[][] direction = new double[x.length][];
    for (int n = 0; n < x.length; n++) {
      double length = length(dx[n]);
      double share = factor * 2 * (length - 1) / length / x.length;
      direction[n] = Arrays.stream(dx[n]).map(each -> share * each).toArray();
    }
    addWeights(direction, da, to.w);
    GradientUpstream<HostTensor> second = GradientUpstream.ofDx(convolved(direction));
    double[] byA;
    double[] byDy;
    try (SecondGradients<HostTensor> gradients = norm.doubleBackward(a, reference, dy, second)) {
      byA = gradients.x().toDoubles();
      byDy = gradients.upstream().toDoubles();
      add(gradients.gamma(), to.gamma);
    }
    // dy = v*(1 - h*h), and h = tanh(y).
    double[] byY = new double[h.length];
    for (int i = 0; i < h.length; i++) {
      double slope = 1 - h[i] * h[i];
      to.v[i % size()] += byDy[i] * slope;
      byY[i] = byDy[i] * v.get(i % size()) * -2 * h[i] * slope;
    }
    try (Gradients<HostTensor> gradients =
        norm.backward(a, reference, HostTensor.of(byY, a.shape()))) {
      add(gradients.dx(), byA);
      add(gradients.dgamma(), to.gamma);
      add(gradients.dbeta(), to.beta);
    }
    addWeights(x, byA, to.w);
  }

  @Override
  public void close() {
    reference.close();
    norm.close();
  }
}
