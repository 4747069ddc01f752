package dev.vbn.dl4j;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.deeplearning4j.nn.api.ParamInitializer;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.layers.Layer;
import org.deeplearning4j.nn.params.BatchNormalizationParamInitializer;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;
import org.nd4j.linalg.indexing.NDArrayIndex;

/**
 * The parameters of a layer, one after the other in the network's, under the names that those of
 * {@code BatchNormalization} have: neither weights nor biases, and so without regularization.
 */
final class GammaAndBeta implements ParamInitializer {
  static final String GAMMA = BatchNormalizationParamInitializer.GAMMA;
  static final String BETA = BatchNormalizationParamInitializer.BETA;
  static final GammaAndBeta INSTANCE = new GammaAndBeta();

  private static final double GAMMA_MEAN = 1;
  private static final double GAMMA_DEVIATION = 0.02;

  private GammaAndBeta() {}

  private static VirtualBatchNormalization configuration(Layer layer) {
    return (VirtualBatchNormalization) layer;
  }

  @Override
  public long numParams(NeuralNetConfiguration network) {
    return numParams(network.getLayer());
  }

  @Override
  public long numParams(Layer layer) {
    return paramKeys(layer).size() * configuration(layer).getNOut();
  }

  @Override
  public List<String> paramKeys(Layer layer) {
    return configuration(layer).isLockGammaBeta() ? List.of() : List.of(GAMMA, BETA);
  }

  @Override
  public List<String> weightKeys(Layer layer) {
    return List.of();
  }

  @Override
  public List<String> biasKeys(Layer layer) {
    return List.of();
  }

  @Override
  public boolean isWeightParam(Layer layer, String key) {
    return false;
  }

  @Override
  public boolean isBiasParam(Layer layer, String key) {
    return false;
  }

  @Override
  public Map<String, INDArray> init(
      NeuralNetConfiguration network, @Nullable INDArray view, boolean initialize) {
    Map<String, INDArray> parameters = getGradientsFromFlattened(network, view);
    parameters.keySet().forEach(network::addVariable);
    INDArray gamma = parameters.get(GAMMA);
    INDArray beta = parameters.get(BETA);
    if (initialize && gamma != null && beta != null) {
      // From the generator that the network has seeded, as its weights are.
      gamma.assign(
          Nd4j.randn(gamma.dataType(), gamma.shape()).muli(GAMMA_DEVIATION).addi(GAMMA_MEAN));
      beta.assign(0);
    }
    return parameters;
  }

  /** Views of shape {@code [features]}, of parameters and of gradients alike. */
  @Override
  public Map<String, INDArray> getGradientsFromFlattened(
      NeuralNetConfiguration network, @Nullable INDArray view) {
    Map<String, INDArray> views = new LinkedHashMap<>();
    if (view != null) {
      INDArray flat = view.reshape(view.length());
      long features = configuration(network.getLayer()).getNOut();
      long at = 0;
      for (String key : paramKeys(network.getLayer())) {
        views.put(key, flat.get(NDArrayIndex.interval(at, at + features)));
        at += features;
      }
    }
    return views;
  }
}
