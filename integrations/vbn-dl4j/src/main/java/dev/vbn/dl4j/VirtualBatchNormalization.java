package dev.vbn.dl4j;

import static java.util.Objects.requireNonNull;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import org.deeplearning4j.nn.api.Layer;
import org.deeplearning4j.nn.api.Model;
import org.deeplearning4j.nn.api.ParamInitializer;
import org.deeplearning4j.nn.api.layers.LayerConstraint;
import org.deeplearning4j.nn.conf.CNN2DFormat;
import org.deeplearning4j.nn.conf.DataFormat;
import org.deeplearning4j.nn.conf.InputPreProcessor;
import org.deeplearning4j.nn.conf.NeuralNetConfiguration;
import org.deeplearning4j.nn.conf.RNNFormat;
import org.deeplearning4j.nn.conf.inputs.InputType;
import org.deeplearning4j.nn.conf.layers.Convolution3D;
import org.deeplearning4j.nn.conf.layers.FeedForwardLayer;
import org.deeplearning4j.nn.conf.layers.LayerValidation;
import org.deeplearning4j.nn.conf.memory.LayerMemoryReport;
import org.deeplearning4j.nn.conf.memory.MemoryReport;
import org.deeplearning4j.nn.conf.preprocessor.FeedForwardToCnnPreProcessor;
import org.deeplearning4j.optimize.api.TrainingListener;
import org.jspecify.annotations.Nullable;
import org.nd4j.linalg.activations.Activation;
import org.nd4j.linalg.activations.IActivation;
import org.nd4j.linalg.activations.impl.ActivationIdentity;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.dataset.api.DataSet;
import org.nd4j.linalg.dataset.api.MultiDataSet;
import org.nd4j.linalg.dataset.api.iterator.DataSetIterator;
import org.nd4j.linalg.dataset.api.iterator.MultiDataSetIterator;
import org.nd4j.linalg.learning.regularization.Regularization;
import org.nd4j.shade.jackson.annotation.JsonProperty;
import org.nd4j.shade.jackson.databind.annotation.JsonDeserialize;
import org.nd4j.shade.jackson.databind.annotation.JsonSerialize;

/**
 * Configuration of a virtual batch normalization layer, which goes where a
 * {@code BatchNormalization} stood. It has no activation function; an {@code ActivationLayer}
 * follows it.
 *
 * <p>Before the first batch it needs the statistics of a reference batch: {@link #refresh} takes
 * them for all such layers of a network. They are part of this configuration, in 64 bits whatever
 * the type of the network, and so of saved models, clones, JSON and YAML. Gradients treat them as
 * constants.
 *
 * <p>Inputs have rank 2 to 5. Which axis has the features follows from the input type of the network,
 * or else from {@link Builder#dataFormat}. What a features mask leaves out has no effect, and comes
 * out as 0.
 */
public final class VirtualBatchNormalization extends FeedForwardLayer {
  private static final long serialVersionUID = 1L;

  private static final Set<DataFormat> FEATURES_LAST =
      Set.of(RNNFormat.NWC, CNN2DFormat.NHWC, Convolution3D.DataFormat.NDHWC);

  private Variant variant;
  private @Nullable Variant servingVariant;
  private double eps;

  @SuppressWarnings("serial") // all that implement it are enums
  private @Nullable DataFormat dataFormat;

  private boolean lockGammaBeta;

  @JsonProperty
  @JsonSerialize(converter = SavedReference.Writer.class)
  @JsonDeserialize(converter = SavedReference.Reader.class)
  private @Nullable ReferenceMoments reference;

  /** The defaults of {@link Builder}. */
  public VirtualBatchNormalization() {
    this(new Builder());
  }

  private VirtualBatchNormalization(Builder builder) {
    super(builder);
    setActivationFn(new ActivationIdentity()); // or the network's default would be put there
    variant = builder.variant;
    servingVariant = builder.servingVariant;
    eps = builder.eps;
    dataFormat = builder.dataFormat;
    lockGammaBeta = builder.lockGammaBeta;
    setFeatures(features(builder));
    initializeConstraints(builder);
    constrain(GammaAndBeta.GAMMA, builder.gammaConstraints);
    constrain(GammaAndBeta.BETA, builder.betaConstraints);
    if (builder.reference != null) {
      setReference(builder.reference);
    }
  }

  private static long features(Builder builder) {
    long in = builder.getNIn();
    long out = builder.getNOut();
    if (in > 0 && out > 0 && in != out) {
      throw new IllegalArgumentException(
          "nIn is " + in + " and nOut " + out + "; expected one number of features");
    }
    return Math.max(in, out);
  }

