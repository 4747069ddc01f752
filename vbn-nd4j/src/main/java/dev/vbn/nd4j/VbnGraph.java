package dev.vbn.nd4j;

import static java.nio.charset.StandardCharsets.UTF_8;

import dev.vbn.ReferenceMoments;
import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.state.LayerState;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;
import org.nd4j.linalg.api.ndarray.INDArray;
import org.nd4j.linalg.factory.Nd4j;

/**
 * Virtual batch normalization in a SameDiff graph, from elementary operations: ND4J's own batch norm
 * has wrong gradients there. Statistics are in 64 bits.
 *
 * <p>{@link #setState} puts a layer into a graph under a prefix,
 * {@link #normalize(SDVariable, String)} uses it, and {@link #state} takes it out again, trained or
 * loaded. Gamma and beta are variables there and the reference a constant. With your own arrays of
 * the graph in place of a layer, gradients reach whatever is a variable; hold the statistics as
 * constants or placeholders where they are to be detached.
 */
public final class VbnGraph {
  private static final String GAMMA = "gamma";
  private static final String BETA = "beta";
  private static final String MEAN = "reference_mean";
  private static final String VARIANCE = "reference_variance";
  private static final String EXAMPLES = "reference_examples";
  private static final String ELEMENTS = "reference_elements";
  private static final String VARIANT = "variant";
  private static final String EPSILON = "epsilon";
  private static final String FEATURE_AXIS = "feature_axis";
  private static final String REFERENCE_GRADIENT = "reference_gradient";

  private static final Nd4jTensors TENSORS = new Nd4jTensors();

  private VbnGraph() {}

  /**
   * Puts a layer into a graph: its gamma and beta as variables, all else as constants, each named as
   * in a state file. Where the graph has that layer already, it takes the numbers of this one;
   * gamma and beta are then rounded to the type that they have there.
   *
   * @param prefix of the names, such as {@code vbn1.}
   * @throws IllegalArgumentException if the layer has no reference; or if that of the graph is
   *     configured otherwise, or has gamma or beta where this one has none or vice versa; nothing
   *     is changed then
   */
  public static void setState(SameDiff graph, String prefix, LayerState state) {
    ReferenceMoments reference = state.reference();
    if (reference == null) {
      throw new IllegalArgumentException(
          "the state has no reference statistics; expected them: state.withReference(moments)");
    }
    VbnConfig config = state.config();
    axis(5, config);
    if (graph.hasVariable(prefix + MEAN)) {
      LayerState own = state(graph, prefix);
      requireSame(prefix, config, own.config());
      requireSame(prefix, held(state), held(own));
    } else {
      graph.constant(prefix + VARIANT, text(config.variant().label()));
      graph.constant(prefix + EPSILON, Nd4j.scalar(config.epsilon()));
      graph.constant(prefix + FEATURE_AXIS, Nd4j.scalar((long) config.featureAxis()));
      graph.constant(
          prefix + REFERENCE_GRADIENT, text(config.referenceGradient().name()));
    }
    put(graph, prefix + GAMMA, state.gamma());
    put(graph, prefix + BETA, state.beta());
    put(graph, prefix + MEAN, perFeature(reference.mean()));
    put(graph, prefix + VARIANCE, perFeature(reference.variance()));
    // An unknown count is 0: no variant that the state can have takes its weight from it.
    long examples = reference.knowsExamples() ? reference.examples() : 0;
    long elements = reference.knowsElements() ? reference.elements() : 0;
    put(graph, prefix + EXAMPLES, Nd4j.scalar(examples));
    put(graph, prefix + ELEMENTS, Nd4j.scalar(elements));
  }

  private static void requireSame(String prefix, Object given, Object own) {
    if (!given.equals(own)) {
      throw new IllegalArgumentException("the state has " + given + "; expected " + own
          + ", as the layer '" + prefix + "' of the graph has");
    }
  }

  private static String held(LayerState state) {
    return (state.gamma() == null ? "no" : "a") + " gamma and "
        + (state.beta() == null ? "no" : "a") + " beta";
  }

