package dev.vbn.conformance;

import dev.vbn.VbnConfig;
import dev.vbn.spi.Geometry;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import java.util.Random;

/**
 * Makes cases of random numbers: the same ones on every run, unless the system property {@value
 * #SEED_PROPERTY} gives another seed.
 */
final class Samples {
  static final String SEED_PROPERTY = "vbn.conformance.seed";
  private static final String DEFAULT_SEED = "20160610";

  private final Random random;

  Samples(long stream) {
    random = new Random(seed() * 1000 + stream);
  }

  /**
   * The seed of all random choices.
   *
   * @throws IllegalArgumentException if the property is not a number
   */
  static long seed() {
    String property = System.getProperty(SEED_PROPERTY, DEFAULT_SEED);
    try {
      return Long.parseLong(property);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          SEED_PROPERTY + " is '" + property + "'; expected a whole number", e);
    }
  }

  /** How far the features of a batch lie from 0 and from each other. */
  enum Spread {
    /** Means and deviations of about 1. */
    ORDINARY,
    /** Means some deviations and up to a million from 0, and from those of the neighbours. */
    APART,
    /** Deviations 19 decades from each other. */
    SCALED,
    /** All means some 10,000 deviations from 0. */
    FAR,
    /** Means and deviations a few powers of two from each other: as much as 16 bits bear. */
    NEAR;

    private double mean(int feature, double drawn) {
      return switch (this) {
        case ORDINARY, SCALED -> drawn;
        case FAR -> 2e4 + 1e3 * drawn;
        case APART -> new double[] {drawn, 1e6, 3.5, -1e4}[feature % 4];
        case NEAR -> new double[] {drawn, 8, drawn, -4}[feature % 4];
      };
    }

    private double scale(int feature) {
      return switch (this) {
        case ORDINARY, APART, FAR -> 1;
        case SCALED -> new double[] {1, 1e11, 1e-8}[feature % 3];
        case NEAR -> new double[] {1, 16, 0.125}[feature % 3];
      };
    }
  }

  int below(int bound) {
    return random.nextInt(bound);
  }

  /** A padding of a batch of that shape. */
  Padding padding(Padding.Kind kind, long[] shape, int featureAxis) {
    return Padding.draw(kind, shape, featureAxis, random);
  }

  /** Normally distributed values of 64 bits: a backend that narrows those of FLOAT64 shows. */
  HostTensor normal(double mean, double deviation, long... shape) {
    double[] values =
        new double[Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact))];
    Arrays.setAll(values, i -> mean + deviation * random.nextGaussian());
    return HostTensor.of(values, shape);
  }

  /** As below, with means and deviations of about 1. */
  Case of(VbnConfig config, long[] liveShape, long[] referenceShape) {
    return of(config, liveShape, referenceShape, Spread.ORDINARY);
  }

  /**
   * A case whose features differ in mean, deviation, gamma and beta, so that none can be taken for
   * another. Its values have 64 bits: {@link Case#roundedTo} makes them those of a type.
   */
  Case of(VbnConfig config, long[] liveShape, long[] referenceShape, Spread spread) {
    int features = config.features();
    double[] means = new double[features];
    double[] deviations = new double[features];
    for (int i = 0; i < features; i++) {
      deviations[i] = (0.5 + random.nextDouble()) * spread.scale(i);
      means[i] = spread.mean(i, random.nextGaussian()) * spread.scale(i);
    }
    return new Case(
        config,
        perFeature(config, means, deviations, 0.5, liveShape),
        perFeature(config, means, deviations, 0, referenceShape),
        normal(1, 0.3, features),
        normal(0, 1, features),
        normal(0, 1, liveShape),
        normal(0, 1, referenceShape));
  }

  private HostTensor perFeature(
      VbnConfig config, double[] means, double[] deviations, double shift, long[] shape) {
    HostTensor tensor = normal(0, 1, shape);
    double[] values = tensor.doubles();
    Geometry geometry = Geometry.of(shape, config.featureAxis());
    for (int i = 0; i < values.length; i++) {
      int feature = (int) (i / geometry.after() % geometry.features());
      values[i] = means[feature] + deviations[feature] * (shift + values[i]);
    }
    return tensor;
  }
}
