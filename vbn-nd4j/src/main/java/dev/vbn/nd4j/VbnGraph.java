package dev.vbn.nd4j;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;
import org.nd4j.autodiff.samediff.SDVariable;
import org.nd4j.linalg.api.buffer.DataType;

/**
 * Virtual batch normalization in a SameDiff graph, from elementary operations: ND4J's own batch norm
 * has wrong gradients there. Statistics are in 64 bits. Gradients reach whatever is a variable of
 * the graph; hold the statistics as constants or placeholders where they are to be detached.
 */
public final class VbnGraph {
  private VbnGraph() {}

  /**
   * Adds the normalization of a live batch.
   *
   * @param x the batch, of known shape and type, since the weight follows from its lengths
   * @param reference mean and biased variance of the reference batch, shape {@code [features]}
   * @param examples examples of the reference batch
   * @param elements elements of one feature in the reference batch
   * @param gamma scale, shape {@code [features]}; null for ones
   * @param beta offset, likewise; null for zeros
   * @return the output, of the shape and type of {@code x}
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
    if (shape == null || Arrays.stream(shape).anyMatch(length -> length < 1)) {
      throw new IllegalArgumentException(
          "x has shape " + Arrays.toString(shape) + "; expected one without open lengths");
    }
    int rank = shape.length;
    int axis = config.featureAxis() < 0 ? config.featureAxis() + rank : config.featureAxis();
    SDVariable wide = x.castTo(DataType.DOUBLE);
    SDVariable mean = perFeature(reference.mean(), rank, axis, config.features());
    SDVariable variance = perFeature(reference.variance(), rank, axis, config.features());
    Variant variant = config.variant();
    if (variant.scope() != Scope.NONE) {
      int first = variant.scope() == Scope.BATCH ? 0 : 1;
      int[] axes = IntStream.range(first, rank).filter(i -> i != axis).toArray();
      SDVariable live = axes.length == 0 ? wide : wide.mean(true, axes);
      SDVariable around = wide.sub(live);
      SDVariable liveVariance =
          axes.length == 0 ? around.mul(around) : around.mul(around).mean(true, axes);
      long positions = 1;
      for (int i = 1; i < rank; i++) {
        positions *= i == axis ? 1 : shape[i];
      }
      double w = variant.weight(shape[0], shape[0] * positions, examples, elements);
      SDVariable d = live.sub(mean);
      mean = mean.add(d.mul(w));
      variance = variance.mul(1 - w).add(liveVariance.mul(w)).add(d.mul(d).mul(w * (1 - w)));
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

  private static SDVariable perFeature(SDVariable values, int rank, int axis, long features) {
    long[] shape = new long[rank];
    Arrays.fill(shape, 1);
    shape[axis] = features;
    return values.castTo(DataType.DOUBLE).reshape(shape);
  }
}