  private void constrain(String key, List<LayerConstraint> constraints) {
    if (!constraints.isEmpty()) {
      List<LayerConstraint> all =
          new ArrayList<>(Objects.requireNonNullElse(getConstraints(), List.of()));
      for (LayerConstraint constraint : constraints) {
        LayerConstraint own = constraint.clone();
        own.setParams(new HashSet<>(Set.of(key)));
        all.add(own);
      }
      setConstraints(all);
    }
  }

  /**
   * Runs a network on its reference batch: every layer of virtual batch normalization in it that is
   * not frozen takes the statistics of what reaches it. All other layers are in inference mode. If it
   * fails, every layer keeps the reference that it had.
   *
   * @param network a {@code MultiLayerNetwork} or a {@code ComputationGraph}
   * @param inputs the reference batch, one array for each input of the network
   * @throws IllegalArgumentException if the network is neither of these, or has no such layer
   */
  public static void refresh(Model network, INDArray... inputs) {
    Refresh.of(network, inputs, null);
  }

  /** The same with the features of a data set, and their mask. */
  public static void refresh(Model network, DataSet reference) {
    Refresh.of(network, reference);
  }

  /** The same with the features of a data set for several inputs, and their masks. */
  public static void refresh(Model network, MultiDataSet reference) {
    Refresh.of(network, reference.getFeatures(), reference.getFeaturesMaskArrays());
  }

  /**
   * The same with an iterator, whose batches together are the reference batch: up to rounding, the
   * statistics are those of one array with all of it. One batch is held at a time. An iterator of
   * several batches is read once for each layer of virtual batch normalization.
   *
   * @throws IllegalArgumentException also if the iterator has no batch, or has to be read again and
   *     cannot be reset
   */
  public static void refresh(Model network, DataSetIterator reference) {
    Refresh.of(network, reference);
  }

  /** The same for a network of several inputs. */
  public static void refresh(Model network, MultiDataSetIterator reference) {
    Refresh.of(network, reference);
  }

  /**
   * Sets {@link #setServingVariant(Variant)} of every layer of virtual batch normalization of a
   * network.
   *
   * @param network a {@code MultiLayerNetwork} or a {@code ComputationGraph}
   * @throws IllegalArgumentException if the network has no such layer
   */
  public static void setServingVariant(Model network, @Nullable Variant variant) {
    VirtualBatchNormLayer.layersOf(network)
        .values()
        .forEach(layer -> layer.layerConf().setServingVariant(variant));
  }

  /** How live statistics are taken and weighed. */
  public Variant getVariant() {
    return variant;
  }

  /** How live statistics are taken and weighed. */
  public void setVariant(Variant variant) {
    this.variant = requireNonNull(variant, "variant is null; expected one of the five variants");
  }

  /** The variant outside training; null for that of training. */
  public @Nullable Variant getServingVariant() {
    return servingVariant;
  }

  /**
   * Sets the variant outside training, where it is to differ from that of training: for instance
   * {@link Variant#REFERENCE_ONLY}, so that an answer does not depend on what else is in its batch.
   *
   * @param servingVariant null for the variant of training
   */
  public void setServingVariant(@Nullable Variant servingVariant) {
    this.servingVariant = servingVariant;
  }

  /** Epsilon, added to the variance inside the root. */
  public double getEps() {
    return eps;
  }

  /**
   * Epsilon, added to the variance inside the root.
   *
   * @throws IllegalArgumentException if it is not finite and above 0
   */
  public void setEps(double eps) {
    this.eps = requireEps(eps);
  }

  private static double requireEps(double eps) {
    return VbnConfig.of(1).withEpsilon(eps).epsilon();
  }

  /** The data format of the input; null where none was given, for features on axis 1. */
  public @Nullable DataFormat getDataFormat() {
    return dataFormat;
  }

  /** The data format of the input. */
  public void setDataFormat(@Nullable DataFormat dataFormat) {
    this.dataFormat = dataFormat;
  }

  /** Whether the layer is without gamma and beta. */
  public boolean isLockGammaBeta() {
    return lockGammaBeta;
  }

  /** Whether the layer is without gamma and beta. */
  public void setLockGammaBeta(boolean lockGammaBeta) {
    this.lockGammaBeta = lockGammaBeta;
  }

  /** Statistics of the reference batch; null where there are none yet. */
  public @Nullable ReferenceMoments reference() {
    return reference;
  }

