package dev.vbn.dl4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.NoSuchElementException;
import org.deeplearning4j.datasets.iterator.ExistingDataSetIterator;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration.GraphBuilder;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.graph.MergeVertex;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.DenseLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.misc.FrozenLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.optimize.api.BaseTrainingListener;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.MultiDataSet;
import org.nd4j.linalg.dataset.adapter.SingletonMultiDataSetIterator;
import org.nd4j.linalg.dataset.api.DataSetPreProcessor;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;
import org.nd4j.linalg.learning.config.Sgd;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;
import org.nd4j.linalg.ops.transforms.Transforms;

/** Statistics of whole networks, and when they are taken. */
class RefreshTest {
  private static final int EXAMPLES = 12;

  private static MultiLayerNetwork network(boolean isFirstFrozen) {
    VirtualBatchNormalization first =
        new VirtualBatchNormalization.Builder().variant(Variant.POOLED).build();
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .seed(3)
        .dataType(DataType.DOUBLE)
        .updater(new Sgd(0.1))
        .list()
        .layer(new DenseLayer.Builder().nOut(5).activation(Activation.IDENTITY).build())
        .layer(isFirstFrozen ? new FrozenLayer(first) : first)
        .layer(new DenseLayer.Builder().nOut(4).activation(Activation.TANH).build())
        .layer(new VirtualBatchNormalization())
        .layer(new DenseLayer.Builder().nOut(3).activation(Activation.TANH).build())
        .layer(new VirtualBatchNormalization.Builder().lockGammaBeta(true).build())
        .layer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .setInputType(Format.FF.type)
        .build());
    network.init();
    return network;
  }

  private static INDArray reference() {
    return Format.FF.batch(DataType.DOUBLE, EXAMPLES, 5);
  }

  private static DataSet data(int examples, long seed) {
    return new DataSet(
        Format.FF.batch(DataType.DOUBLE, examples, seed),
        Format.FF.labels(DataType.DOUBLE, examples));
  }

  private static List<DataSet> parts(INDArray whole, int... sizes) {
    List<DataSet> parts = new ArrayList<>();
    int at = 0;
    for (int size : sizes) {
      INDArray part =
          whole.get(NDArrayIndex.interval(at, at + size), NDArrayIndex.all()).dup();
      parts.add(new DataSet(part, null));
      at += size;
    }
    return parts;
  }

  private static Map<String, VirtualBatchNormLayer> layers(Model network) {
    return VirtualBatchNormLayer.layersOf(network);
  }

  private static void assertSameStatistics(Model expected, Model actual, double tolerance) {
    assertEquals(layers(expected).keySet(), layers(actual).keySet());
    layers(expected).forEach((name, layer) -> {
      ReferenceMoments moments = layers(actual).get(name).referenceMoments();
      assertArrayEquals(layer.referenceMoments().mean(), moments.mean(), tolerance, name);
      assertArrayEquals(layer.referenceMoments().variance(), moments.variance(), tolerance, name);
      assertEquals(layer.referenceMoments().examples(), moments.examples(), name);
      assertEquals(layer.referenceMoments().elements(), moments.elements(), name);
    });
  }

  /** By hand: each layer's statistics are of what comes of the reference before it, normalised by it. */
  @Test
  void eachLayerMeasuresTheReferenceThatTheLayersBeforeHaveNormalised() {
    MultiLayerNetwork network = network(false);
    VirtualBatchNormalization.refresh(network, reference());

    INDArray x = reference().mmul(network.getParam("0_W")).addRowVector(network.getParam("0_b"));
    x = measured(network, "layer1", x);
    x = Transforms.tanh(x.mmul(network.getParam("2_W")).addRowVector(network.getParam("2_b")));
    x = measured(network, "layer3", x);
    x = Transforms.tanh(x.mmul(network.getParam("4_W")).addRowVector(network.getParam("4_b")));
    measured(network, "layer5", x);
  }

  private static INDArray measured(MultiLayerNetwork network, String name, INDArray x) {
    VirtualBatchNormLayer layer = layers(network).get(name);
    INDArray mean = x.mean(0);
    INDArray variance = x.var(false, 0);
    assertArrayEquals(mean.data().asDouble(), layer.referenceMoments().mean(), 1e-12, name);
    assertArrayEquals(variance.data().asDouble(), layer.referenceMoments().variance(), 1e-12, name);
    INDArray y = x.subRowVector(mean).divRowVector(Transforms.sqrt(variance.add(1e-5)));
    return layer.paramTable().isEmpty()
        ? y
        : y.mulRowVector(layer.getParam("gamma")).addRowVector(layer.getParam("beta"));
  }

  @Test
  void anIteratorGivesTheStatisticsOfTheWhole() {
    MultiLayerNetwork whole = network(false);
    VirtualBatchNormalization.refresh(whole, reference());
    MultiLayerNetwork inParts = network(false);
    VirtualBatchNormalization.refresh(
        inParts, new ExistingDataSetIterator(parts(reference(), 5, 1, 6)));
    assertSameStatistics(whole, inParts, 1e-13);
  }

  @Test
  void anIteratorOfOneBatchIsReadOnceAndNeedNoReset() {
    MultiLayerNetwork whole = network(false);
    VirtualBatchNormalization.refresh(whole, reference());
    MultiLayerNetwork once = network(false);
    VirtualBatchNormalization.refresh(once, new Forward(parts(reference(), EXAMPLES)));
    assertSameStatistics(whole, once, 0);
  }

  @Test
  void anIteratorThatCannotBeReadAgainIsRefusedAndChangesNothing() {
    MultiLayerNetwork network = network(false);
    VirtualBatchNormalization.refresh(network, Format.FF.batch(DataType.DOUBLE, 3, 77));
    MultiLayerNetwork before = network.clone();
    DataSetIterator forward = new Forward(parts(reference(), 6, 6));
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class, () -> VirtualBatchNormalization.refresh(network, forward));
    assertEquals(
        "the iterator of the reference has no batch left and cannot be reset; expected one that can,"
            + " or one array for the whole",
        e.getMessage());
    assertSameStatistics(before, network, 0);
    INDArray x = Format.FF.batch(DataType.DOUBLE, 4, 1);
    assertEquals(before.output(x), network.output(x), "and the network goes on as before");
    assertThrows(
        IllegalArgumentException.class,
        () -> VirtualBatchNormalization.refresh(network, new Forward(parts(reference()))));
  }

  /** Two branches and two inputs, which the parts of the reference reach in one pass each. */
  @Test
  void graphsOfSeveralInputs() {
    ComputationGraph whole = graph();
    INDArray other = Format.FF.batch(DataType.DOUBLE, EXAMPLES, 6);
    VirtualBatchNormalization.refresh(whole, reference(), other);
    ComputationGraph again = graph();
    MultiDataSet both = new MultiDataSet(new INDArray[] {reference(), other}, new INDArray[0]);
    VirtualBatchNormalization.refresh(again, both);
    assertSameStatistics(whole, again, 0);
    ComputationGraph iterated = graph();
    VirtualBatchNormalization.refresh(iterated, new SingletonMultiDataSetIterator(both));
    assertSameStatistics(whole, iterated, 0);
    assertThrows(
        IllegalArgumentException.class,
        () -> VirtualBatchNormalization.refresh(network(false), reference(), other));
  }

  private static ComputationGraph graph() {
    GraphBuilder builder = new NeuralNetConfiguration.Builder()
        .seed(3)
        .dataType(DataType.DOUBLE)
        .graphBuilder()
        .addInputs("a", "b")
        .setInputTypes(Format.FF.type, Format.FF.type);
    for (String branch : List.of("a", "b")) {
      builder
          .addLayer(branch + "_dense", new DenseLayer.Builder().nOut(3).build(), branch)
          .addLayer(branch + "_norm", new VirtualBatchNormalization(), branch + "_dense");
    }
    ComputationGraph graph = new ComputationGraph(builder
        .addVertex("both", new MergeVertex(), "a_norm", "b_norm")
        .addLayer("norm", new VirtualBatchNormalization(), "both")
        .addLayer(
            "out",
            new OutputLayer.Builder(LossFunction.MCXENT)
                .nOut(2)
                .activation(Activation.SOFTMAX)
                .build(),
            "norm")
        .setOutputs("out")
        .build());
    graph.init();
    assertEquals(
        List.of("a_norm", "b_norm", "norm"),
        layers(graph).keySet().stream().sorted().toList());
    return graph;
  }

  /** Frozen is what stays as it is: the layer normalises the reference by the one that it has. */
  @Test
  void frozenLayersKeepTheirReference() {
    MultiLayerNetwork network = network(true);
    ReferenceMoments kept =
        ReferenceMoments.of(new double[] {1, 2, 3, 4, 5}, new double[] {1, 1, 1, 1, 1}, 4, 4);
    layers(network).get("layer1").setReference(kept);
    VirtualBatchNormalization.refresh(network, reference());
    assertEquals(kept, layers(network).get("layer1").referenceMoments());
    assertEquals(EXAMPLES, layers(network).get("layer3").referenceMoments().examples());

    MultiLayerNetwork allFrozen = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .list()
        .layer(new FrozenLayer(new VirtualBatchNormalization()))
        .setInputType(InputType.feedForward(3))
        .build());
    allFrozen.init();
    IllegalArgumentException e = assertThrows(
        IllegalArgumentException.class,
        () -> VirtualBatchNormalization.refresh(allFrozen, Nd4j.ones(2, 3)));
    assertTrue(e.getMessage().contains("not frozen; expected at least one"), e::getMessage);
  }

  /** What a listener finds after each step is the reference of the parameters that the step has made. */
  @Test
  void theListenerRefreshesAfterEverySoManySteps() {
    MultiLayerNetwork network = network(false);
    List<ReferenceMoments> seen = new ArrayList<>();
    List<Double> errors = new ArrayList<>();
    network.setListeners(new RefreshListener(reference(), 2), new BaseTrainingListener() {
      @Override
      public void iterationDone(Model model, int iteration, int epoch) {
        seen.add(layers(model).get("layer5").referenceMoments());
        MultiLayerNetwork fresh = network.clone();
        VirtualBatchNormalization.refresh(fresh, reference());
        errors.add(layers(fresh).get("layer5").referenceMoments().mean()[0]
            - seen.get(iteration).mean()[0]);
      }
    });
    List<DataSet> steps = new ArrayList<>();
    for (int step = 0; step < 5; step++) {
      steps.add(data(6, 100 + step));
    }
    network.fit(new ExistingDataSetIterator(steps)); // begins without a reference
    assertEquals(5, seen.size());
    assertEquals(0, errors.get(1));
    assertEquals(0, errors.get(3));
    assertNotEquals(0, errors.get(0));
    assertNotEquals(0, errors.get(4));
    assertEquals(seen.get(1), seen.get(2));
    assertNotEquals(seen.get(2), seen.get(3));
    MultiLayerNetwork atTheEnd = network.clone();
    VirtualBatchNormalization.refresh(atTheEnd, reference());
    assertSameStatistics(atTheEnd, network, 0);
  }

  /** Training with a refresh after each step is the same whether the listener does it or the user. */
  @Test
  void theListenerDisturbsNoStep() {
    MultiLayerNetwork listened = network(false);
    MultiLayerNetwork byHand = network(false);
    VirtualBatchNormalization.refresh(listened, reference());
    VirtualBatchNormalization.refresh(byHand, reference());
    listened.setListeners(new RefreshListener(new DataSet(reference(), null), 1));
    for (int step = 0; step < 4; step++) {
      listened.fit(data(6, step));
      byHand.fit(data(6, step));
      VirtualBatchNormalization.refresh(byHand, reference());
    }
    assertEquals(byHand.params(), listened.params());
    assertArrayEquals(
        byHand.params().data().asDouble(), listened.params().data().asDouble());
    assertSameStatistics(byHand, listened, 0);
    assertThrows(IllegalArgumentException.class, () -> new RefreshListener(reference(), 0));
  }

  /** A network is as it was where a layer behind fails. */
  @Test
  void aFailedRefreshKeepsTheReference() {
    MultiLayerNetwork network = network(false);
    VirtualBatchNormalization.refresh(network, reference());
    MultiLayerNetwork before = network.clone();
    assertThrows(
        Exception.class,
        () -> VirtualBatchNormalization.refresh(network, Nd4j.ones(DataType.DOUBLE, 3, 7)));
    assertSameStatistics(before, network, 0);
    INDArray x = Format.FF.batch(DataType.DOUBLE, 4, 1);
    assertArrayEquals(
        before.output(x).data().asDouble(), network.output(x).data().asDouble(), "still in use");
  }

  /** As of a stream: each batch once. */
  @SuppressWarnings("serial") // which nobody does
  private static final class Forward implements DataSetIterator {
    private final List<DataSet> parts;
    private int next;

    Forward(List<DataSet> parts) {
      this.parts = parts;
    }

    @Override
    public boolean hasNext() {
      return next < parts.size();
    }

    @Override
    public DataSet next() {
      if (!hasNext()) {
        throw new NoSuchElementException();
      }
      return parts.get(next++);
    }

    @Override
    public DataSet next(int examples) {
      return next();
    }

    @Override
    public boolean resetSupported() {
      return false;
    }

    @Override
    public void reset() {
      throw new UnsupportedOperationException();
    }

    @Override
    public boolean asyncSupported() {
      return false;
    }

    @Override
    public int inputColumns() {
      return Format.CHANNELS;
    }

    @Override
    public int totalOutcomes() {
      return Format.CLASSES;
    }

    @Override
    public int batch() {
      return EXAMPLES;
    }

    @Override
    public void setPreProcessor(DataSetPreProcessor preProcessor) {}

    @Override
    public DataSetPreProcessor getPreProcessor() {
      return null;
    }

    @Override
    public List<String> getLabels() {
      return List.of();
    }
  }
}
