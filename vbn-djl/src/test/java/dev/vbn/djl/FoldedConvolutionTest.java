package dev.vbn.djl;

import static org.junit.jupiter.api.Assertions.assertTrue;

import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.SequentialBlock;
import ai.djl.nn.convolutional.Conv1d;
import ai.djl.training.ParameterStore;
import dev.vbn.Fold;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Locale;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** A convolution with a layer behind it, served as one convolution: the same, and how much faster. */
class FoldedConvolutionTest {
  private static final int ROUNDS = 101;

  private final Conv1d convolution = convolution();
  private final VirtualBatchNormBlock norm =
      VirtualBatchNormBlock.builder().optServingVariant(Variant.REFERENCE_ONLY).build();
  private final SequentialBlock network = new SequentialBlock().add(convolution).add(norm);
  private final Conv1d folded = convolution();
  private EngineHere here;

  @BeforeEach
  void open() {
    here = EngineHere.open();
  }

  @AfterEach
  void close() {
    if (here != null) {
      here.close();
    }
  }

  private static Conv1d convolution() {
    return Conv1d.builder().setFilters(64).setKernelShape(new Shape(5)).build();
  }

  @ParameterizedTest
  @CsvSource({"1, 32, 256", "16, 32, 1024"})
  void itGivesWhatBothGive(long examples, long channels, long positions) {
    Shape shape = new Shape(examples, channels, positions);
    network.initialize(here.manager, DataType.FLOAT32, shape);
    folded.initialize(here.manager, DataType.FLOAT32, shape);
    NDArray frozen = here.normal(here.manager, 1, 0, 1, DataType.FLOAT32, shape);
    VirtualBatchNormBlock.refresh(network, this::serve, new NDList(frozen));
    fold();
    NDArray x = here.normal(here.manager, 2, 0, 1, DataType.FLOAT32, shape);

    double[] expected = EngineHere.doubles(serve(new NDList(x)).head());
    double[] actual = EngineHere.doubles(serveFolded(x).head());
    double difference = 0;
    double largest = 0;
    for (int i = 0; i < expected.length; i++) {
      difference = Math.max(difference, Math.abs(expected[i] - actual[i]));
      largest = Math.max(largest, Math.abs(expected[i]));
    }
    assertTrue(largest > 1, "outputs up to " + largest);
    assertTrue(
        difference < 1e-5 * largest, difference + " of " + largest + "; expected rounding alone");
    System.out.printf(
        Locale.ROOT,
        "folded %s: difference %.1e of %.1f, both/folded %.2f%n",
        shape,
        difference,
        largest,
        ratio(x));
  }

  private NDList serve(NDList input) {
    return network.forward(new ParameterStore(here.manager, false), input, false);
  }

  private NDList serveFolded(NDArray x) {
    return folded.forward(new ParameterStore(here.manager, false), new NDList(x), false);
  }

  /** Gives the other convolution what the two blocks amount to. */
  private void fold() {
    LayerState state = norm.state();
    try (VirtualBatchNorm<NDArray> layer = state.layer(here.backend);
        ReferenceStatistics<NDArray> statistics = state.statistics(here.backend)) {
      Fold fold = layer.withVariant(Variant.REFERENCE_ONLY).fold(statistics);
      set("weight", fold.weight(of(convolution, "weight")));
      set("bias", fold.bias(of(convolution, "bias")));
    }
  }

  private static HostTensor of(Conv1d block, String name) {
    NDArray array = block.getParameters().get(name).getArray();
    return HostTensor.of(array.toFloatArray(), array.getShape().getShape());
  }

  private void set(String name, HostTensor value) {
    try (NDArray array = here.manager.create(value.floats(), new Shape(value.shape()))) {
      array.copyTo(folded.getParameters().get(name).getArray());
    }
  }

  /** In turn, so that both meet the same machine. */
  private double ratio(NDArray x) {
    double[] both = new double[ROUNDS];
    double[] one = new double[ROUNDS];
    for (int i = 0; i < ROUNDS; i++) {
      both[i] = nanoseconds(() -> serve(new NDList(x)).close());
      one[i] = nanoseconds(() -> serveFolded(x).close());
    }
    return median(both) / median(one);
  }

  private static double nanoseconds(Runnable work) {
    long start = System.nanoTime();
    work.run();
    return System.nanoTime() - start;
  }

  private static double median(double[] values) {
    Arrays.sort(values);
    return values[values.length / 2];
  }
}
