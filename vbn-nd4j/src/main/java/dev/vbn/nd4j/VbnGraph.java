package dev.vbn.nd4j;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.autodiff.samediff.SameDiff;
import org.nd4j.linalg.api.buffer.DataType;

/**
 * Virtual batch normalization in a SameDiff graph, from elementary operations: ND4J's own batch norm
 * has wrong gradients there. Statistics are in 64 bits. Gradients reach whatever is a variable of
 * the graph; hold the statistics as constants or placeholders where they are to be detached.
 */
public final class VbnGraph {
  private VbnGraph() {}

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
    return normalize(x, shape.length, reference, examples, elements, gamma, beta, config);
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
   * @throws IllegalArgumentException if the rank is not so, or the type no floating-point type
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
    if (!x.dataType().isFPType()) {
      throw new IllegalArgumentException(
          "'" + x.name() + "' is " + x.dataType() + "; expected a floating-point type");
    }
    int axis = axis(rank, config);
    SDVariable wide = x.castTo(DataType.DOUBLE);
    SDVariable mean = perFeature(reference.mean(), rank, axis, config.features());
    SDVariable variance = perFeature(reference.variance(), rank, axis, config.features());
    Scope scope = config.variant().scope();
    if (scope != Scope.NONE) {
      int[] axes = IntStream.range(scope == Scope.BATCH ? 0 : 1, rank)
          .filter(i -> i != axis)
          .toArray();
      SDVariable live = mean(wide, axes);
      // What rounding leaves of the mean, which in constants would pass for their deviation.
      SDVariable rest = mean(wide.sub(live), axes);
      live = live.add(rest);
      SDVariable around = wide.sub(live);
      SDVariable liveVariance = mean(around.mul(around), axes);
      SDVariable w = weight(x, examples, elements, config);
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
    return y.castTo(x.dataType());
  }

  private static int axis(int rank, VbnConfig config) {
    int axis = config.featureAxis() < 0 ? config.featureAxis() + rank : config.featureAxis();
    if (rank < 2 || rank > 5 || axis < 1 || axis >= rank) {
      throw new IllegalArgumentException("rank is " + rank + " and the feature axis "
          + config.featureAxis() + "; expected rank 2 to 5 and an axis in it after the first");
    }
    return axis;
  }

  private static SDVariable mean(SDVariable values, int[] axes) {
    return axes.length == 0 ? values : values.mean(true, axes);
  }

  /** {@link Variant#weight}, of the batch that the graph is given. */
  private static SDVariable weight(SDVariable x, long examples, long elements, VbnConfig config) {
    SameDiff graph = x.getSameDiff();
    return switch (config.variant()) {
      case LIVE_BATCH -> graph.sizeAt(x, 0).castTo(DataType.DOUBLE).add(1).rdiv(1);
      case POOLED -> {
        SDVariable live = graph.size(x).castTo(DataType.DOUBLE).div(config.features());
        yield live.div(live.add((double) elements));
      }
      case BATCH, PER_EXAMPLE, REFERENCE_ONLY ->
        graph.constant(config.variant().weight(0, 0, examples, elements));
    };
  }

  private static SDVariable perFeature(SDVariable values, int rank, int axis, long features) {
    long[] shape = new long[rank];
    Arrays.fill(shape, 1);
    shape[axis] = features;
    return values.castTo(DataType.DOUBLE).reshape(shape);
  }
}