  /** A variable of the graph, to be trained. */
  private static void put(SameDiff graph, String name, @Nullable HostTensor value) {
    if (value == null) {
      return;
    }
    SDVariable held = graph.getVariable(name);
    if (held == null) {
      graph.var(name, TENSORS.fromHost(value, value.dtype()));
    } else {
      held.setArray(TENSORS.fromHost(value, TENSORS.dtype(held.getArr())));
    }
  }

  private static void put(SameDiff graph, String name, INDArray value) {
    SDVariable held = graph.getVariable(name);
    if (held == null) {
      graph.constant(name, value);
    } else {
      held.setArray(value.castTo(held.dataType()));
    }
  }

  private static INDArray perFeature(double[] values) {
    return Nd4j.createFromArray(values);
  }

  /** As bytes: arrays of strings differ from one version of ND4J to the next. */
  private static INDArray text(String text) {
    return Nd4j.createFromArray(text.getBytes(UTF_8));
  }

  /**
   * The layer that a graph has under a prefix, as it is now: to save as {@code .safetensors} or
   * {@code .npz}, or to hand to another backend.
   *
   * @throws IllegalArgumentException if the graph has no such layer
   */
  public static LayerState state(SameDiff graph, String prefix) {
    HostTensor mean = requirePart(graph, prefix, MEAN);
    VbnConfig config = VbnConfig.of(mean.size())
        .withVariant(Variant.of(text(graph, prefix, VARIANT)))
        .withEpsilon(array(graph, prefix, EPSILON).getDouble(0))
        .withFeatureAxis(array(graph, prefix, FEATURE_AXIS).getInt(0))
        .withReferenceGradient(ReferenceGradient.valueOf(text(graph, prefix, REFERENCE_GRADIENT)));
    long examples = array(graph, prefix, EXAMPLES).getLong(0);
    long elements = array(graph, prefix, ELEMENTS).getLong(0);
    double[] means = mean.toDoubles();
    double[] variances = requirePart(graph, prefix, VARIANCE).toDoubles();
    return new LayerState(
        config,
        part(graph, prefix, GAMMA),
        part(graph, prefix, BETA),
        examples == 0
            ? ReferenceMoments.of(means, variances)
            : elements == 0
                ? ReferenceMoments.of(means, variances, examples)
                : ReferenceMoments.of(means, variances, examples, elements));
  }

  private static HostTensor requirePart(SameDiff graph, String prefix, String name) {
    return TENSORS.toHost(array(graph, prefix, name));
  }

  private static @Nullable HostTensor part(SameDiff graph, String prefix, String name) {
    return graph.hasVariable(prefix + name) ? requirePart(graph, prefix, name) : null;
  }

  private static String text(SameDiff graph, String prefix, String name) {
    return new String(array(graph, prefix, name).data().asBytes(), UTF_8);
  }

  private static INDArray array(SameDiff graph, String prefix, String name) {
    SDVariable variable = variable(graph, prefix, name);
    INDArray array = variable.getArr();
    if (array == null) {
      throw new IllegalArgumentException("'" + variable.name() + "' is a "
          + variable.getVariableType() + " without an array; expected a variable or a constant");
    }
    return array;
  }

  private static SDVariable variable(SameDiff graph, String prefix, String name) {
    SDVariable variable = graph.getVariable(prefix + name);
    if (variable == null) {
      throw new IllegalArgumentException("the graph has no '" + prefix + name
          + "'; expected it from setState(graph, \"" + prefix + "\", state)");
    }
    return variable;
  }

  /**
   * Adds the normalization of a live batch by a layer of its graph: a placeholder, a variable or a
   * constant. Several batches may go through one layer.
   *
   * @param x the batch, of rank 2 to 5; lengths other than that of the feature axis may be open, as
   *     in {@code placeHolder("x", FLOAT, -1, 64, -1)}
   * @param prefix of the layer that {@link #setState} has put there
   * @return the output, of the shape and type of {@code x}
   * @throws IllegalArgumentException if the graph has no such layer, or if {@code x} states no
   *     shape, another number of features or an open one, or no floating-point type
   */
  public static SDVariable normalize(SDVariable x, String prefix) {
    VbnConfig config = state(x.getSameDiff(), prefix).config();
    return normalize(x, rank(x, config), null, prefix, config);
  }