  /**
   * Takes statistics that were measured elsewhere.
   *
   * @throws IllegalArgumentException if they are of a different number of features, or of no
   *     examples
   */
  void setReference(@Nullable ReferenceMoments moments) {
    if (moments != null && moments.isEmpty()) {
      throw new IllegalArgumentException(
          "moments are of no example; expected those of a reference batch");
    }
    if (moments != null && getNOut() > 0 && moments.features() != getNOut()) {
      throw new IllegalArgumentException("moments are of " + moments.features()
          + " features; expected " + getNOut() + ", as layer '" + getLayerName() + "' has");
    }
    reference = moments;
  }

  /** What the layer computes in training. */
  VbnConfig config() {
    return VbnConfig.of(Math.toIntExact(getNOut()))
        .withEpsilon(eps)
        .withFeatureAxis(dataFormat != null && FEATURES_LAST.contains(dataFormat) ? -1 : 1)
        .withVariant(variant);
  }

  @Override
  public VirtualBatchNormalization clone() {
    return (VirtualBatchNormalization) super.clone();
  }

  @Override
  public Layer instantiate(
      NeuralNetConfiguration network,
      @Nullable Collection<TrainingListener> listeners,
      int index,
      INDArray parameters,
      boolean initialize,
      DataType type) {
    LayerValidation.assertNOutSet("VirtualBatchNormalization", getLayerName(), index, getNOut());
    VirtualBatchNormLayer layer = new VirtualBatchNormLayer(network, type);
    layer.setListeners(listeners);
    layer.setIndex(index);
    layer.setParamsViewArray(parameters);
    layer.setParamTable(initializer().init(network, parameters, initialize));
    return layer;
  }

  @Override
  public ParamInitializer initializer() {
    return GammaAndBeta.INSTANCE;
  }

  @Override
  public InputType getOutputType(int index, InputType input) {
    features(input);
    return input;
  }

  /** Takes the number of features, where asked to, and the data format of the input. */
  @Override
  public void setNIn(InputType input, boolean override) {
    long features = features(input);
    if (getNIn() <= 0 || override) {
      setFeatures(features);
    }
    if (input instanceof InputType.InputTypeRecurrent recurrent) {
      dataFormat = recurrent.getFormat();
    } else if (input instanceof InputType.InputTypeConvolutional image) {
      dataFormat = image.getFormat();
    } else if (input instanceof InputType.InputTypeConvolutional3D volume) {
      dataFormat = volume.getDataFormat();
    }
  }

  private long features(@Nullable InputType input) {
    if (input instanceof InputType.InputTypeFeedForward flat) {
      return flat.getSize();
    } else if (input instanceof InputType.InputTypeRecurrent recurrent) {
      return recurrent.getSize();
    } else if (input instanceof InputType.InputTypeConvolutional image) {
      return image.getChannels();
    } else if (input instanceof InputType.InputTypeConvolutional3D volume) {
      return volume.getChannels();
    } else if (input instanceof InputType.InputTypeConvolutionalFlat rows) {
      return rows.getDepth();
    }
    throw new IllegalStateException("input of layer '" + getLayerName() + "' is of type " + input
        + "; expected one of DL4J's, feed-forward, recurrent or convolutional");
  }

  /** Sets that of the outputs too: this layer has as many. */
  @Override
  public void setNIn(long features) {
    setFeatures(features);
  }

  /** Sets that of the inputs too: this layer has as many. */
  @Override
  public void setNOut(long features) {
    setFeatures(features);
  }

  /** Statistics of another number of features are forgotten, as where a network is built anew. */
  private void setFeatures(long features) {
    super.setNIn(features);
    super.setNOut(features);
    if (reference != null && reference.features() != features) {
      reference = null;
    }
  }

  @Override
  public @Nullable InputPreProcessor getPreProcessorForInputType(InputType input) {
    return input instanceof InputType.InputTypeConvolutionalFlat rows
        ? new FeedForwardToCnnPreProcessor(rows.getHeight(), rows.getWidth(), rows.getDepth())
        : null;
  }

  /** None: gamma and beta are not regularized, as those of {@code BatchNormalization}. */
  @Override
  public @Nullable List<Regularization> getRegularizationByParam(String name) {
    return null;
  }

  @Override
  public LayerMemoryReport getMemoryReport(InputType input) {
    long parameters = initializer().numParams(this);
    long updater = parameters == 0 ? 0 : getIUpdater().stateSize(parameters);
    // Activations are in the report by themselves. Statistics are doubles, 4 arrays at a time.
    return new LayerMemoryReport.Builder(
            getLayerName(), VirtualBatchNormalization.class, input, getOutputType(-1, input))
        .standardMemory(parameters, updater)
        .workingMemory(8 * getNOut(), 0, 8 * getNOut(), 0)
        .cacheMemory(MemoryReport.CACHE_MODE_ALL_ZEROS, MemoryReport.CACHE_MODE_ALL_ZEROS)
        .build();
  }

