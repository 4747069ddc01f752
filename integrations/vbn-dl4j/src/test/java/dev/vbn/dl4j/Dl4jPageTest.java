package dev.vbn.dl4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.reference.ReferenceProvider;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.deeplearning4j.datasets.iterator.ExistingDataSetIterator;
import org.deeplearning4j.nn.conf.ConvolutionMode;
import org.deeplearning4j.nn.conf.MultiLayerConfiguration;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ActivationLayer;
import org.deeplearning4j.nn.conf.layers.Convolution1DLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.util.ModelSerializer;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/** The code of docs/DL4J.md runs here. */
class Dl4jPageTest {
  @TempDir
  private Path folder;

  private static MultiLayerConfiguration configuration() {
    MultiLayerConfiguration configuration = new NeuralNetConfiguration.Builder()
        .seed(1)
        .updater(new Adam(1e-3))
        .list()
        .layer(new Convolution1DLayer.Builder()
            .nOut(32)
            .kernelSize(31)
            .stride(2)
            .convolutionMode(ConvolutionMode.Same)
            .activation(Activation.IDENTITY)
            .build())
        .layer(new VirtualBatchNormalization.Builder()
            .variant(Variant.LIVE_BATCH)
            .servingVariant(Variant.REFERENCE_ONLY)
            .build())
        .layer(new ActivationLayer(Activation.LEAKYRELU))
        .layer(new GlobalPoolingLayer(PoolingType.AVG))
        .layer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .setInputType(InputType.recurrent(1, 1024))
        .build();
    return configuration;
  }

  private static MultiLayerNetwork train(INDArray referenceBatch, DataSetIterator data) {
    MultiLayerConfiguration configuration = configuration();
    MultiLayerNetwork network = new MultiLayerNetwork(configuration);
    network.init();
    network.setListeners(new RefreshListener(referenceBatch, 1));
    network.fit(data, 2);
    return network;
  }

  private static INDArray saveAndLoad(MultiLayerNetwork network, File file, INDArray x)
      throws IOException {
    ModelSerializer.writeModel(network, file, true);
    MultiLayerNetwork loaded = ModelSerializer.restoreMultiLayerNetwork(file);
    return loaded.output(x);
  }

  private static LayerState handOver(MultiLayerNetwork network, Path file) throws IOException {
    VirtualBatchNormLayer layer = VirtualBatchNormLayer.layersOf(network).get("layer1");
    layer.state().save(file);
    layer.setState(LayerState.load(file));
    return layer.state();
  }

  private static DataSet batch(long seed) {
    Nd4j.getRandom().setSeed(seed);
    INDArray labels = Nd4j.createFromArray(new float[][] {{1, 0}, {0, 1}, {1, 0}, {0, 1}});
    return new DataSet(Nd4j.randn(4, 1, 1024), labels);
  }

  @Test
  void trainSaveLoadAndHandOver() throws IOException {
    List<DataSet> batches = new ArrayList<>(List.of(batch(1), batch(2), batch(3)));
    INDArray reference = batch(4).getFeatures();
    MultiLayerNetwork network = train(reference, new ExistingDataSetIterator(batches));
    INDArray x = batch(5).getFeatures();
    assertArrayEquals(
        network.output(x).data().asFloat(),
        saveAndLoad(network, folder.resolve("network.zip").toFile(), x).data().asFloat());

    LayerState state = handOver(network, folder.resolve("layer.safetensors"));
    assertEquals(4, state.reference().examples());
    try (VbnBackend<HostTensor> backend = VbnBackend.open(new ReferenceProvider());
        VirtualBatchNorm<HostTensor> layer = state.layer(backend);
        ReferenceStatistics<HostTensor> statistics = state.statistics(backend)) {
      assertEquals(state.reference(), statistics.moments());
      assertEquals(Variant.LIVE_BATCH, layer.config().variant());
    }
  }

  @Test
  void referencesInOtherForms() {
    MultiLayerNetwork network = new MultiLayerNetwork(configuration());
    network.init();
    INDArray referenceBatch = batch(4).getFeatures();
    DataSetIterator data = new ExistingDataSetIterator(List.of(batch(1), batch(2)));
    ReferenceMoments moments = ReferenceMoments.of(new double[32], new double[32], 7, 8);
    VirtualBatchNormLayer layer = VirtualBatchNormLayer.layersOf(network).get("layer1");

    VirtualBatchNormalization.refresh(network, referenceBatch);
    assertEquals(4, layer.referenceMoments().examples());

    VirtualBatchNormalization.refresh(network, data);
    assertEquals(8, layer.referenceMoments().examples());

    VirtualBatchNormLayer.layersOf(network).get("layer1").setReference(moments);
    assertEquals(moments, layer.referenceMoments());

    VirtualBatchNormalization.setServingVariant(network, Variant.REFERENCE_ONLY);
    assertTrue(layer.hasReference());
  }
}
