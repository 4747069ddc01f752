package dev.vbn.dl4j;

import dev.vbn.Variant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.deeplearning4j.nn.conf.ConvolutionMode;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.ActivationLayer;
import org.deeplearning4j.nn.conf.layers.BatchNormalization;
import org.deeplearning4j.nn.conf.layers.ConvolutionLayer;
import org.deeplearning4j.nn.conf.layers.GlobalPoolingLayer;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.conf.layers.OutputLayer;
import org.deeplearning4j.nn.conf.layers.PoolingType;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.learning.config.Adam;
import org.nd4j.linalg.lossfunctions.LossFunctions.LossFunction;

/**
 * A training step of the same network with virtual batch normalization, with DL4J's {@code
 * BatchNormalization} and with none, in turn in one JVM: the table of docs/DL4J.md. Height 1, for
 * {@code BatchNormalization} takes no sequences. No test, by its name, and runs where it is named.
 */
class SpeedTable {
  private static final int WARM_UP = 15;
  private static final int ROUNDS = 40;
  private static final int EXAMPLES = 32;
  private static final int CHANNELS = 32;
  private static final int SAMPLES = 1024;

  private static MultiLayerNetwork network(@Nullable Layer normalization) {
    var layers =
        new NeuralNetConfiguration.Builder().seed(1).updater(new Adam(1e-3)).list();
    for (int i = 0; i < 2; i++) {
      layers.layer(new ConvolutionLayer.Builder(1, 5)
          .nOut(CHANNELS)
          .stride(1, 2)
          .convolutionMode(ConvolutionMode.Same)
          .activation(Activation.IDENTITY)
          .build());
      if (normalization != null) {
        layers.layer(normalization.clone());
      }
      layers.layer(new ActivationLayer(Activation.RELU));
    }
    MultiLayerNetwork network = new MultiLayerNetwork(layers
        .layer(new GlobalPoolingLayer(PoolingType.AVG))
        .layer(new OutputLayer.Builder(LossFunction.MCXENT)
            .nOut(2)
            .activation(Activation.SOFTMAX)
            .build())
        .setInputType(InputType.convolutional(1, SAMPLES, 1))
        .build());
    network.init();
    return network;
  }

  @Test
  void print() {
    INDArray x = Nd4j.randn(EXAMPLES, 1, 1, SAMPLES);
    INDArray labels = Nd4j.zeros(EXAMPLES, 2);
    for (int i = 0; i < EXAMPLES; i++) {
      labels.putScalar(i, i % 2, 1);
    }
    Map<String, MultiLayerNetwork> networks = new LinkedHashMap<>();
    networks.put("none", network(null));
    networks.put("BatchNormalization", network(new BatchNormalization()));
    for (Variant variant : Variant.values()) {
      MultiLayerNetwork network =
          network(new VirtualBatchNormalization.Builder().variant(variant).build());
      VirtualBatchNormalization.refresh(network, x);
      networks.put("VBN, " + variant.label(), network);
    }
    Map<String, List<Double>> times = new LinkedHashMap<>();
    for (int round = 0; round < WARM_UP + ROUNDS; round++) {
      for (Map.Entry<String, MultiLayerNetwork> each : networks.entrySet()) {
        long start = System.nanoTime();
        each.getValue().fit(x, labels);
        double time = (System.nanoTime() - start) / 1e6;
        if (round >= WARM_UP) {
          times.computeIfAbsent(each.getKey(), name -> new ArrayList<>()).add(time);
        }
      }
    }
    System.out.println("Java " + Runtime.version() + ", " + ROUNDS + " rounds");
    System.out.println(
        "| Normalization | step, ms | step / step with BatchNormalization, quartiles |");
    System.out.println("|---|---|---|");
    List<Double> theirs = times.get("BatchNormalization");
    times.forEach((name, own) -> {
      List<Double> ratios = new ArrayList<>();
      for (int i = 0; i < ROUNDS; i++) {
        ratios.add(own.get(i) / theirs.get(i));
      }
      System.out.printf(
          Locale.ROOT,
          "| %s | %.1f | %.2f, %.2f to %.2f |%n",
          name,
          at(own, 2),
          at(ratios, 2),
          at(ratios, 1),
          at(ratios, 3));
    });
  }

  private static double at(List<Double> values, int quartile) {
    return values.stream().sorted().toList().get(values.size() * quartile / 4);
  }
}