  /**
   * The same for a batch that is padded. What does not count has no effect, whatever it holds; the
   * output and all gradients are 0 there.
   *
   * @param x as above
   * @param counts how many positions of each example count along the first axis of positions, of
   *     type INT32 or INT64 and shape {@code [examples]}; or which positions count (not 0), of type
   *     BOOL, UINT8 or floating-point, as data sets have it, and of the batch's shape without the
   *     feature axis. Placeholders may have open lengths.
   * @param prefix as above
   * @return as above
   * @throws IllegalArgumentException also if the counts are of another type, or lengths of another
   *     rank or of a batch without positions. Lengths beyond the axis count all of it.
   */
  public static SDVariable normalize(SDVariable x, SDVariable counts, String prefix) {
    VbnConfig config = state(x.getSameDiff(), prefix).config();
    return normalize(x, rank(x, config), counts, prefix, config);
  }

  private static void requireCounts(SDVariable counts, int rank) {
    DataType type = counts.dataType();
    boolean lengths = type == DataType.INT32 || type == DataType.INT64;
    if (!lengths && type != DataType.BOOL && type != DataType.UINT8 && !type.isFPType()) {
      throw new IllegalArgumentException("'" + counts.name() + "' is " + type
          + "; expected lengths of INT32 or INT64, or a mask of BOOL, UINT8 or a floating-point"
          + " type");
    }
    long[] shape = counts.getShape();
    int expected = lengths ? 1 : rank - 1;
    if ((shape != null && shape.length != expected) || (lengths && rank == 2)) {
      throw new IllegalArgumentException(
          "'" + counts.name() + "' has shape " + Arrays.toString(shape) + " with a batch of rank "
              + rank + "; expected lengths of rank 1 for a batch with positions, or a mask of the"
              + " batch's shape without the feature axis");
    }
  }

  /**
   * Adds the normalization, by a layer of its graph, of what an operation yields, whose shape
   * SameDiff does not tell while the graph is made.
   *
   * @param x the batch
   * @param rank number of its axes, 2 to 5
   * @param prefix as above
   * @return the output, of the shape and type of {@code x}
   * @throws IllegalArgumentException if the graph has no such layer, the rank is out of range, or
   *     the type is not a floating-point type
   */
  public static SDVariable normalize(SDVariable x, int rank, String prefix) {
    return normalize(x, rank, null, prefix, state(x.getSameDiff(), prefix).config());
  }

  /**
   * The same for a batch that is padded.
   *
   * @param counts as in {@link #normalize(SDVariable, SDVariable, String)}
   */
  public static SDVariable normalize(SDVariable x, int rank, SDVariable counts, String prefix) {
    return normalize(x, rank, counts, prefix, state(x.getSameDiff(), prefix).config());
  }

  private static SDVariable normalize(
      SDVariable x, int rank, @Nullable SDVariable counts, String prefix, VbnConfig config) {
    SameDiff graph = x.getSameDiff();
    return normalize(
        x,
        rank,
        counts,
        new Moments<>(variable(graph, prefix, MEAN), variable(graph, prefix, VARIANCE)),
        variable(graph, prefix, EXAMPLES),
        variable(graph, prefix, ELEMENTS),
        graph.getVariable(prefix + GAMMA),
        graph.getVariable(prefix + BETA),
        config);
  }

  /**
   * Adds the normalization of a live batch: a placeholder, a variable or a constant.
   *
   * @param x the batch, of rank 2 to 5; lengths other than that of the feature axis may be open, as
   *     in {@code placeHolder("x", FLOAT, -1, 64, -1)}
   * @param reference mean and biased variance of the reference batch, shape {@code [features]}
   * @param examples examples of the reference batch
   * @param elements elements of one feature in the reference batch
   * @param gamma scale, shape {@code [features]}; null for ones
   * @param beta offset, likewise; null for zeros
   * @return the output, of the shape and type of {@code x}
   * @throws IllegalArgumentException if {@code x} states no shape, another number of features or an
   *     open one, or no floating-point type
   */
  public static SDVariable normalize(
      SDVariable x,
      Moments<SDVariable> reference,
      long examples,
      long elements,
      @Nullable SDVariable gamma,
      @Nullable SDVariable beta,
      VbnConfig config) {
    return normalize(x, rank(x, config), reference, examples, elements, gamma, beta, config);
  }

