package dev.vbn.djl;

import static java.util.Objects.requireNonNull;

import ai.djl.MalformedModelException;
import ai.djl.engine.Engine;
import ai.djl.ndarray.NDArray;
import ai.djl.ndarray.NDList;
import ai.djl.ndarray.NDManager;
import ai.djl.ndarray.index.NDIndex;
import ai.djl.ndarray.types.DataType;
import ai.djl.ndarray.types.Shape;
import ai.djl.nn.AbstractBlock;
import ai.djl.nn.Block;
import ai.djl.nn.Parameter;
import ai.djl.training.ParameterStore;
import ai.djl.training.initializer.Initializer;
import ai.djl.util.Pair;
import ai.djl.util.PairList;
import dev.vbn.Output;
import dev.vbn.ReferenceMoments;
import dev.vbn.ReferenceOutput;
import dev.vbn.ReferenceStatistics;
import dev.vbn.Variant;
import dev.vbn.VbnBackend;
import dev.vbn.VbnConfig;
import dev.vbn.VirtualBatchNorm;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import dev.vbn.tensor.Mask;
import java.io.DataInputStream;
import java.io.DataOutputStream;
import java.io.IOException;
import java.util.Arrays;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Function;
import java.util.function.UnaryOperator;
import org.jspecify.annotations.Nullable;

/**
 * Virtual batch normalization as a DJL block, for instance where a {@code BatchNorm} stood in a
 * {@code SequentialBlock}.
 *
 * <p>Before the first batch it needs a reference. {@link #refresh} runs a whole network on a frozen
 * reference batch, so that every such block in it takes the statistics of what reaches it; call it
 * once before training, or before every training step as Salimans et al. (2016) do. {@link
 * #setReference(NDArray)} and {@link #setReference(Iterable)} give one block the reference of its
 * own input. The statistics are parameters that are not trained, and are saved with the others.
 *
 * <p>{@link #state()} hands a trained block to other backends and to files that they read; {@link
 * Builder#optState} and {@link #setState} take one from there.
 *
 * <p>Training and prediction compute the same function, unless there is a {@link
 * #setServingVariant serving variant}. As with any block, forward passes may share it between
 * threads only while nobody sets a reference, loads or trains.
 *
 * <p>Padded batches have a second input that says which positions count: {@code new NDList(x,
 * lengths)}. What does not count has no effect, NaN included, and its output and gradient are 0.
 *
 * <ul>
 *   <li>INT32 or INT64 of shape {@code (N)}: how many positions of each example count, from the
 *       first on, along the first axis of {@code x} that is neither the batch's nor the features';
 *   <li>BOOLEAN or UINT8 of the shape of {@code x} without the feature axis: a mask, true (not 0)
 *       where a position counts.
 * </ul>
 *
 * <p>The block still yields one array. The reference batch of {@link #refresh} may have a second
 * input too, as any live batch may.
 *
 * <p>An array given for gamma or beta may have lengths of 1 next to that of the features, as
 * {@code (1, C, 1)} has.
 */
public final class VirtualBatchNormBlock extends AbstractBlock {
  private static final byte VERSION = 1;
  private static final float GAMMA_MEAN = 1;
  private static final float GAMMA_DEVIATION = 0.02f;

  /** One for each engine in use, for as long as the JVM runs: they hold nothing. */
  private static final Map<Engine, VbnBackend<NDArray>> BACKENDS = new ConcurrentHashMap<>();

  private final @Nullable Parameter gamma;
  private final @Nullable Parameter beta;
  private final Parameter mean;
  private final Parameter variance;

  /** Its number of features is 1 until the shape of the input is known. */
  private VbnConfig config;

  /** The layer to begin with; null to draw one. */
  private final @Nullable LayerState initial;

  /** The variant of prediction, where it differs from that of training. */
  private @Nullable Variant servingVariant;

  private @Nullable Reference reference;

  /** The reference of the step, connected to the frozen inputs by its gradient. */
  private @Nullable ReferenceStatistics<NDArray> attached;

  /** While {@link #refresh} runs: whether this is part of it, and what the pass has found. */
  private boolean refreshing;

  private @Nullable ReferenceStatistics<NDArray> found;

