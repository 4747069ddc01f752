package dev.vbn;

import static java.util.Objects.requireNonNull;

import dev.vbn.spi.ReferenceGradient;
import java.io.Serializable;

/**
 * What a {@link VirtualBatchNorm} computes. Immutable and serializable; {@link #of} gives the
 * defaults and the {@code with} methods change one setting each.
 *
 * @param features number of features, at least 1
 * @param epsilon added to the variance inside the root; finite and above 0, default 1e-5
 * @param featureAxis axis of the features, 1 to 4, or -1 to -4 counted from the end; default 1. The
 *     batch axis is always 0.
 * @param variant how live statistics are taken and weighed, default {@link Variant#LIVE_BATCH}
 * @param referenceGradient whether gradients flow through the reference statistics, default {@link
 *     ReferenceGradient#DETACHED}
 */
public record VbnConfig(
    int features,
    double epsilon,
    int featureAxis,
    Variant variant,
    ReferenceGradient referenceGradient)
    implements Serializable {

  /** Default of {@link #epsilon()}. */
  public static final double DEFAULT_EPSILON = 1e-5;

  /**
   * Checks the settings.
   *
   * @throws IllegalArgumentException if a setting is outside its range
   * @throws NullPointerException if {@code variant} or {@code referenceGradient} is null
   */
  public VbnConfig {
    requireNonNull(variant, "variant is null; expected one of the five variants");
    requireNonNull(referenceGradient, "referenceGradient is null; expected DETACHED or ATTACHED");
    if (features < 1) {
      throw new IllegalArgumentException("features is " + features + "; expected at least 1");
    }
    if (!(epsilon > 0 && epsilon < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(
          "epsilon is " + epsilon + "; expected a finite number above 0");
    }
    if (featureAxis == 0 || Math.abs((long) featureAxis) > 4) {
      throw new IllegalArgumentException("feature axis is "
          + featureAxis
          + "; expected 1 to 4, or -1 to -4 counted from the end (axis 0 is the batch)");
    }
  }

  /**
   * The defaults for {@code features} features.
   *
   * @throws IllegalArgumentException if {@code features} is below 1
   */
  public static VbnConfig of(int features) {
    return new VbnConfig(
        features, DEFAULT_EPSILON, 1, Variant.LIVE_BATCH, ReferenceGradient.DETACHED);
  }

  /** This with another {@link #epsilon()}. */
  public VbnConfig withEpsilon(double epsilon) {
    return new VbnConfig(features, epsilon, featureAxis, variant, referenceGradient);
  }

  /** This with another {@link #featureAxis()}. */
  public VbnConfig withFeatureAxis(int featureAxis) {
    return new VbnConfig(features, epsilon, featureAxis, variant, referenceGradient);
  }

  /** This with another {@link #variant()}. */
  public VbnConfig withVariant(Variant variant) {
    return new VbnConfig(features, epsilon, featureAxis, variant, referenceGradient);
  }

  /** This with another {@link #referenceGradient()}. */
  public VbnConfig withReferenceGradient(ReferenceGradient referenceGradient) {
    return new VbnConfig(features, epsilon, featureAxis, variant, referenceGradient);
  }
}
