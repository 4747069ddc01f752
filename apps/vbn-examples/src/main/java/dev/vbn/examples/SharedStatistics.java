package dev.vbn.examples;

import dev.vbn.GradientSums;
import dev.vbn.Gradients;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.function.BinaryOperator;

/** Workers that each hold a part of a batch, and normalise it by the statistics of the whole. */
public final class SharedStatistics {
  private SharedStatistics() {}

  /** What the workers of a trainer have to exchange values by: for instance MPI, or a queue. */
  interface Workers {
    /** What the values of all workers come to; every worker gets it. */
    <V> V allReduce(V own, BinaryOperator<V> merge);
  }

  /** Normalises the two halves of a batch one after the other, and prints them. */
  public static void main(String[] args) {
    System.out.println(Arrays.toString(normalize()));
  }

  static float[] normalize() {
    HostTensor reference = HostTensor.of(new float[] {1, 3}, 2, 1);
    HostTensor first = HostTensor.of(new float[] {0, 2}, 2, 1);
    HostTensor second = HostTensor.of(new float[] {4, 6}, 2, 1);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(1));
        ReferenceStatistics<HostTensor> statistics = layer.referenceStatistics(reference)) {
      ReferenceMoments live = layer.liveMoments(first).merge(layer.liveMoments(second));
      try (Output<HostTensor> a = layer.forward(first, statistics, live);
          Output<HostTensor> b = layer.forward(second, statistics, live)) {
        float[] both = Arrays.copyOf(a.output().floats(), 4);
        System.arraycopy(b.output().floats(), 0, both, 2, 2);
        return both;
      }
    }
  }

  static <T> Gradients<T> step(
      Workers workers,
      VirtualBatchNorm<T> layer,
      ReferenceStatistics<T> statistics,
      T x,
      T upstream) {
    ReferenceMoments live = workers.allReduce(layer.liveMoments(x), ReferenceMoments::merge);
    GradientSums sums =
        workers.allReduce(layer.gradientSums(x, statistics, live, upstream), GradientSums::merge);
    return layer.backward(x, statistics, live, upstream, sums);
  }
}