  /** What belongs to the values of the two statistics parameters; 0 for what is not known. */
  private record Reference(long examples, long elements) {
    static Reference of(ReferenceStatistics<?> statistics) {
      return new Reference(
          statistics.knowsExamples() ? statistics.examples() : 0,
          statistics.knowsElements() ? statistics.elements() : 0);
    }

    ReferenceMoments moments(double[] mean, double[] variance) {
      return examples == 0
          ? ReferenceMoments.of(mean, variance)
          : elements == 0
              ? ReferenceMoments.of(mean, variance, examples)
              : ReferenceMoments.of(mean, variance, examples, elements);
    }

    ReferenceStatistics<NDArray> wrap(VbnBackend<NDArray> backend, NDArray mean, NDArray variance) {
      return examples == 0
          ? ReferenceStatistics.wrap(backend, mean, variance)
          : elements == 0
              ? ReferenceStatistics.wrap(backend, mean, variance, examples)
              : ReferenceStatistics.wrap(backend, mean, variance, examples, elements);
    }
  }

  private VirtualBatchNormBlock(Builder builder) {
    super(VERSION);
    config = builder.config;
    initial = builder.state;
    servingVariant = builder.servingVariant;
    gamma = builder.scale
        ? parameter(
            "gamma",
            Parameter.Type.GAMMA,
            true,
            (manager, shape, type) ->
                manager.randomNormal(GAMMA_MEAN, GAMMA_DEVIATION, shape, type))
        : null;
    beta = builder.center ? parameter("beta", Parameter.Type.BETA, true, Initializer.ZEROS) : null;
    Initializer unset = VirtualBatchNormBlock::unsetStatistics;
    mean = parameter("referenceMean", Parameter.Type.RUNNING_MEAN, false, unset);
    variance = parameter("referenceVariance", Parameter.Type.RUNNING_VAR, false, unset);
  }

  private Parameter parameter(
      String name, Parameter.Type type, boolean trained, Initializer initializer) {
    return addParameter(Parameter.builder()
        .setName(name)
        .setType(type)
        .optRequiresGrad(trained)
        .optInitializer(initializer)
        .build());
  }

  private static NDArray unsetStatistics(NDManager manager, Shape shape, DataType type) {
    return manager.zeros(shape, DataType.FLOAT64);
  }

  private static VbnBackend<NDArray> backend(NDManager manager) {
    return BACKENDS.computeIfAbsent(
        manager.getEngine(), engine -> VbnBackend.open(DjlProvider.on(engine)));
  }

  /** A builder with the defaults of {@link VbnConfig}. */
  public static Builder builder() {
    return new Builder();
  }

  /**
   * Runs a network on its reference batch: each of its virtual batch normalizations normalises what
   * reaches it by that batch's own statistics, and keeps these as its reference.
   *
   * <p>Call it inside the gradient collector where {@link ReferenceGradient#ATTACHED} is to send
   * gradients through the reference pass too; then call it in every step, since a graph serves one
   * backward pass. If it fails, every block keeps the reference it had.
   *
   * @param network a block, or a tree of blocks, that is initialized
   * @param forward runs the network on inputs, for instance {@code trainer::forward}
   * @param batch the reference batch, as inputs of the network; stays the caller's
   * @throws IllegalArgumentException if the network has no virtual batch normalization
   * @throws IllegalStateException if one of them is not reached exactly once
   */
  public static void refresh(Block network, UnaryOperator<NDList> forward, NDList batch) {
    Map<String, VirtualBatchNormBlock> blocks = blocksOf(network);
    try (NDManager step = batch.head().getManager().newSubManager()) {
      NDList inputs = new NDList(batch.size());
      for (NDArray input : batch) {
        // A view of its own, so that what is computed from it belongs to the step.
        NDArray view = input.reshape(input.getShape());
        view.attach(step);
        inputs.add(view);
      }
      blocks.values().forEach(block -> block.refreshing = true);
      forward.apply(inputs).attach(step);
      blocks.forEach((name, block) -> {
        if (block.found == null) {
          throw new IllegalStateException(name + " was not reached by the reference batch; expected"
              + " a pass through every VirtualBatchNormBlock");
        }
      });
      blocks.values().forEach(VirtualBatchNormBlock::keepFound);
    } finally {
      blocks.values().forEach(VirtualBatchNormBlock::endRefresh);
    }
  }