  /** The rank of a batch whose shape is known. */
  private static int rank(SDVariable x, VbnConfig config) {
    long[] shape = x.getShape();
    if (shape == null || shape.length == 0) {
      throw new IllegalArgumentException("'" + x.name()
          + "' states no shape; expected one, as in placeHolder(name, type, -1, "
          + config.features() + ", -1), or the rank after x where x is the result of an operation");
    }
    // An open length counts as any, but that of the features has to be stated.
    long[] stated = Arrays.stream(shape).map(length -> Math.max(length, 1)).toArray();
    Geometry.of(stated, config.featureAxis());
    int axis = axis(shape.length, config);
    if (shape[axis] != config.features()) {
      throw new IllegalArgumentException("'" + x.name() + "' has shape " + Arrays.toString(shape)
          + "; expected " + config.features() + " features on axis " + axis);
    }
    return shape.length;
  }

  /**
   * Adds the normalization of what an operation yields, whose shape SameDiff does not tell while the
   * graph is made.
   *
   * @param x the batch
   * @param rank number of its axes, 2 to 5
   * @param reference as above
   * @param examples as above
   * @param elements as above
   * @param gamma as above
   * @param beta as above
   * @return the output, of the shape and type of {@code x}
   * @throws IllegalArgumentException if the rank is out of range, or the type is not a
   *     floating-point type
   */
  public static SDVariable normalize(
      SDVariable x,
      int rank,
      Moments<SDVariable> reference,
      long examples,
      long elements,
      @Nullable SDVariable gamma,
      @Nullable SDVariable beta,
      VbnConfig config) {
    SameDiff graph = x.getSameDiff();
    return normalize(
        x,
        rank,
        null,
        reference,
        graph.constant(Nd4j.scalar(examples)),
        graph.constant(Nd4j.scalar(elements)),
        gamma,
        beta,
        config);
  }

  private static SDVariable normalize(
      SDVariable x,
      int rank,
      @Nullable SDVariable counts,
      Moments<SDVariable> reference,
      SDVariable examples,
      SDVariable elements,
      @Nullable SDVariable gamma,
      @Nullable SDVariable beta,
      VbnConfig config) {
    if (!x.dataType().isFPType()) {
      throw new IllegalArgumentException(
          "'" + x.name() + "' is " + x.dataType() + "; expected a floating-point type");
    }
    int axis = axis(rank, config);
    if (counts != null) {
      requireCounts(counts, rank);
    }
    if (rank == 2) {
      // With one example, or one feature, ND4J's reductions of rank 2 fail, or their gradients are
      // wrong.
      SameDiff graph = x.getSameDiff();
      SDVariable one = graph.constant(Nd4j.scalar(1L));
      SDVariable ofRank3 = normalize(
          graph.reshape(x, graph.stack(0, length(x, 0), length(x, 1), one)),
          3,
          counts == null ? null : counts.reshape(-1, 1),
          reference,
          examples,
          elements,
          gamma,
          beta,
          config.withFeatureAxis(1));
      return graph.reshape(ofRank3, graph.shape(x));
    }
    GraphCounts counted =
        counts == null ? null : new GraphCounts(x, counts, rank, axis, config.features());
    SDVariable wide = (counted == null ? x : counted.blanked(x)).castTo(DataType.DOUBLE);
    SDVariable mean = asIn(x, reference.mean(), rank, axis);
    SDVariable variance = perFeature(reference.variance(), rank, axis, config.features());
    Scope scope = config.variant().scope();
    if (scope != Scope.NONE) {
      int[] axes = IntStream.range(scope == Scope.BATCH ? 0 : 1, rank)
          .filter(i -> i != axis)
          .toArray();
      SDVariable live = mean(wide, axes, counted);
      // What rounding leaves of the mean, which in constants would pass for their deviation.
      SDVariable rest = mean(wide.sub(live), axes, counted);
      live = live.add(rest);
      SDVariable around = wide.sub(live);
      SDVariable liveVariance = mean(around.mul(around), axes, counted);
      SDVariable w = weight(x, counted, examples, elements, config);
      SDVariable other = w.rsub(1);
      SDVariable d = live.sub(mean);
      mean = mean.add(d.mul(w));
      variance = variance.mul(other).add(liveVariance.mul(w)).add(d.mul(d).mul(w.mul(other)));
    }
    SDVariable deviation = x.getSameDiff().math().sqrt(variance.add(config.epsilon()));
    SDVariable y = wide.sub(mean).div(deviation);
    if (gamma != null) {
      y = y.mul(perFeature(gamma, rank, axis, config.features()));
    }
    if (beta != null) {
      y = y.add(perFeature(beta, rank, axis, config.features()));
    }
    SDVariable output = y.castTo(x.dataType());
    return counted == null ? output : counted.blanked(output);
  }

