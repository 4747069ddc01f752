package dev.vbn.examples;

import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** Gamma and beta learned on plain arrays, and the layer served with them. */
public final class Training {
  private static final int FEATURES = 1;
  private static final int STEPS = 200;
  private static final float RATE = 0.1f;

  private Training() {}

  /** Learns to give other numbers for a batch, and prints what it gives in the end. */
  public static void main(String[] args) {
    HostTensor x = HostTensor.of(new float[] {0, 1, 2, 3}, 4, FEATURES);
    HostTensor wanted = HostTensor.of(new float[] {1, 3, 5, 7}, 4, FEATURES);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class)) {
      System.out.println(Arrays.toString(trainAndServe(backend, x, wanted)));
    }
  }

  static float[] trainAndServe(VbnBackend<HostTensor> backend, HostTensor x, HostTensor wanted) {
    HostTensor gamma = HostTensor.of(new float[] {1}, FEATURES);
    HostTensor beta = HostTensor.of(new float[] {0}, FEATURES);
    ReferenceMoments reference = train(backend, x, x, wanted, gamma, beta);
    return serve(backend, reference, gamma, beta, x);
  }

  /** Learns gamma and beta in place. What serving needs besides them is in the moments. */
  private static ReferenceMoments train(
      VbnBackend<HostTensor> backend,
      HostTensor referenceBatch,
      HostTensor x,
      HostTensor wanted,
      HostTensor gamma,
      HostTensor beta) {
    try (VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(FEATURES))
            .withGamma(gamma)
            .withBeta(beta);
        ReferenceStatistics<HostTensor> reference = layer.referenceStatistics(referenceBatch)) {
      for (int step = 0; step < STEPS; step++) {
        try (Output<HostTensor> y = layer.forward(x, reference);
            Gradients<HostTensor> gradients =
                layer.backward(x, reference, lossGradient(y.output(), wanted))) {
          descend(gamma, gradients.dgamma());
          descend(beta, gradients.dbeta());
        }
      }
      return reference.moments();
    }
  }

  private static float[] serve(
      VbnBackend<HostTensor> backend,
      ReferenceMoments moments,
      HostTensor gamma,
      HostTensor beta,
      HostTensor x) {
    VbnConfig config = VbnConfig.of(FEATURES).withVariant(Variant.REFERENCE_ONLY);
    try (VirtualBatchNorm<HostTensor> layer =
            VirtualBatchNorm.of(backend, config).withGamma(gamma).withBeta(beta);
        ReferenceStatistics<HostTensor> reference = ReferenceStatistics.of(backend, moments);
        Output<HostTensor> y = layer.forward(x, reference)) {
      return y.output().floats();
    }
  }

  /** Of half the mean square of what the output is off. */
  private static HostTensor lossGradient(HostTensor y, HostTensor wanted) {
    float[] gradient = y.floats().clone();
    for (int i = 0; i < gradient.length; i++) {
      gradient[i] = (gradient[i] - wanted.floats()[i]) / gradient.length;
    }
    return HostTensor.of(gradient, y.shape());
  }

  private static void descend(HostTensor parameter, HostTensor gradient) {
    for (int i = 0; i < parameter.size(); i++) {
      parameter.floats()[i] -= RATE * gradient.floats()[i];
    }
  }
}