  /** The blocks of a network by their paths in it. */
  static Map<String, VirtualBatchNormBlock> blocksOf(Block network) {
    Map<String, VirtualBatchNormBlock> blocks = new TreeMap<>();
    collect("", network, blocks);
    if (blocks.isEmpty()) {
      throw new IllegalArgumentException(
          "the network has no VirtualBatchNormBlock; expected at least one");
    }
    return blocks;
  }

  private static void collect(String name, Block block, Map<String, VirtualBatchNormBlock> blocks) {
    if (block instanceof VirtualBatchNormBlock virtual) {
      blocks.put(name.isEmpty() ? "the block" : name, virtual);
    }
    for (Pair<String, Block> child : block.getChildren()) {
      collect(
          name.isEmpty() ? child.getKey() : name + "_" + child.getKey(), child.getValue(), blocks);
    }
  }

  /**
   * Makes every virtual batch normalization of a network predict by a variant of its own, as
   * {@link #setServingVariant(Variant)} does.
   *
   * @throws IllegalArgumentException if the network has no virtual batch normalization
   */
  public static void setServingVariant(Block network, @Nullable Variant variant) {
    blocksOf(network).values().forEach(block -> block.setServingVariant(variant));
  }

  /**
   * Sets the variant of prediction, where it is to differ from that of training: for instance
   * {@link Variant#REFERENCE_ONLY} for a network trained as {@link Variant#LIVE_BATCH}, so that an
   * answer does not depend on what else is in its batch. It is not saved.
   *
   * @param variant null for the variant of training
   * @throws IllegalArgumentException if its weight depends on a count that the state of this block
   *     lacks
   */
  public void setServingVariant(@Nullable Variant variant) {
    if (variant != null && reference != null && reference.elements == 0) {
      state().withConfig(config.withVariant(variant)); // refuses
    }
    servingVariant = variant;
  }

  /**
   * Takes a batch of this block's input as its reference.
   *
   * @throws IllegalStateException if this block is not initialized
   */
  public void setReference(NDArray batch) {
    measure(layer -> layer.referenceStatistics(batch));
  }

  /**
   * Takes what counts of a batch of this block's input as its reference.
   *
   * @param counts lengths or a mask, as the second input of a forward pass
   * @throws IllegalArgumentException if it is neither, or does not fit the batch
   * @throws IllegalStateException if this block is not initialized
   */
  public void setReference(NDArray batch, NDArray counts) {
    measure(layer -> layer.withMask(mask(counts)).referenceStatistics(batch));
  }

  /**
   * Takes a batch of this block's input, in chunks along the batch axis, as its reference. One chunk
   * is used at a time.
   *
   * @throws IllegalStateException if this block is not initialized
   */
  public void setReference(Iterable<? extends NDArray> chunks) {
    measure(layer -> layer.referenceStatistics(chunks));
  }

  /**
   * Takes statistics that were measured elsewhere as the reference of this block's input.
   *
   * @throws IllegalArgumentException if they are of no examples, or of a different number of
   *     features
   * @throws IllegalStateException if this block is not initialized
   */
  public void setReference(ReferenceMoments moments) {
    if (moments.features() != config.features() && isInitialized()) {
      throw new IllegalArgumentException(
          "the reference has " + moments.features() + " features; expected " + config.features());
    }
    measure(layer -> ReferenceStatistics.of(layer.backend(), moments));
  }

  private void measure(
      Function<VirtualBatchNorm<NDArray>, ReferenceStatistics<NDArray>> measurement) {
    if (!isInitialized()) {
      throw new IllegalStateException("a reference was set before the block was initialized;"
          + " expected initialize(manager, type, inputShape) first");
    }
    VirtualBatchNorm<NDArray> layer =
        VirtualBatchNorm.of(backend(mean.getArray().getManager()), config);
    try (ReferenceStatistics<NDArray> statistics = measurement.apply(layer)) {
      keep(statistics);
      dropAttached();
    }
  }

  /** Whether there is a reference to normalise with. */
  public boolean hasReference() {
    return reference != null;
  }

