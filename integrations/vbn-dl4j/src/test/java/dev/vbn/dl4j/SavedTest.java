package dev.vbn.dl4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.ComputationGraphConfiguration;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.constraint.NonNegativeConstraint;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.layers.FrozenLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.transferlearning.FineTuneConfiguration;
import org.deeplearning4j.nn.transferlearning.TransferLearning;
import org.deeplearning4j.nn.weights.WeightInit;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/** Networks that are saved, copied, and built on; in 32 bits, which statistics do not have. */
class SavedTest {
  @TempDir
  private Path folder;

  private static MultiLayerNetwork trained(Format format, Variant variant) {
    MultiLayerNetwork network = format.network(
        DataType.FLOAT,
        new Adam(0.01),
        new VirtualBatchNormalization.Builder().variant(variant).build());
    VirtualBatchNormalization.refresh(network, format.batch(DataType.FLOAT, 5, 1));
    network.fit(data(format, 1));
    VirtualBatchNormalization.refresh(network, format.batch(DataType.FLOAT, 5, 1));
    return network;
  }

  private static DataSet data(Format format, long seed) {
    return new DataSet(format.batch(DataType.FLOAT, 4, seed), format.labels(DataType.FLOAT, 4));
  }

  private static VirtualBatchNormLayer layer(Model network) {
    Map<String, VirtualBatchNormLayer> layers = VirtualBatchNormLayer.layersOf(network);
    return layers.get(network instanceof ComputationGraph ? "1" : "layer1");
  }

  private static ReferenceMoments moments(Model network) {
    return layer(network).referenceMoments();
  }

  private static float[] floats(INDArray array) {
    return array.dup('c').data().asFloat();
  }

  private static float[] output(Model network, INDArray x) {
    return floats(
        network instanceof ComputationGraph graph
            ? graph.outputSingle(x)
            : ((MultiLayerNetwork) network).output(x));
  }

  private static void fit(Model network, DataSet data) {
    if (network instanceof ComputationGraph graph) {
      graph.fit(data);
    } else {
      ((MultiLayerNetwork) network).fit(data);
    }
  }

  private static void assertSameBits(Format format, Model expected, Model actual) {
    INDArray x = format.batch(DataType.FLOAT, 3, 9);
    assertArrayEquals(output(expected, x), output(actual, x));
    assertArrayEquals(floats(expected.params()), floats(actual.params()));
    assertEquals(moments(expected), moments(actual));
  }

  private static void assertIs64Bit(ReferenceMoments moments) {
    assertNotEquals((float) moments.mean()[0], moments.mean()[0]);
  }

  @ParameterizedTest
  @EnumSource(Format.class)
  void aSavedNetworkGivesTheSameBitsAndTrainsOn(Format format) throws IOException {
    MultiLayerNetwork network = trained(format, Variant.POOLED);
    assertIs64Bit(moments(network));
    for (Model saved : List.of(network, network.toComputationGraph())) {
      File file = folder.resolve("network.zip").toFile();
      ModelSerializer.writeModel(saved, file, true);
      Model loaded = saved instanceof ComputationGraph
          ? ModelSerializer.restoreComputationGraph(file)
          : ModelSerializer.restoreMultiLayerNetwork(file);
      assertSameBits(format, saved, loaded);
      fit(saved, data(format, 2));
      fit(loaded, data(format, 2));
      assertSameBits(format, saved, loaded);
    }
  }

  @ParameterizedTest
  @EnumSource(Variant.class)
  void clonesAreTheSameAndApart(Variant variant) {
    Format format = Format.NCW;
    MultiLayerNetwork network = trained(format, variant);
    ComputationGraph graph = network.toComputationGraph();
    assertSameBits(format, network, graph);
    for (Model each : List.of(network, graph)) {
      Model copy = each instanceof ComputationGraph original
          ? original.clone()
          : ((MultiLayerNetwork) each).clone();
      assertSameBits(format, each, copy);
      ReferenceMoments before = moments(each);
      float[] output = output(each, format.batch(DataType.FLOAT, 3, 9));
      fit(copy, data(format, 3));
      VirtualBatchNormalization.refresh(copy, format.batch(DataType.FLOAT, 5, 4));
      VirtualBatchNormalization.setServingVariant(copy, Variant.REFERENCE_ONLY);
      assertNotEquals(before, moments(copy));
      assertEquals(before, moments(each));
      assertArrayEquals(output, output(each, format.batch(DataType.FLOAT, 3, 9)));
    }
  }