  @Override
  protected boolean canEqual(Object other) {
    return other instanceof VirtualBatchNormalization;
  }

  @Override
  public boolean equals(@Nullable Object object) {
    return object instanceof VirtualBatchNormalization other
        && super.equals(other)
        && variant == other.variant
        && servingVariant == other.servingVariant
        && eps == other.eps
        && Objects.equals(dataFormat, other.dataFormat)
        && lockGammaBeta == other.lockGammaBeta
        && Objects.equals(reference, other.reference);
  }

  @Override
  public int hashCode() {
    return Objects.hash(
        super.hashCode(), variant, servingVariant, eps, dataFormat, lockGammaBeta, reference);
  }

  /** Name and settings. */
  @Override
  public String toString() {
    return "VirtualBatchNormalization(layerName=" + getLayerName() + ", nOut=" + getNOut()
        + ", variant=" + variant + ", servingVariant=" + servingVariant + ", eps=" + eps
        + ", dataFormat=" + dataFormat + ", lockGammaBeta=" + lockGammaBeta + ", reference="
        + reference + ")";
  }

  /** Settings of a layer. Each is checked when it is given. */
  @SuppressWarnings("unchecked") // DL4J's build() is generic in what it returns
  public static final class Builder extends FeedForwardLayer.Builder<Builder> {
    private Variant variant = Variant.LIVE_BATCH;
    private @Nullable Variant servingVariant;
    private double eps = VbnConfig.DEFAULT_EPSILON;
    private @Nullable DataFormat dataFormat;
    private boolean lockGammaBeta;
    private @Nullable ReferenceMoments reference;
    private List<LayerConstraint> gammaConstraints = List.of();
    private List<LayerConstraint> betaConstraints = List.of();

    /** The defaults of {@link VbnConfig}. */
    public Builder() {}

    /** How live statistics are taken and weighed; default {@link Variant#LIVE_BATCH}. */
    public Builder variant(Variant variant) {
      this.variant = requireNonNull(variant, "variant is null; expected one of the five variants");
      return this;
    }

    /** The variant outside training; default that of training. */
    public Builder servingVariant(Variant servingVariant) {
      this.servingVariant =
          requireNonNull(servingVariant, "servingVariant is null; expected one of the five");
      return this;
    }

    /** Epsilon, added to the variance inside the root; default 1e-5. */
    public Builder eps(double eps) {
      this.eps = requireEps(eps);
      return this;
    }

    /**
     * The data format of the input, where the network has no input type to take it from: {@code NCW},
     * {@code NWC}, {@code NCHW}, {@code NHWC}, {@code NCDHW} or {@code NDHWC}; default features on
     * axis 1.
     */
    public Builder dataFormat(DataFormat dataFormat) {
      this.dataFormat =
          requireNonNull(dataFormat, "dataFormat is null; expected one such as RNNFormat.NCW");
      return this;
    }

    /**
     * Whether the layer is without gamma and beta; by default it has them. Gamma is drawn from N(1,
     * 0.02) by the network's seed, beta begins as 0, and the network's updater trains them.
     */
    public Builder lockGammaBeta(boolean lockGammaBeta) {
      this.lockGammaBeta = lockGammaBeta;
      return this;
    }

    /** Statistics of the reference batch that were measured elsewhere; default none yet. */
    public Builder reference(ReferenceMoments reference) {
      this.reference = requireNonNull(reference, "reference is null; expected moments");
      return this;
    }

    /** Constraints on gamma after each step; default none. */
    public Builder constrainGamma(LayerConstraint... constraints) {
      gammaConstraints = Arrays.asList(constraints);
      return this;
    }

    /** Constraints on beta after each step; default none. */
    public Builder constrainBeta(LayerConstraint... constraints) {
      betaConstraints = Arrays.asList(constraints);
      return this;
    }

    /**
     * Refuses: this layer has no activation function.
     *
     * @throws IllegalArgumentException always
     */
    @Override
    public Builder activation(IActivation activation) {
      throw new IllegalArgumentException("activation is " + activation
          + "; expected none, and an ActivationLayer after this layer");
    }

    /**
     * Refuses, likewise.
     *
     * @throws IllegalArgumentException always
     */
    @Override
    public Builder activation(Activation activation) {
      throw new IllegalArgumentException("activation is " + activation
          + "; expected none, and an ActivationLayer after this layer");
    }

    /** The configuration. */
    @Override
    public VirtualBatchNormalization build() {
      return new VirtualBatchNormalization(this);
    }
  }
}
