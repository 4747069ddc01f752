package dev.vbn.bench;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;

/**
 * The form in which virtual batch normalization is found on the web, after SEGAN in PyTorch: mean
 * and mean of squares, axis by axis, mixed with those of the reference batch, and four passes of
 * arithmetic. Written with the same operations, except what would be unfair: {@code square} in
 * place of {@code pow(2)}, and every intermediate array is released at once, as Python does.
 */
final class LibtorchOpByOp extends LibtorchContender {
  static final String NAME = "libtorch, op by op";

  LibtorchOpByOp() {
    super(NAME, Kind.PEER, false);
  }

  @Override
  Form form(Workload workload, NDManager manager) {
    return new Formula(workload, manager);
  }

  private final class Formula implements Form {
    private static final int[] POSITIONS = {2};
    private static final int[] EXAMPLES = {0};

    private final NDArray referenceMean;
    private final NDArray referenceMeanSquare;
    private final NDArray newWeight;
    private final NDArray oldWeight;
    private final NDArray epsilon;

    Formula(Workload workload, NDManager manager) {
      NDArray reference = batch(workload.reference(), workload.config().featureAxis(), manager);
      referenceMean = mean(reference);
      referenceMeanSquare = meanSquare(reference);
      reference.close();
      double weight = 1.0 / (workload.x().shape()[0] + 1.0);
      newWeight = scalar(weight, manager);
      oldWeight = scalar(1 - weight, manager);
      epsilon = scalar(workload.config().epsilon(), manager);
    }

    /** Arithmetic with a Java number gives wrong gradients in DJL: its memory is freed too early. */
    private static NDArray scalar(double value, NDManager manager) {
      return manager.full(new ai.djl.ndarray.types.Shape(1), (float) value, DataType.FLOAT32);
    }

    private static NDArray mean(NDArray x) {
      try (NDArray perExample = x.mean(POSITIONS, true)) {
        return perExample.mean(EXAMPLES, true);
      }
    }

    private static NDArray meanSquare(NDArray x) {
      try (NDArray squares = x.square()) {
        return mean(squares);
      }
    }

    @Override
    public NDArray forward(NDArray x, NDArray gamma, NDArray beta) {
      long features = x.getShape().get(1);
      NDArray mean = mixed(mean(x), referenceMean);
      NDArray meanSquare = mixed(meanSquare(x), referenceMeanSquare);
      NDArray deviation = meanSquare.sub(mean.square()).add(epsilon).sqrt();
      try (NDArray centered = x.sub(mean);
          NDArray normalized = centered.div(deviation);
          NDArray scaled = normalized.mul(gamma.reshape(1, features, 1))) {
        return scaled.add(beta.reshape(1, features, 1));
      }
    }

    private NDArray mixed(NDArray live, NDArray reference) {
      return live.mul(newWeight).add(oldWeight.mul(reference));
    }
  }
}
