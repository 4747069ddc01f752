package dev.vbn.dl4j;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.Variant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Random;
import org.deeplearning4j.datasets.iterator.ExistingDataSetIterator;
import org.deeplearning4j.nn.conf.ConvolutionMode;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.WorkspaceMode;
import org.deeplearning4j.nn.conf.constraint.MaxNormConstraint;
import org.deeplearning4j.nn.conf.constraint.NonNegativeConstraint;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ActivationLayer;
import org.deeplearning4j.nn.conf.layers.Convolution1DLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.memory.MemoryWorkspace;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.DataSet;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.learning.config.Sgd;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/** Training as DL4J does it. */
class TrainingTest {
  private static final int SAMPLES = 128;

  /** Sounds of two frequencies in noise, which convolutions tell apart. */
  private static DataSet sounds(int examples, long seed) {
    Random random = new Random(seed);
    float[] sounds = new float[examples * SAMPLES];
    float[] labels = new float[examples * 2];
    for (int i = 0; i < examples; i++) {
      double frequency = i % 2 == 0 ? 0.2 : 0.4;
      double phase = 2 * Math.PI * random.nextDouble();
      for (int j = 0; j < SAMPLES; j++) {
        sounds[i * SAMPLES + j] =
            (float) (Math.sin(frequency * j + phase) + 0.7 * random.nextGaussian());
      }
      labels[2 * i + i % 2] = 1;
    }
    return new DataSet(
        Nd4j.createFromArray(sounds).reshape(examples, 1, SAMPLES),
        Nd4j.createFromArray(labels).reshape(examples, 2));
  }

  private static MultiLayerNetwork classifier(Variant variant, WorkspaceMode workspaces) {
    var layers = new NeuralNetConfiguration.Builder()
        .seed(1)
        .updater(new Adam(0.01))
        .trainingWorkspaceMode(workspaces)
        .inferenceWorkspaceMode(workspaces)
        .list();
    for (int i = 0; i < 2; i++) {
      layers
          .layer(new Convolution1DLayer.Builder()
              .nOut(8)
              .kernelSize(7)
              .stride(2)
              .convolutionMode(ConvolutionMode.Same)
              .activation(Activation.IDENTITY)
              .build())
          .layer(new VirtualBatchNormalization.Builder().variant(variant).build())
          .layer(new ActivationLayer(Activation.LEAKYRELU));
    }
    MultiLayerNetwork network = new MultiLayerNetwork(layers
        .layer(new GlobalPoolingLayer(PoolingType.AVG))
        .layer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .setInputType(InputType.recurrent(1, SAMPLES))
        .build());
    network.init();
    return network;
  }

  private static void train(MultiLayerNetwork network, int steps) {
    List<DataSet> batches = new ArrayList<>();
    for (int step = 0; step < steps; step++) {
      batches.add(sounds(16, 1000 + step));
    }
    network.setListeners(new RefreshListener(sounds(32, 5).getFeatures(), 1));
    network.fit(new ExistingDataSetIterator(batches));
  }

  private static double accuracy(MultiLayerNetwork network) {
    DataSet test = sounds(100, 99);
    int right = 0;
    INDArray given = network.output(test.getFeatures()).argMax(1);
    INDArray expected = test.getLabels().argMax(1);
    for (int i = 0; i < 100; i++) {
      right += given.getInt(i) == expected.getInt(i) ? 1 : 0;
    }
    return right / 100.0;
  }

  @ParameterizedTest
  @EnumSource(
      value = Variant.class,
      names = {"LIVE_BATCH", "PER_EXAMPLE"})
  void aClassifierOfSoundsLearns(Variant variant) {
    MultiLayerNetwork network = classifier(variant, WorkspaceMode.ENABLED);
    train(network, 60);
    double accuracy = accuracy(network);
    assertTrue(accuracy >= 0.95, () -> "accuracy is " + accuracy);
  }