  /**
   * The reference as plain numbers: to look at, to save, to hand to another block or backend.
   *
   * @throws IllegalStateException if there is none yet
   */
  public ReferenceMoments referenceMoments() {
    return requireReference()
        .moments(mean.getArray().toDoubleArray(), variance.getArray().toDoubleArray());
  }

  /**
   * All that this block is, free of DJL: to save as {@code .safetensors} or {@code .npz}, or to hand
   * to another backend. Without a reference where there is none yet.
   *
   * @throws IllegalStateException if this block is not initialized
   */
  public LayerState state() {
    if (!isInitialized()) {
      throw new IllegalStateException("the state was asked for before the block was initialized;"
          + " expected initialize(manager, type, inputShape) first");
    }
    return reference == null
        ? new LayerState(config, toHost(gamma), toHost(beta), null)
        : new LayerState(config, toHost(gamma), toHost(beta), referenceMoments());
  }

  private static @Nullable HostTensor toHost(@Nullable Parameter parameter) {
    if (parameter == null) {
      return null;
    }
    NDArray array = parameter.getArray();
    try (NDArray flat = array.reshape(new Shape(array.size()))) {
      return backend(array.getManager()).toHost(flat);
    }
  }

  /**
   * Takes the parameters and the reference of a layer that was saved or trained elsewhere, and
   * forgets its own. Gamma and beta are rounded to the type that they have here.
   *
   * @throws IllegalArgumentException if the layer is configured differently from this block (except
   *     for whether its reference is attached, and for its variant where this block has a serving
   *     variant), or lacks gamma or beta, or has one too many, or lacks a count that the serving
   *     variant depends on; this block is then left as it was
   * @throws IllegalStateException if this block is not initialized
   */
  public void setState(LayerState state) {
    requireNonNull(state, "state is null; expected that of a layer");
    if (!isInitialized()) {
      throw new IllegalStateException("a state was set before the block was initialized; expected"
          + " initialize(manager, type, inputShape) first, or builder().optState(state)");
    }
    VbnConfig given = state.config();
    requireEqual("features", given.features(), config.features());
    requireEqual("epsilon", given.epsilon(), config.epsilon());
    requireEqual("batch axis", given.batchAxis(), 0);
    requireEqual("feature axis", given.featureAxis(), config.featureAxis());
    requireEqual("last feature axis", given.lastFeatureAxis(), config.lastFeatureAxis());
    if (servingVariant == null) {
      requireEqual("variant", given.variant().label(), config.variant().label());
    }
    if (servingVariant != null) {
      state.withConfig(given.withVariant(servingVariant)); // refuses, where a count is not known
    }
    requirePart("gamma", "optScale", state.gamma(), gamma);
    requirePart("beta", "optCenter", state.beta(), beta);
    assign(gamma, state.gamma());
    assign(beta, state.beta());
    config = config.withVariant(given.variant());
    dropAttached();
    reference = null;
    if (state.reference() != null) {
      setReference(state.reference());
    }
  }

  private static void requireEqual(String name, Object given, Object expected) {
    if (!given.equals(expected)) {
      throw new IllegalArgumentException(
          "the state has " + name + " " + given + "; expected " + expected + ", as this block has");
    }
  }

  private static void requirePart(
      String name, String option, @Nullable HostTensor given, @Nullable Parameter own) {
    if ((given == null) != (own == null)) {
      throw new IllegalArgumentException("the state has "
          + (given == null
              ? "no " + name + "; expected one, or a block built with " + option + "(false)"
              : name + "; expected none, or a block built with " + option + "(true)"));
    }
  }

  private static void assign(@Nullable Parameter parameter, @Nullable HostTensor value) {
    if (parameter != null && value != null) {
      NDArray array = parameter.getArray();
      VbnBackend<NDArray> backend = backend(array.getManager());
      try (NDArray flat = backend.fromHost(value, backend.dtype(array));
          NDArray shaped = flat.reshape(array.getShape())) {
        assign(parameter, shaped);
      }
    }
  }

  /** What this block computes; the number of features is 1 until it is known. */
  public VbnConfig config() {
    return config;
  }

