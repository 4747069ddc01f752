package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.Mask;
import java.io.Serializable;
import org.jspecify.annotations.Nullable;

/**
 * What a {@link VirtualBatchNorm} computes. Immutable and serializable; {@link #of} gives the
 * defaults and the {@code with} methods change one setting each.
 *
 * <p>Axes are counted from 0, or with a negative number from the end.
 *
 * @param features number of features, at least 1; with several feature axes, the product of their
 *     lengths
 * @param epsilon added to the variance inside the root; finite and above 0, default 1e-5
 * @param batchAxis axis of the examples, default 0
 * @param featureAxis axis of the features, or the first of several neighbouring ones, default 1
 * @param lastFeatureAxis the last of them, default {@code featureAxis}
 * @param variant how live statistics are taken and weighed, default {@link Variant#LIVE_BATCH}
 * @param referenceGradient through which statistics gradients flow, default
 *     {@link ReferenceGradient#DETACHED}
 */
public record VbnConfig(
    int features,
    double epsilon,
    int batchAxis,
    int featureAxis,
    int lastFeatureAxis,
    Variant variant,
    ReferenceGradient referenceGradient)
    implements Serializable {

  /** Default of {@link #epsilon()}. */
  public static final double DEFAULT_EPSILON = 1e-5;

  private static final int MOST_AXES = 5;

  /**
   * Checks the settings.
   *
   * @throws IllegalArgumentException if a setting is outside its range
   * @throws NullPointerException if {@code variant} or {@code referenceGradient} is null
   */
  public VbnConfig {
    requireNonNull(variant, "variant is null; expected one of the five variants");
    requireNonNull(
        referenceGradient,
        "referenceGradient is null; expected DETACHED, ATTACHED or ALL_DETACHED");
    if (features < 1) {
      throw new IllegalArgumentException("features is " + features + "; expected at least 1");
    }
    if (!(epsilon > 0 && epsilon < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "epsilon is " + epsilon + "; expected a finite number above 0");
    }
    requireAxis("batch axis", batchAxis);
    if (batchAxis == 0 && (featureAxis == 0 || Math.abs((long) featureAxis) > 4)) {
      throw new IllegalArgumentException("feature axis is "
          + featureAxis
          + "; expected 1 to 4, or -1 to -4 counted from the end (axis 0 is the batch)");
    }
    requireAxis("feature axis", featureAxis);
    requireAxis("last feature axis", lastFeatureAxis);
    if (lastFeatureAxis < featureAxis || (lastFeatureAxis < 0) != (featureAxis < 0)) {
      throw new IllegalArgumentException(
          "feature axes are " + featureAxis + " to " + lastFeatureAxis
              + "; expected the first before the last, both counted from the same end");
    }
    if (batchAxis >= featureAxis && batchAxis <= lastFeatureAxis) {
      throw new IllegalArgumentException("batch axis is " + batchAxis + " and feature axis "
          + featureAxis + "; expected another axis for each");
    }
  }

  private static void requireAxis(String name, int axis) {
    if (axis < -MOST_AXES || axis >= MOST_AXES) {
      throw new IllegalArgumentException(
          name + " is " + axis + "; expected 0 to 4, or -1 to -5 counted from the end");
    }
  }

  /**
   * The defaults for {@code features} features.
   *
   * @throws IllegalArgumentException if {@code features} is below 1
   */
  public static VbnConfig of(int features) {
    return new VbnConfig(
        features, DEFAULT_EPSILON, 0, 1, 1, Variant.LIVE_BATCH, ReferenceGradient.DETACHED);
  }

  /**
   * Checks that a batch has these axes.
   *
   * @param shape of the batch
   * @param mask what counts in it; null if all does
   * @return how many features it has, whatever {@link #features()} says
   * @throws IllegalArgumentException if the shape lacks the axes, or the mask does not fit it
   */
  public int featuresOf(long[] shape, @Nullable Mask mask) {
    requireNonNull(shape, "shape is null; expected that of a batch");
    return Math.toIntExact(BatchView.of(this, shape, mask).geometry().features());
  }

  /**
   * Checks that a layer of this configuration takes a gamma or beta of that shape: one number for
   * each feature, one for each feature of each example, or the shape of the feature axes.
   *
   * @param name of the parameter, for the message
   * @throws IllegalArgumentException if it does not
   */
  public void requireParameterShape(String name, long[] shape) {
    requireNonNull(shape, name + "'s shape is null; expected that of a parameter");
    ParameterForm.of(name, shape, this);
  }

  /** A copy with another {@link #epsilon()}. */
  public VbnConfig withEpsilon(double epsilon) {
    return new VbnConfig(
        features, epsilon, batchAxis, featureAxis, lastFeatureAxis, variant, referenceGradient);
  }

  /** A copy with a single {@link #featureAxis()}, the given one. */
  public VbnConfig withFeatureAxis(int featureAxis) {
    return withFeatureAxes(featureAxis, featureAxis);
  }

  /**
   * A copy with features on several neighbouring axes: for instance 1 to 3 for one of each channel,
   * row and column of images.
   */
  public VbnConfig withFeatureAxes(int first, int last) {
    return new VbnConfig(features, epsilon, batchAxis, first, last, variant, referenceGradient);
  }

  /**
   * A copy with examples and features on other axes, both at once: for instance 1 and -1 for
   * sequences with the time first.
   */
  public VbnConfig withAxes(int batchAxis, int featureAxis) {
    return new VbnConfig(
        features, epsilon, batchAxis, featureAxis, featureAxis, variant, referenceGradient);
  }

  /** A copy with another {@link #variant()}. */
  public VbnConfig withVariant(Variant variant) {
    return new VbnConfig(
        features, epsilon, batchAxis, featureAxis, lastFeatureAxis, variant, referenceGradient);
  }

  /** A copy with another {@link #referenceGradient()}. */
  public VbnConfig withReferenceGradient(ReferenceGradient referenceGradient) {
    return new VbnConfig(
        features, epsilon, batchAxis, featureAxis, lastFeatureAxis, variant, referenceGradient);
  }
}