  /** What lies in a workspace is used within it alone, and nothing of it is left over. */
  @Test
  void workspacesChangeNoBit() {
    MultiLayerNetwork with = classifier(Variant.POOLED, WorkspaceMode.ENABLED);
    MultiLayerNetwork without = classifier(Variant.POOLED, WorkspaceMode.NONE);
    train(with, 5);
    train(without, 5);
    assertArrayEquals(without.params().data().asFloat(), with.params().data().asFloat());
    INDArray x = sounds(4, 3).getFeatures();
    float[] expected = without.output(x).data().asFloat();
    assertArrayEquals(expected, with.output(x).data().asFloat());
    try (MemoryWorkspace outer = Nd4j.getWorkspaceManager().getAndActivateWorkspace("outer")) {
      assertArrayEquals(expected, with.output(x, false, outer).data().asFloat());
    }
  }

  /** Each by the step of the network's updater, and without the regularization of weights. */
  @Test
  void gammaAndBetaAreTrainedByTheUpdater() {
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .seed(1)
        .dataType(DataType.DOUBLE)
        .updater(new Sgd(0.5))
        .l2(0.3)
        .list()
        .layer(new VirtualBatchNormalization())
        .layer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .setInputType(Format.FF.type)
        .build());
    network.init();
    VirtualBatchNormalization.refresh(network, Format.FF.batch(DataType.DOUBLE, 5, 1));
    INDArray before = network.params().dup();
    INDArray x = Format.FF.batch(DataType.DOUBLE, 4, 2);
    INDArray labels = Format.FF.labels(DataType.DOUBLE, 4);
    network.setInput(x);
    network.setLabels(labels);
    network.computeGradientAndScore();
    INDArray gradient = network.gradient().gradient().dup();
    network.fit(x, labels);
    int own = 2 * Format.CHANNELS;
    for (int i = 0; i < own; i++) {
      assertNotEquals(0, gradient.getDouble(i));
      assertEquals(
          before.getDouble(i) - 0.5 * gradient.getDouble(i) / 4,
          network.params().getDouble(i),
          1e-12);
    }
    assertEquals(0, network.getLayer(0).calcRegularizationScore(true));
    assertTrue(network.getLayer(1).calcRegularizationScore(true) > 0);
  }

  @Test
  void constraintsAreOfWhatTheyAreSetFor() {
    MultiLayerNetwork network = new MultiLayerNetwork(new NeuralNetConfiguration.Builder()
        .seed(1)
        .updater(new Sgd(1e-9))
        .list()
        .layer(new VirtualBatchNormalization.Builder()
            .constrainGamma(new MaxNormConstraint(0.5, 0))
            .constrainBeta(new NonNegativeConstraint())
            .build())
        .layer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .setInputType(Format.FF.type)
        .build());
    network.init();
    VirtualBatchNormalization.refresh(network, Format.FF.batch(DataType.FLOAT, 5, 1));
    network.getParam("0_beta").assign(-1);
    network.fit(Format.FF.batch(DataType.FLOAT, 4, 2), Format.FF.labels(DataType.FLOAT, 4));
    assertEquals(0.5, network.getParam("0_gamma").norm2Number().doubleValue(), 1e-5);
    assertEquals(0, network.getParam("0_beta").sumNumber().doubleValue());
  }

  /** Of the input, in training alone; its gradient is that of what was left. */
  @Test
  void dropoutIsOfTheInput() {
    MultiLayerNetwork network = Format.NCW.network(
        DataType.DOUBLE,
        new Sgd(0.1),
        new VirtualBatchNormalization.Builder().dropOut(0.5).build());
    VirtualBatchNormalization.refresh(network, Format.NCW.batch(DataType.DOUBLE, 5, 1));
    INDArray x = Format.NCW.batch(DataType.DOUBLE, 4, 2);
    assertArrayEquals(
        network.output(x).data().asDouble(), network.output(x).data().asDouble());
    double[] one = network.output(x, true).data().asDouble();
    assertFalse(Arrays.equals(one, network.output(x, true).data().asDouble()));
    network.fit(x, Format.NCW.labels(DataType.DOUBLE, 4));
    assertTrue(Double.isFinite(network.score()));
  }
}