  @Override
  public Shape[] getOutputShapes(Shape[] inputShapes) {
    features(inputShapes);
    return new Shape[] {inputShapes[0]};
  }

  @Override
  public void initialize(NDManager manager, DataType dataType, Shape... inputShapes) {
    // Parameters have 32 bits even with batches of 16.
    DataType type = dataType == DataType.FLOAT64 ? DataType.FLOAT64 : DataType.FLOAT32;
    boolean loaded = isInitialized();
    super.initialize(manager, type, inputShapes);
    if (initial != null && !loaded) {
      setState(initial);
    }
  }

  @Override
  protected void prepare(Shape[] inputShapes) {
    int features = features(inputShapes);
    if (initial != null && features != initial.config().features()) {
      throw new IllegalArgumentException("the input has " + features + " features; expected "
          + initial.config().features() + ", as the state that the block was built with");
    }
    setFeatures(features);
    Shape shape = new Shape(config.features());
    for (Parameter parameter : getDirectParameters().values()) {
      if (!parameter.isInitialized()) { // by setArray
        parameter.setShape(shape);
      }
    }
  }

  /** The number of features that a shape gives, in which lengths of other axes may be unknown. */
  private int features(Shape[] inputShapes) {
    requireInputs(inputShapes.length, "input shapes");
    long[] shape = inputShapes[0].getShape().clone();
    int axis =
        config.featureAxis() < 0 ? config.featureAxis() + shape.length : config.featureAxis();
    for (int i = 0; i < shape.length; i++) {
      if (i != axis && shape[i] < 0) {
        shape[i] = 1;
      }
    }
    return Math.toIntExact(Geometry.of(shape, config.featureAxis()).features());
  }

  private static void requireInputs(int count, String what) {
    if (count < 1 || count > 2) {
      throw new IllegalArgumentException("the block was given " + count + " " + what
          + "; expected one, or two where the second says what counts");
    }
  }

  /** What a second input means. */
  private static Mask mask(NDArray counts) {
    DataType type = counts.getDataType();
    long[] shape = counts.getShape().getShape();
    if (shape.length == 1 && type == DataType.INT64) {
      return Mask.lengths(counts.toLongArray());
    }
    if (shape.length == 1 && type == DataType.INT32) {
      return Mask.lengths(Arrays.stream(counts.toIntArray()).asLongStream().toArray());
    }
    if (type != DataType.BOOLEAN && type != DataType.UINT8) {
      throw new IllegalArgumentException("what counts is " + type + " of shape "
          + counts.getShape()
          + "; expected lengths, INT32 or INT64 of shape (N), or a mask, BOOLEAN"
          + " or UINT8 of the shape of the input without the feature axis");
    }
    if (type == DataType.BOOLEAN) {
      return Mask.of(counts.toBooleanArray(), shape);
    }
    int[] numbers = counts.toUint8Array();
    boolean[] values = new boolean[numbers.length];
    for (int i = 0; i < values.length; i++) {
      values[i] = numbers[i] != 0;
    }
    return Mask.of(values, shape);
  }

  private void setFeatures(int features) {
    config = VbnConfig.of(features)
        .withEpsilon(config.epsilon())
        .withFeatureAxis(config.featureAxis())
        .withVariant(config.variant())
        .withReferenceGradient(config.referenceGradient());
  }

  @Override
  protected NDList forwardInternal(
      ParameterStore parameterStore,
      NDList inputs,
      boolean training,
      @Nullable PairList<String, Object> params) {
    requireInputs(inputs.size(), "inputs");
    NDArray x = inputs.head();
    try (NDArray scale = value(parameterStore, gamma, x, training);
        NDArray offset = value(parameterStore, beta, x, training)) {
      VirtualBatchNorm<NDArray> layer = VirtualBatchNorm.of(
          backend(x.getManager()),
          training || servingVariant == null ? config : config.withVariant(servingVariant));
      if (scale != null) {
        layer = layer.withGamma(scale);
      }
      if (offset != null) {
        layer = layer.withBeta(offset);
      }
      if (inputs.size() == 2) {
        layer = layer.withMask(mask(inputs.get(1)));
      }
      if (refreshing) {
        return new NDList(referencePass(layer, x));
      }
      return new NDList(
          training && attached != null ? livePass(layer, x, attached) : detachedPass(layer, x));
    }
  }

