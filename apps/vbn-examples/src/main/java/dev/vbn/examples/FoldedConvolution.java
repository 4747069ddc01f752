package dev.vbn.examples;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.Parameter;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.convolutional.Conv1d;
import ai.djl.training.ParameterStore;
import dev.vbn.Fold;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnBackends;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.djl.VirtualBatchNormBlock;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;

/** A convolution with a layer behind it, served as one convolution. */
public final class FoldedConvolution {
  private static final int ROUNDS = 101;

  private final NDManager manager;
  private final Conv1d convolution = convolution();
  private final VirtualBatchNormBlock norm =
      VirtualBatchNormBlock.builder().optServingVariant(Variant.REFERENCE_ONLY).build();
  private final SequentialBlock network = new SequentialBlock().add(convolution).add(norm);
  private final Conv1d folded = convolution();
  private final NDArray x;

  /** How far the outputs are from each other, and the times of a forward pass in microseconds. */
  record Result(double difference, double largest, double whole, double folded) {}

  private FoldedConvolution(NDManager manager, Shape shape) {
    this.manager = manager;
    x = manager.randomNormal(shape);
    network.initialize(manager, DataType.FLOAT32, shape);
    folded.initialize(manager, DataType.FLOAT32, shape);
    VirtualBatchNormBlock.refresh(network, this::serve, new NDList(manager.randomNormal(shape)));
    fold();
  }

  private static Conv1d convolution() {
    return Conv1d.builder().setFilters(64).setKernelShape(new Shape(5)).build();
  }

  private NDList serve(NDList input) {
    return network.forward(new ParameterStore(manager, false), input, false);
  }

  /** Gives the other convolution what the two blocks amount to. */
  private void fold() {
    LayerState state = norm.state();
    try (VbnBackend<HostTensor> backend = VbnBackends.find().open(HostTensor.class);
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> statistics = state.statistics(backend)) {
      Fold fold = layer.withVariant(Variant.REFERENCE_ONLY).fold(statistics);
      set(folded, "weight", fold.weight(host(convolution, "weight")));
      set(folded, "bias", fold.bias(host(convolution, "bias")));
    }
  }

  private static HostTensor host(Conv1d block, String name) {
    NDArray array = block.getParameters().get(name).getArray();
    return HostTensor.of(array.toFloatArray(), array.getShape().getShape());
  }

  private void set(Conv1d block, String name, HostTensor value) {
    Parameter parameter = block.getParameters().get(name);
    try (NDArray array = manager.create(value.floats(), new Shape(value.shape()))) {
      array.copyTo(parameter.getArray());
    }
  }

  /** Compares them on batches of {@code shape}. */
  static Result compare(Shape shape) {
    try (NDManager manager = NDManager.newBaseManager("PyTorch")) {
      return new FoldedConvolution(manager, shape).compare();
    }
  }

  private Result compare() {
    NDArray expected = serve(new NDList(x)).head();
    NDArray actual = foldedOutput();
    double difference = expected.sub(actual).abs().max().getFloat();
    double largest = expected.abs().max().getFloat();
    double[] whole = new double[ROUNDS];
    double[] ofFolded = new double[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) { // in turn, so that both meet the same machine
      whole[i] = microseconds(() -> serve(new NDList(x)).close());
      ofFolded[i] = microseconds(() -> foldedOutput().close());
    }
    return new Result(difference, largest, median(whole), median(ofFolded));
  }

  private NDArray foldedOutput() {
    return folded
        .forward(new ParameterStore(manager, false), new NDList(x), false)
        .head();
  }

  private static double microseconds(Runnable work) {
    long start = System.nanoTime();
    work.run();
    return (System.nanoTime() - start) / 1e3;
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    return values[values.length / 2];
  }

  /** Prints how they compare. */
  public static void main(String[] args) {
    System.out.println("batch             difference   largest    whole us   folded us   ratio");
    for (Shape shape : new Shape[] {new Shape(1, 32, 256), new Shape(16, 32, 1024)}) {
      Result result = compare(shape);
      System.out.printf(
          "%-16s  %10.2e   %7.2f   %9.0f   %9.0f   %5.2f%n",
          shape,
          result.difference(),
          result.largest(),
          result.whole(),
          result.folded(),
          result.whole() / result.folded());
    }
  }
}
