package dev.vbn.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.norm.BatchNorm;

/** The batch normalization that libtorch has in one fused kernel, in training. */
final class LibtorchBatchNorm extends LibtorchContender {
  static final String NAME = "libtorch, batch norm";

  private static final float MOMENTUM = 0.9f;

  LibtorchBatchNorm() {
    super(NAME, Kind.PEER, false);
  }

  @Override
  public Task task() {
    return Task.BATCH_NORM;
  }

  @Override
  Form form(Workload workload, NDManager manager) {
    Shape shape = new Shape(workload.config().features());
    NDArray runningMean = manager.zeros(shape);
    NDArray runningVariance = manager.ones(shape);
    float epsilon = (float) workload.config().epsilon();
    return (x, gamma, beta) -> BatchNorm.batchNorm(
            x, runningMean, runningVariance, gamma, beta, 1, MOMENTUM, epsilon, true)
        .singletonOrThrow();
  }
}