  private NDArray referencePass(VirtualBatchNorm<NDArray> layer, NDArray x) {
    if (found != null) {
      throw new IllegalStateException(
          "the reference batch reached a VirtualBatchNormBlock twice; expected a block of its own"
              + " at each place");
    }
    try (ReferenceOutput<NDArray> pass = layer.reference(x)) {
      found = pass.takeStatistics();
      return pass.takeOutput();
    }
  }

  private static NDArray livePass(
      VirtualBatchNorm<NDArray> layer, NDArray x, ReferenceStatistics<NDArray> statistics) {
    try (Output<NDArray> live = layer.forward(x, statistics)) {
      return live.takeOutput();
    }
  }

  /**
   * With the values of the parameters. Copies, because the next refresh may come before the
   * backward pass, and must not change what automatic differentiation has recorded.
   */
  private NDArray detachedPass(VirtualBatchNorm<NDArray> layer, NDArray x) {
    Reference counts = requireReference();
    try (NDArray meanCopy = copy(mean, x.getManager());
        NDArray varianceCopy = copy(variance, x.getManager());
        ReferenceStatistics<NDArray> statistics =
            counts.wrap(layer.backend(), meanCopy, varianceCopy)) {
      return livePass(layer, x, statistics);
    }
  }

  /** A view of a parameter, of one axis if the others are of length 1. */
  private @Nullable NDArray value(
      ParameterStore store, @Nullable Parameter parameter, NDArray x, boolean training) {
    if (parameter == null) {
      return null;
    }
    NDArray array = store.getValue(parameter, x.getDevice(), training);
    Shape shape = array.getShape();
    Shape perFeature = new Shape(config.features());
    boolean oneAxis = shape.size() == config.features()
        && Arrays.stream(shape.getShape()).filter(length -> length != 1).count() <= 1;
    NDArray view = array.reshape(oneAxis ? perFeature : shape);
    view.attach(x.getManager());
    return view;
  }

  private Reference requireReference() {
    if (reference == null) {
      throw new IllegalStateException("no reference is set; expected"
          + " VirtualBatchNormBlock.refresh(network, forward, batch), setReference(batch) or"
          + " loadParameters before the first batch");
    }
    return reference;
  }

  private static NDArray copy(Parameter parameter, NDManager manager) {
    NDArray copy = parameter.getArray().toDevice(manager.getDevice(), true);
    copy.attach(manager);
    return copy;
  }

  private void keepFound() {
    ReferenceStatistics<NDArray> statistics = requireNonNull(found);
    keep(statistics);
    dropAttached();
    if (config.referenceGradient() == ReferenceGradient.ATTACHED) {
      NDManager manager = mean.getArray().getManager();
      statistics.mean().attach(manager);
      statistics.variance().attach(manager);
      attached = statistics;
      found = null;
    }
  }

  private void endRefresh() {
    refreshing = false;
    if (found != null) {
      found.close();
      found = null;
    }
  }

  private void keep(ReferenceStatistics<NDArray> statistics) {
    assign(mean, statistics.mean());
    assign(variance, statistics.variance());
    reference = Reference.of(statistics);
  }

  /** Assigns in place: the trainer knows a parameter by its array. */
  private static void assign(Parameter parameter, NDArray value) {
    NDArray array = parameter.getArray();
    try (NDArray constant = value.stopGradient();
        NDArray here = constant.toDevice(array.getDevice(), false)) {
      array.set(new NDIndex(":"), here);
    }
  }

  private void dropAttached() {
    if (attached != null) {
      attached.close();
      attached = null;
    }
  }

  @Override
  public void clear() {
    dropAttached();
    reference = null;
    super.clear();
  }

  @Override
  protected void saveMetadata(DataOutputStream os) throws IOException {
    saveInputShapes(os);
    os.writeInt(config.features());
    os.writeDouble(config.epsilon());
    os.writeInt(config.featureAxis());
    os.writeUTF(config.variant().label());
    os.writeBoolean(gamma != null);
    os.writeBoolean(beta != null);
    os.writeBoolean(reference != null);
    if (reference != null) {
      os.writeLong(reference.examples);
      os.writeLong(reference.elements);
    }
  }

