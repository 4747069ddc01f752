package dev.vbn.spark;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/** Statistics of one partition by a backend: chunk by chunk, merged in the order of the rows. */
final class ChunkedSum {
  // 2 MB
  private static final int CHUNK = 1 << 18;

  private final String source;
  private final VbnBackend<HostTensor> backend;
  private final boolean doubles;
  private @Nullable ReferenceMoments total;
  private double[] chunk = new double[0];
  private int features;
  private int filled;
  private long examples;

  ChunkedSum(String source, VbnBackend<HostTensor> backend) {
    this.source = source;
    this.backend = backend;
    this.doubles = backend.capabilities().contains(Capability.FLOAT64);
  }

  /** @param example shape {@code [1, features]} or {@code [1, positions, features]} */
  void add(HostTensor example) {
    long[] shape = example.shape();
    int given = (int) shape[shape.length - 1];
    if (features == 0) {
      features = given;
      chunk = new double[Math.max(1, CHUNK / features) * features];
    } else if (features != given) {
      throw new IllegalArgumentException(source + " has examples of " + features
          + " features and of " + given + "; expected the same number in all");
    }
    double[] values = example.dtype() == DType.FLOAT64 ? example.doubles() : example.toDoubles();
    int from = 0;
    while (from < values.length) {
      int length = Math.min(values.length - from, chunk.length - filled);
      System.arraycopy(values, from, chunk, filled, length);
      from += length;
      filled += length;
      if (filled == chunk.length) {
        merge();
      }
    }
    examples++;
  }

  private void merge() {
    double[] values = filled == chunk.length ? chunk : Arrays.copyOf(chunk, filled);
    HostTensor x = HostTensor.of(values, filled / features, features);
    try (VirtualBatchNorm<HostTensor> layer = VirtualBatchNorm.of(backend, VbnConfig.of(features));
        ReferenceStatistics<HostTensor> statistics =
            layer.referenceStatistics(doubles ? x : x.to(DType.FLOAT32))) {
      ReferenceMoments moments = statistics.moments();
      total = total == null ? moments : total.merge(moments);
    }
    filled = 0;
  }

  /** The statistics; null if there was no example. */
  @Nullable
  ReferenceMoments result() {
    if (filled > 0) {
      merge();
    }
    // A chunk's rows are positions, of which an example may have several.
    return total == null
        ? null
        : ReferenceMoments.of(total.mean(), total.variance(), examples, total.elements());
  }
}
