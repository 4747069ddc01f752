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
  static final long SEED = seed(System.getProperty(SEED_PROPERTY, "20160610"));

  private final Random random;

  Samples(long stream) {
    random = new Random(SEED * 1000 + stream);
  }

  private static long seed(String property) {
    try {
      return Long.parseLong(property);
    } catch (NumberFormatException e) {
      throw new IllegalArgumentException(
          SEED_PROPERTY + " is '" + property + "'; expected a whole number", e);
    }
  }

  int below(int bound) {
    return random.nextInt(bound);
  }

  /** Normally distributed values of 64 bits: a backend that narrows those of FLOAT64 shows. */
  HostTensor normal(double mean, double deviation, long... shape) {
    double[] values =
        new double[Math.toIntExact(Arrays.stream(shape).reduce(1, Math::multiplyExact))];
    Arrays.setAll(values, i -> mean + deviation * random.nextGaussian());
    return HostTensor.of(values, shape);
  }

  /**
   * A case whose features differ in mean, deviation, gamma and beta, so that none can be taken for
   * another. Its values have 64 bits: {@link Case#roundedTo} makes them those of a type.
   */
  Case of(VbnConfig config, long[] liveShape, long[] referenceShape) {
    int features = config.features();
    double[] means = new double[features];
    double[] deviations = new double[features];
    for (int i = 0; i < features; i++) {
      means[i] = random.nextGaussian();
      deviations[i] = 0.5 + random.nextDouble();
    }
    return new Case(
        config,
        perFeature(config, means, deviations, 0.5, liveShape),
        perFeature(config, means, deviations, 0, referenceShape),
        normal(1, 0.3, features),
        normal(0, 1, features),
        normal(0, 1, liveShape));
  }

  /** As {@link #of}, with every batch moved and stretched: {@code offset + scale * value}. */
  Case of(VbnConfig config, long[] liveShape, long[] referenceShape, double offset, double scale) {
    Case c = of(config, liveShape, referenceShape);
    return new Case(
        config,
        moved(c.x(), offset, scale),
        moved(c.reference(), offset, scale),
        c.gamma(),
        c.beta(),
        c.upstream());
  }

  private static HostTensor moved(HostTensor tensor, double offset, double scale) {
    double[] values = tensor.toDoubles();
    Arrays.setAll(values, i -> offset + scale * values[i]);
    return HostTensor.of(values, tensor.shape());
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