  @Override
  protected void loadMetadata(byte loadVersion, DataInputStream is)
      throws IOException, MalformedModelException {
    Shape[] shapes = inputShapes;
    super.loadMetadata(loadVersion, is);
    boolean accepted = false;
    try {
      int features = is.readInt();
      if (shapes != null) {
        requireSame("features", features, config.features());
      }
      requireSame("epsilon", is.readDouble(), config.epsilon());
      requireSame("feature axis", is.readInt(), config.featureAxis());
      Variant variant = variant(is.readUTF());
      requireSame("scale", is.readBoolean(), gamma != null);
      requireSame("center", is.readBoolean(), beta != null);
      Reference loaded = null;
      if (is.readBoolean()) {
        loaded = new Reference(is.readLong(), is.readLong());
      }
      setFeatures(features);
      config = config.withVariant(variant);
      dropAttached();
      reference = loaded;
      accepted = true;
    } finally {
      if (!accepted) {
        inputShapes = shapes;
      }
    }
  }

  /** The variant of a label; one that is not this block's is taken only with a serving variant. */
  private Variant variant(String label) throws MalformedModelException {
    if (servingVariant == null) {
      requireSame("variant", label, config.variant().label());
    }
    try {
      return Variant.of(label);
    } catch (IllegalArgumentException e) {
      throw new MalformedModelException("the saved VirtualBatchNormBlock: " + e.getMessage(), e);
    }
  }

  private static void requireSame(String name, Object saved, Object expected)
      throws MalformedModelException {
    if (!saved.equals(expected)) {
      throw new MalformedModelException(
          "the saved VirtualBatchNormBlock has " + name + " " + saved + "; expected " + expected);
    }
  }

  /** Settings of a block. Each is checked when it is given. */
  public static final class Builder {
    private VbnConfig config = VbnConfig.of(1);
    private boolean scale = true;
    private boolean center = true;
    private @Nullable Variant servingVariant;
    private @Nullable LayerState state;

    private Builder() {}

    /**
     * The layer to begin with, in place of one whose gamma is drawn and that has no reference: its
     * configuration, gamma and beta, and reference.
     */
    public Builder optState(LayerState state) {
      this.state = requireNonNull(state, "state is null; expected that of a layer");
      requireEqual("batch axis", state.config().batchAxis(), 0);
      requireEqual(
          "last feature axis", state.config().lastFeatureAxis(), state.config().featureAxis());
      config = state.config();
      scale = state.gamma() != null;
      center = state.beta() != null;
      return this;
    }

    /** Epsilon, added to the variance inside the root; default 1e-5. */
    public Builder optEpsilon(double epsilon) {
      config = config.withEpsilon(epsilon);
      return this;
    }

    /** How live statistics are taken and weighed; default {@link Variant#LIVE_BATCH}. */
    public Builder optVariant(Variant variant) {
      config = config.withVariant(variant);
      return this;
    }

    /**
     * The variant of prediction, as {@link #setServingVariant(Variant)} has it; default that of
     * training. A block with one loads what was trained by any variant.
     */
    public Builder optServingVariant(Variant variant) {
      servingVariant = requireNonNull(variant, "variant is null; expected one of the five");
      return this;
    }

    /** Axis of the features, negative if counted from the end; default 1. */
    public Builder optAxis(int featureAxis) {
      config = config.withFeatureAxis(featureAxis);
      return this;
    }

    /** Whether the output is multiplied by the parameter gamma; default true. */
    public Builder optScale(boolean scale) {
      this.scale = scale;
      return this;
    }

    /** Whether the parameter beta is added to the output; default true. */
    public Builder optCenter(boolean center) {
      this.center = center;
      return this;
    }

    /** Whether gradients flow through the reference of {@link #refresh}; by default they do not. */
    public Builder optReferenceGradient(ReferenceGradient referenceGradient) {
      config = config.withReferenceGradient(referenceGradient);
      return this;
    }

    /** The block. */
    public VirtualBatchNormBlock build() {
      return new VirtualBatchNormBlock(this);
    }
  }
}