  private static int axis(int rank, VbnConfig config) {
    if (config.batchAxis() != 0
        || config.lastFeatureAxis() != config.featureAxis()
        || config.referenceGradient() == ReferenceGradient.ALL_DETACHED) {
      throw new IllegalArgumentException("a graph was given " + config + "; expected batch axis 0,"
          + " one feature axis, and live statistics that are no constants");
    }
    int axis = config.featureAxis() < 0 ? config.featureAxis() + rank : config.featureAxis();
    if (rank < 2 || rank > 5 || axis < 1 || axis >= rank) {
      throw new IllegalArgumentException("rank is " + rank + " and the feature axis "
          + config.featureAxis() + "; expected rank 2 to 5 and an axis in it after the first");
    }
    return axis;
  }

  private static SDVariable mean(SDVariable values, int[] axes, @Nullable GraphCounts counted) {
    if (counted != null) {
      return counted.mean(counted.only(values), axes);
    }
    return axes.length == 0 ? values : values.mean(true, axes);
  }

  /** {@link Variant#weight}, of the batch that the graph is given. */
  private static SDVariable weight(
      SDVariable x,
      @Nullable GraphCounts counted,
      SDVariable examples,
      SDVariable elements,
      VbnConfig config) {
    SameDiff graph = x.getSameDiff();
    return switch (config.variant()) {
      case LIVE_BATCH ->
        (counted == null ? graph.sizeAt(x, 0).castTo(DataType.DOUBLE) : counted.examples())
            .add(1)
            .rdiv(1);
      case POOLED -> {
        SDVariable live = counted == null
            ? graph.size(x).castTo(DataType.DOUBLE).div(config.features())
            : counted.elements();
        yield live.div(live.add(elements.castTo(DataType.DOUBLE)));
      }
      case BATCH, PER_EXAMPLE -> examples.castTo(DataType.DOUBLE).add(1).rdiv(1);
      case REFERENCE_ONLY -> graph.constant(0.0);
    };
  }

  /**
   * One value for each feature of the batch that comes. SameDiff does not hold that batch to the
   * declared shape: one feature would pass for all, and another rank would broadcast elsewhere. The
   * reshape here fails for any number of features other than that of the values, and for any other
   * rank.
   */
  private static SDVariable asIn(SDVariable x, SDVariable values, int rank, int axis) {
    SameDiff graph = x.getSameDiff();
    SDVariable[] lengths = new SDVariable[rank];
    Arrays.fill(lengths, graph.constant(Nd4j.scalar(1L)));
    lengths[0] = graph.rank(x).castTo(DataType.INT64).sub(rank - 1); // 1
    lengths[axis] = length(x, axis);
    return graph.reshape(values.castTo(DataType.DOUBLE), graph.stack(0, lengths));
  }

  private static SDVariable length(SDVariable x, int axis) {
    return x.getSameDiff().sizeAt(x, axis).castTo(DataType.INT64);
  }

  private static SDVariable perFeature(SDVariable values, int rank, int axis, long features) {
    long[] shape = new long[rank];
    Arrays.fill(shape, 1);
    shape[axis] = features;
    return values.castTo(DataType.DOUBLE).reshape(shape);
  }
}
