package dev.vbn.dl4j;

import static java.util.Objects.requireNonNull;

import dev.vbn.Gradients;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.nd4j.Nd4jProvider;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import org.deeplearning4j.exception.DL4JInvalidInputException;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.gradient.DefaultGradient;
import org.deeplearning4j.nn.gradient.Gradient;
import org.deeplearning4j.nn.graph.ComputationGraph;
import org.deeplearning4j.nn.graph.vertex.GraphVertex;
import org.deeplearning4j.nn.layers.BaseLayer;
import org.deeplearning4j.nn.layers.wrapper.BaseWrapperLayer;
import org.deeplearning4j.nn.multilayer.MultiLayerNetwork;
import org.deeplearning4j.nn.workspace.ArrayType;
import org.deeplearning4j.nn.workspace.LayerWorkspaceMgr;
import org.jspecify.annotations.Nullable;
import org.nd4j.common.primitives.Pair;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;

/**
 * The layer that a network makes of a {@link VirtualBatchNormalization}. Its reference statistics are
 * those of its configuration.
 */
public final class VirtualBatchNormLayer extends BaseLayer<VirtualBatchNormalization> {
  private static final long serialVersionUID = 1L;

  /** For as long as the JVM runs: it holds nothing. */
  private static @Nullable VbnBackend<INDArray> backend;

  /** What {@link #statistics} were made of. */
  private @Nullable ReferenceMoments moments;

  /** The configuration's reference on the backend, made anew where that has changed. */
  private transient @Nullable ReferenceStatistics<INDArray> statistics;

  /** The variant of the last forward pass, and so of the backward pass. */
  private @Nullable Variant variant;

  /** Not null during a refresh. */
  private transient Refresh.@Nullable Measurement measurement;

  VirtualBatchNormLayer(NeuralNetConfiguration network, DataType type) {
    super(network, type);
  }

  private static synchronized VbnBackend<INDArray> backend() {
    if (backend == null) {
      backend = VbnBackend.open(new Nd4jProvider());
    }
    return backend;
  }

  /**
   * The virtual batch normalization layers of a network, by the name of the layer or, in a graph,
   * of the vertex. Those in wrappers, such as frozen ones, are included.
   *
   * @param network a {@code MultiLayerNetwork} or a {@code ComputationGraph}, which is initialized
   * @throws IllegalArgumentException if the network is neither of these, or has no such layer
   */
  public static Map<String, VirtualBatchNormLayer> layersOf(Model network) {
    Map<String, VirtualBatchNormLayer> layers = new LinkedHashMap<>();
    allLayersOf(network).forEach((name, layer) -> {
      VirtualBatchNormLayer inside = inside(layer);
      if (inside != null) {
        layers.put(name, inside);
      }
    });
    if (layers.isEmpty()) {
      throw new IllegalArgumentException(
          "the network has no layer of VirtualBatchNormalization; expected at least one");
    }
    return layers;
  }

  /** The layer itself, or what it wraps; null if that is of another kind. */
  static @Nullable VirtualBatchNormLayer inside(Layer layer) {
    return layer instanceof VirtualBatchNormLayer virtual
        ? virtual
        : layer instanceof BaseWrapperLayer wrapper ? inside(wrapper.getUnderlying()) : null;
  }

  /** Layers of all kinds, in the wrappers that they may have. */
  static Map<String, Layer> allLayersOf(Model network) {
    Map<String, Layer> layers = new LinkedHashMap<>();
    if (network instanceof MultiLayerNetwork list) {
      for (Layer layer : list.getLayers()) {
        String name = layer.conf().getLayer().getLayerName();
        layers.put(name == null ? "layer" + layers.size() : name, layer);
      }
    } else if (network instanceof ComputationGraph graph) {
      for (GraphVertex vertex : graph.getVertices()) {
        if (vertex.hasLayer()) {
          layers.put(vertex.getVertexName(), vertex.getLayer());
        }
      }
    } else {
      throw new IllegalArgumentException("the network is "
          + (network == null ? "null" : "a " + network.getClass().getName())
          + "; expected a MultiLayerNetwork or a ComputationGraph");
    }
    return layers;
  }

  void measure(Refresh.@Nullable Measurement measurement) {
    this.measurement = measurement;
  }

  @Override
  public Type type() {
    return Type.NORMALIZATION;
  }

  @Override
  public boolean isPretrainLayer() {
    return false;
  }

  @Override
  public INDArray activate(boolean training, LayerWorkspaceMgr workspaces) {
    assertInputSet(false);
    applyDropOutIfNecessary(training, workspaces);
    INDArray x = batch();
    INDArray y =
        workspaces.createUninitialized(ArrayType.ACTIVATIONS, x.dataType(), x.shape(), 'c');
    VirtualBatchNormalization configuration = layerConf();
    if (measurement != null) {
      measurement.pass(layer(x, configuration.getVariant()), x, y);
      return y;
    }
    Variant serving = training ? null : configuration.getServingVariant();
    variant = serving == null ? configuration.getVariant() : serving;
    layer(x, variant).forwardInto(y, x, statistics()).close();
    return y;
  }

  @Override
  public Pair<Gradient, INDArray> backpropGradient(INDArray epsilon, LayerWorkspaceMgr workspaces) {
    assertInputSet(true);
    INDArray x = batch();
    INDArray dx =
        workspaces.createUninitialized(ArrayType.ACTIVATION_GRAD, x.dataType(), x.shape(), 'c');
    Variant given = requireNonNull(variant, "backward before forward; expected activate first");
    Gradient gradient = new DefaultGradient();
    try (Gradients<INDArray> gradients =
        layer(x, given).backwardInto(dx, x, statistics(), epsilon.castTo(x.dataType()))) {
      put(gradient, GammaAndBeta.GAMMA, gradients.dgamma());
      put(gradient, GammaAndBeta.BETA, gradients.dbeta());
    }
    return new Pair<>(gradient, backpropDropOutIfPresent(dx));
  }