  static Stream<VirtualBatchNormalization> configurations() {
    double[] hard = {0.1 + 0.2, Double.MIN_VALUE, -Double.MAX_VALUE, 1e17 / 3, Double.NaN};
    double[] variance = {1.0 / 3, 0, Double.MIN_NORMAL, Double.POSITIVE_INFINITY, Math.PI};
    return Stream.of(
        new VirtualBatchNormalization.Builder()
            .nOut(5)
            .variant(Variant.PER_EXAMPLE)
            .servingVariant(Variant.REFERENCE_ONLY)
            .eps(0.1 + 0.2)
            .dataFormat(CNN2DFormat.NHWC)
            .lockGammaBeta(true)
            .reference(ReferenceMoments.of(hard, variance, 1L << 40, 1L << 60))
            .build(),
        new VirtualBatchNormalization.Builder()
            .nIn(5)
            .name("of few words")
            .constrainGamma(new NonNegativeConstraint())
            .reference(ReferenceMoments.of(hard, variance, 3))
            .build(),
        new VirtualBatchNormalization.Builder()
            .nOut(5)
            .reference(ReferenceMoments.of(hard, variance))
            .build(),
        new VirtualBatchNormalization.Builder().nOut(5).build());
  }

  @ParameterizedTest
  @MethodSource("configurations")
  void jsonAndYamlHaveEveryBit(VirtualBatchNormalization layer) throws Exception {
    MultiLayerConfiguration network =
        new NeuralNetConfiguration.Builder().list().layer(layer).build();
    ComputationGraphConfiguration graph = new NeuralNetConfiguration.Builder()
        .graphBuilder()
        .addInputs("x")
        .addLayer("norm", layer.clone(), "x")
        .setOutputs("norm")
        .build();
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(layer);
    }
    try (ObjectInputStream in =
        new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
      assertSame(layer, (VirtualBatchNormalization) in.readObject());
    }
    for (MultiLayerConfiguration read : List.of(
        MultiLayerConfiguration.fromJson(network.toJson()),
        MultiLayerConfiguration.fromYaml(network.toYaml()),
        network.clone())) {
      assertEquals(network, read);
      assertSame(layer, (VirtualBatchNormalization) read.getConf(0).getLayer());
    }
    for (ComputationGraphConfiguration read : List.of(
        ComputationGraphConfiguration.fromJson(graph.toJson()),
        ComputationGraphConfiguration.fromYaml(graph.toYaml()),
        graph.clone())) {
      assertEquals(graph, read);
    }
  }

  private static void assertSame(VirtualBatchNormalization layer, VirtualBatchNormalization read) {
    assertEquals(layer, read);
    assertEquals(layer.hashCode(), read.hashCode());
    assertEquals(layer.reference(), read.reference());
    assertEquals(layer.config(), read.config());
    assertEquals(layer.getServingVariant(), read.getServingVariant());
    assertEquals(layer.isLockGammaBeta(), read.isLockGammaBeta());
    assertEquals(layer.getConstraints(), read.getConstraints());
    assertEquals(layer.toString(), read.toString());
  }

  /** Each difference is one to equals, so that the test above can fail. */
  @Test
  void configurationsThatDifferAreNotEqual() {
    List<VirtualBatchNormalization> all = configurations().toList();
    for (int i = 0; i < all.size(); i++) {
      for (int j = 0; j < all.size(); j++) {
        assertEquals(i == j, all.get(i).equals(all.get(j)), i + " and " + j);
      }
    }
  }

  @Test
  void jsonIsReadable() {
    String json = new NeuralNetConfiguration.Builder()
        .list()
        .layer(new VirtualBatchNormalization.Builder()
            .nOut(2)
            .reference(ReferenceMoments.of(new double[] {1, 2}, new double[] {3, 0.25}, 4, 8))
            .build())
        .build()
        .toJson();
    assertTrue(json.contains("\"@class\" : \"dev.vbn.dl4j.VirtualBatchNormalization\""), json);
    assertTrue(json.contains("\"mean\" : [ 1.0, 2.0 ]"), json);
    assertTrue(json.contains("\"variance\" : [ 3.0, 0.25 ]"), json);
    assertTrue(json.contains("\"examples\" : 4"), json);
    assertTrue(json.contains("\"variant\" : \"LIVE_BATCH\""), json);
  }

  private static OutputLayer newOutput(int classes) {
    return new OutputLayer.Builder(LossFunction.MCXENT)
        .nIn(3)
        .nOut(classes)
        .activation(Activation.SOFTMAX)
        .build();
  }

  /** What is frozen keeps parameters and reference; what is behind it is trained. */
  @Test
  void transferLearningFreezesALayerWithItsReference() throws IOException {
    Format format = Format.NCHW;
    MultiLayerNetwork source = trained(format, Variant.LIVE_BATCH);
    FineTuneConfiguration tuning =
        new FineTuneConfiguration.Builder().updater(new Adam(0.1)).seed(1).build();
    MultiLayerNetwork network = new TransferLearning.Builder(source)
        .fineTuneConfiguration(tuning)
        .setFeatureExtractor(2)
        .removeOutputLayer()
        .addLayer(newOutput(2))
        .build();
    ComputationGraph graph = new TransferLearning.GraphBuilder(source.toComputationGraph())
        .fineTuneConfiguration(tuning)
        .setFeatureExtractor("2")
        .removeVertexKeepConnections("4")
        .addLayer("4", newOutput(2), "3")
        .build();
    for (Model each : List.of(network, graph)) {
      assertEquals(moments(source), moments(each));
      VirtualBatchNormLayer frozen = layer(each);
      float[] gamma = floats(frozen.getParam("gamma"));
      fit(each, data(format, 3));
      assertArrayEquals(gamma, floats(frozen.getParam("gamma")));
      assertEquals(moments(source), moments(each));

      File file = folder.resolve("frozen.zip").toFile();
      ModelSerializer.writeModel(each, file, true);
      assertSameBits(
          format,
          each,
          each instanceof ComputationGraph
              ? ModelSerializer.restoreComputationGraph(file)
              : ModelSerializer.restoreMultiLayerNetwork(file));
    }
    assertInstanceOf(FrozenLayer.class, network.getLayer(1));
  }

  /** As many features as the convolution in front of it has now; their statistics are not known. */
  @Test
  void transferLearningThatChangesTheFeaturesForgetsTheReference() {
    Format format = Format.NCHW;
    MultiLayerNetwork source = trained(format, Variant.LIVE_BATCH);
    MultiLayerNetwork wider = new TransferLearning.Builder(source)
        .fineTuneConfiguration(
            new FineTuneConfiguration.Builder().updater(new Adam(0.1)).build())
        .nOutReplace(0, 5, WeightInit.XAVIER)
        .removeOutputLayer()
        .addLayer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nIn(5)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .build();
    VirtualBatchNormLayer layer = layer(wider);
    assertFalse(layer.hasReference());
    assertEquals(5, layer.state().config().features());
    VirtualBatchNormalization.refresh(wider, format.batch(DataType.FLOAT, 5, 1));
    assertEquals(5, layer.referenceMoments().features());
    wider.fit(data(format, 2));
    assertEquals(3, moments(source).features());
  }

  @Test
  void memoryReports() {
    MultiLayerConfiguration network = new NeuralNetConfiguration.Builder()
        .updater(new Adam())
        .list()
        .layer(new VirtualBatchNormalization())
        .setInputType(InputType.recurrent(4, 10))
        .build();
    String report = network.getMemoryReport(InputType.recurrent(4, 10)).toString();
    assertTrue(report.contains("VirtualBatchNormalization"), report);
  }

  /** DL4J adapts the next layer to a changed one, and no further: what follows is named. */
  @Test
  void theLayerBehindIsToldOfTheFeatures() {
    MultiLayerNetwork wider = new TransferLearning.Builder(trained(Format.FF, Variant.BATCH))
        .nOutReplace(0, 5, WeightInit.XAVIER)
        .nInReplace(4, 5, WeightInit.XAVIER)
        .build();
    VirtualBatchNormalization.refresh(wider, Format.FF.batch(DataType.FLOAT, 5, 1));
    wider.fit(data(Format.FF, 2));
    assertEquals(5, moments(wider).features());
  }
}
