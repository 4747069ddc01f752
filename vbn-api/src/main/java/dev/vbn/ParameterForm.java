package dev.vbn;

import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * Which element of a parameter belongs to which feature of which example, for a parameter that is
 * not simply of shape {@code [features]}.
 *
 * @param shape of the parameter
 * @param byExample whether each example has elements of its own
 * @param features that share an element
 */
record ParameterForm(long[] shape, boolean byExample, int features) {

  /**
   * The form of a parameter of {@code shape}; null for {@code [features]}.
   *
   * @throws IllegalArgumentException if a layer of the configuration has no such parameter
   */
  static @Nullable ParameterForm of(String name, long[] shape, VbnConfig config) {
    int features = config.features();
    if (shape.length == 1 && shape[0] == features) {
      return null;
    }
    boolean severalAxes = config.featureAxis() != config.lastFeatureAxis();
    int axes = config.lastFeatureAxis() - config.featureAxis() + 1;
    if (severalAxes && shape.length == 1 && shape[0] > 0 && features % shape[0] == 0) {
      return new ParameterForm(shape, false, (int) (features / shape[0]));
    }
    if (severalAxes && shape.length == axes && product(shape, 0) == features) {
      return new ParameterForm(shape, false, 1);
    }
    if ((shape.length == 2 || (severalAxes && shape.length == axes + 1))
        && shape[0] > 0
        && product(shape, 1) == features) {
      return new ParameterForm(shape, true, 1);
    }
    throw new IllegalArgumentException(
        name + " has shape " + Arrays.toString(shape) + "; expected [" + features + "]"
            + (severalAxes ? ", the lengths of the feature axes or of the first of them" : "")
            + ", or [examples, " + features + "]");
  }

  private static long product(long[] shape, int from) {
    long product = 1;
    for (int i = from; i < shape.length; i++) {
      product *= Math.max(0, Math.min(shape[i], Integer.MAX_VALUE)); // no overflow of 4 of them
    }
    return product;
  }

  /** Refuses a batch that the parameter is not for. */
  void requireFits(String name, long[] batch, VbnConfig config) {
    if (byExample && shape[0] != batch[axis(config.batchAxis(), batch)]) {
      throw new IllegalArgumentException(
          name + " has shape " + Arrays.toString(shape) + "; expected parameters of "
              + batch[axis(config.batchAxis(), batch)] + " examples, as the batch of shape "
              + Arrays.toString(batch) + " has");
    }
    int first = axis(config.featureAxis(), batch);
    int from = byExample ? 1 : 0;
    boolean flat = byExample && shape.length == 2 && shape[1] == config.features();
    for (int i = from; i < shape.length && !flat; i++) {
      if (shape[i] != batch[first + i - from]) {
        throw new IllegalArgumentException(name + " has shape " + Arrays.toString(shape)
            + "; expected the lengths of the feature axes of a batch of shape "
            + Arrays.toString(batch));
      }
    }
  }

  private static int axis(int axis, long[] batch) {
    return axis < 0 ? axis + batch.length : axis;
  }

  /** Index of the element. */
  int index(int example, int feature, int featuresOfAll) {
    return ((byExample ? example * featuresOfAll : 0) + feature) / features;
  }
}
