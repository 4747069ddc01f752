package dev.vbn.spark;

import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Capability;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import org.apache.spark.TaskContext;
import org.apache.spark.util.TaskCompletionListener;
import org.apache.spark.sql.Row;
import org.apache.spark.sql.api.java.UDF3;
import org.jspecify.annotations.Nullable;

/**
 * Normalises one row: a function, so that Catalyst keeps its plan and reads the columns that it
 * needs. What goes to the executors is plain data; the layer is made there.
 */
final class Scorer implements UDF3<@Nullable Object, @Nullable Object, @Nullable Row, Object> {
  private static final long serialVersionUID = 1L;

  private final Examples examples;
  private final ReferenceMoments reference;
  private final VbnConfig config;
  private final String backend;
  private transient volatile @Nullable Layer layer;

  private record Layer(
      VirtualBatchNorm<HostTensor> norm,
      ReferenceStatistics<HostTensor> statistics,
      boolean doubles) {}

  Scorer(Examples examples, ReferenceMoments reference, VbnConfig config, String backend) {
    this.examples = examples;
    this.reference = reference;
    this.config = config;
    this.backend = backend;
  }

  /**
   * @param length how many positions count; null if all do
   * @param live moments of the live batch; null if the variant takes none
   */
  @Override
  public Object call(@Nullable Object example, @Nullable Object length, @Nullable Row live) {
    HostTensor x = examples.read(example, length);
    Object like = java.util.Objects.requireNonNull(example); // read has refused null
    if (x == null) {
      return examples.write(like, null, config.features());
    }
    long[] shape = x.shape();
    if (shape[shape.length - 1] != config.features()) {
      throw new IllegalArgumentException(
          "column '" + examples.column() + "' has an example of " + shape[shape.length - 1]
              + " features; expected " + config.features() + ", as the model was fitted to");
    }
    Layer open = layer();
    HostTensor given = open.doubles() ? x : x.to(DType.FLOAT32);
    try (Output<HostTensor> output = live == null
        ? open.norm().forward(given, open.statistics())
        : open.norm().forward(given, open.statistics(), MomentsAggregator.moments(live))) {
      HostTensor y = output.output();
      return examples.write(like, y.dtype() == x.dtype() ? y : y.to(x.dtype()), config.features());
    }
  }

  private Layer layer() {
    Layer open = layer;
    return open == null ? openLayer() : open;
  }

  private synchronized Layer openLayer() {
    if (layer == null) {
      VbnBackend<HostTensor> executor = ExecutorBackend.open(backend);
      ReferenceStatistics<HostTensor> statistics = ReferenceStatistics.of(executor, reference);
      TaskContext task = TaskContext.get();
      if (task != null) { // each task has a copy of this; the driver, which may call it too, keeps it
        task.addTaskCompletionListener((TaskCompletionListener) done -> statistics.close());
      }
      layer = new Layer(
          VirtualBatchNorm.of(executor, config),
          statistics,
          executor.capabilities().contains(Capability.FLOAT64));
    }
    return layer;
  }
}