  /** Into the network's array of all gradients, of which each is a view. */
  private void put(Gradient gradient, String key, INDArray value) {
    INDArray view = gradientViews == null ? null : gradientViews.get(key);
    if (view != null) {
      gradient.setGradientFor(key, view.assign(value));
    }
  }

  private INDArray batch() {
    INDArray x = input.castTo(dataType);
    VbnConfig config = layerConf().config();
    int axis = featureAxis(config, x.rank());
    if (x.rank() < 2 || x.rank() > 5 || x.size(axis) != config.features()) {
      throw new DL4JInvalidInputException("input has shape " + Arrays.toString(x.shape())
          + "; expected rank 2 to 5 and " + config.features() + " features on axis "
          + config.featureAxis() + " " + layerId());
    }
    return x;
  }

  private static int featureAxis(VbnConfig config, int rank) {
    return config.featureAxis() < 0 ? rank - 1 : config.featureAxis();
  }

  /** With the parameters and the mask as they are now. */
  private VirtualBatchNorm<INDArray> layer(INDArray x, Variant variant) {
    VbnConfig config = layerConf().config().withVariant(variant);
    VirtualBatchNorm<INDArray> layer = VirtualBatchNorm.of(backend(), config);
    INDArray gamma = params.get(GammaAndBeta.GAMMA);
    INDArray beta = params.get(GammaAndBeta.BETA);
    if (gamma != null && beta != null) {
      DataType type = x.dataType() == DataType.DOUBLE ? DataType.DOUBLE : DataType.FLOAT;
      layer = layer.withGamma(gamma.castTo(type)).withBeta(beta.castTo(type));
    }
    return layer.withMask(FeatureMask.of(getMaskArray(), x.shape(), featureAxis(config, x.rank())));
  }

  private ReferenceStatistics<INDArray> statistics() {
    ReferenceMoments current = layerConf().reference();
    if (current == null) {
      throw new IllegalStateException("layer has no reference; expected"
          + " VirtualBatchNormalization.refresh(network, referenceBatch) first " + layerId());
    }
    if (statistics == null || moments == null || !moments.equals(current)) {
      if (statistics != null) {
        statistics.close();
      }
      statistics = ReferenceStatistics.of(backend(), current);
      moments = current;
    }
    return statistics;
  }

  /** Whether there is a reference to normalise with. */
  public boolean hasReference() {
    return layerConf().reference() != null;
  }

  /**
   * The reference as plain numbers.
   *
   * @throws IllegalStateException if there is none yet
   */
  public ReferenceMoments referenceMoments() {
    return statistics().moments();
  }

  /**
   * Takes statistics that were measured elsewhere as the reference of this layer's input.
   *
   * @throws IllegalArgumentException if they are of a different number of features, or of no
   *     examples
   */
  public void setReference(ReferenceMoments moments) {
    layerConf()
        .setReference(
            requireNonNull(moments, "moments is null; expected those of a reference batch"));
  }

  /**
   * All that this layer is, free of DL4J: to save as {@code .safetensors} or {@code .npz}, or to hand
   * to another backend. Without a reference where there is none yet.
   */
  public LayerState state() {
    VirtualBatchNormalization configuration = layerConf();
    return new LayerState(
        configuration.config(),
        toHost(GammaAndBeta.GAMMA),
        toHost(GammaAndBeta.BETA),
        configuration.reference());
  }

  private @Nullable HostTensor toHost(String key) {
    INDArray parameter = params.get(key);
    return parameter == null ? null : backend().toHost(parameter);
  }

  /**
   * Takes the parameters and the reference of a layer that was saved or trained elsewhere. Gamma and
   * beta are rounded to the type of the network.
   *
   * @throws IllegalArgumentException if the layer is configured differently from this one (except
   *     for whether its reference is attached), has gamma or beta where this one has none or vice
   *     versa, or has them in another shape; this layer is then left as it was
   */
  public void setState(LayerState state) {
    requireNonNull(state, "state is null; expected that of a layer");
    VbnConfig own = layerConf().config();
    VbnConfig given = state.config();
    if (!given.withReferenceGradient(own.referenceGradient()).equals(own)) {
      throw new IllegalArgumentException("the state has " + given + "; expected " + own
          + ", as layer '" + layerConf().getLayerName() + "' has");
    }
    requirePart(GammaAndBeta.GAMMA, state.gamma());
    requirePart(GammaAndBeta.BETA, state.beta());
    assign(GammaAndBeta.GAMMA, state.gamma());
    assign(GammaAndBeta.BETA, state.beta());
    layerConf().setReference(state.reference());
  }

  private void requirePart(String key, @Nullable HostTensor given) {
    INDArray own = params.get(key);
    if ((given == null) != (own == null)) {
      throw new IllegalArgumentException("the state has "
          + (given == null
              ? "no " + key + "; expected one, or a layer with lockGammaBeta(true)"
              : key + "; expected none, or a layer with lockGammaBeta(false)"));
    }
    if (given != null && own != null && !Arrays.equals(given.shape(), own.shape())) {
      throw new IllegalArgumentException("the state has " + key + " of shape "
          + Arrays.toString(given.shape()) + "; expected " + Arrays.toString(own.shape()));
    }
  }

  private void assign(String key, @Nullable HostTensor value) {
    INDArray own = params.get(key);
    if (own != null && value != null) {
      own.assign(backend().fromHost(value, backend().dtype(own)));
    }
  }
}
