package dev.vbn.examples;

import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.util.Arrays;
import java.util.List;

/** Sequences of different lengths, padded to one shape. */
public final class PaddedSequences {
  private PaddedSequences() {}

  /** Normalises two live sequences of one feature and prints them. */
  public static void main(String[] args) {
    System.out.println(Arrays.toString(normalize()));
  }

  static float[] normalize() {
    float none = Float.NaN; // padding has no effect, whatever it is
    HostTensor reference = HostTensor.of(new float[] {1, 3, none, 5, none, none}, 2, 1, 3);
    HostTensor x = HostTensor.of(new float[] {3, none, none, 1, 5, none}, 2, 1, 3);
    VbnConfig config = VbnConfig.of(1).withVariant(Variant.POOLED);
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, config);
        ReferenceStatistics<HostTensor> statistics =
            layer.withMask(Mask.lengths(2, 1)).referenceStatistics(reference);
        Output<HostTensor> output = layer.withMask(Mask.lengths(1, 2)).forward(x, statistics)) {
      return output.output().floats(); // 0, 0, 0, -1.2247, 1.2247, 0
    }
  }

  /** A part of a reference batch, and what counts of it. */
  record Chunk<T>(T batch, Mask mask) {}

  static <T> ReferenceMoments inChunks(VirtualBatchNorm<T> layer, List<Chunk<T>> chunks) {
    ReferenceMoments total = ReferenceMoments.empty(layer.config().features());
    for (Chunk<T> each : chunks) {
      try (ReferenceStatistics<T> part =
          layer.withMask(each.mask()).referenceStatistics(each.batch())) {
        total = total.merge(part.moments());
      }
    }
    return total;
  }
}
