package dev.vbn.bench;

import dev.vbn.Variant;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.List;
import org.jspecify.annotations.Nullable;

/**
 * What a workload's results must be: the formulas written down once more, in 64 bits and element by
 * element. It shares no code with any contender.
 */
final class Oracle {
  /** Relative to the largest of a result, whose elements may be sums that cancel. */
  private static final double TOLERANCE = 2e-5;

  private static final double TOLERANCE_OF_64_BITS = 1e-10;

  private final Workload workload;
  private final int features;
  private final boolean perExample;
  private final double weight;
  private final double[] mean;
  private final double[] deviation;
  private final double[] elements;
  private final double[] sums;
  private final double[] sumsAround;

  /**
   * The results of a task.
   *
   * @param task not COPY
   */
  Oracle(Workload workload, Contender.Task task, Pass pass) {
    this.workload = workload;
    long[] axes = workload.x().shape();
    features = (int) axes[workload.config().featureAxis()];
    Variant variant = workload.config().variant();
    boolean own = task == Contender.Task.BATCH_NORM;
    perExample = !own && variant == Variant.PER_EXAMPLE;
    int groups = perExample ? (int) axes[0] : 1;
    mean = new double[groups * features];
    deviation = new double[groups * features];
    elements = new double[groups * features];
    sums = new double[groups * features];
    sumsAround = new double[groups * features];
    double[] variance = new double[groups * features];
    boolean[] counts = workload.counts();
    moments(workload.x(), groups, counts, mean, variance, elements);
    weight =
        own ? 1 : weight(variant, examples(counts), (int) workload.reference().shape()[0]);
    double[] referenceMean = new double[features];
    double[] referenceVariance = new double[features];
    moments(workload.reference(), 1, null, referenceMean, referenceVariance, new double[features]);
    for (int i = 0; i < mean.length; i++) {
      double apart = weight == 0 ? 0 : mean[i] - referenceMean[i % features];
      double mixed = weight == 0
          ? referenceVariance[i % features]
          : weight * variance[i]
              + (1 - weight) * (referenceVariance[i % features] + weight * apart * apart);
      mean[i] = referenceMean[i % features] + weight * apart;
      deviation[i] = Math.sqrt(mixed + workload.config().epsilon());
    }
    if (pass != Pass.FORWARD) {
      HostTensor x = workload.x();
      HostTensor dy = workload.upstream();
      forEach(x, counts, (i, example, feature, counted) -> {
        if (counted) {
          int group = group(example, feature);
          sums[group] += dy.get(i);
          sumsAround[group] += dy.get(i) * (x.get(i) - mean[group]) / deviation[group];
        }
      });
    }
  }

  /** Examples in which something counts. */
  private int examples(boolean @Nullable [] counts) {
    int examples = (int) workload.x().shape()[0];
    if (counts == null) {
      return examples;
    }
    boolean[] some = new boolean[examples];
    for (int i = 0; i < counts.length; i++) {
      some[(int) ((long) i * examples / counts.length)] |= counts[i];
    }
    int number = 0;
    for (boolean counted : some) {
      number += counted ? 1 : 0;
    }
    return number;
  }

  /** As the papers and the code that is found on the web have it. */
  private double weight(Variant variant, int examples, int referenceExamples) {
    double live = elements[0];
    double reference = (double) workload.reference().size() / features;
    return switch (variant) {
      case LIVE_BATCH -> 1.0 / (examples + 1);
      case BATCH, PER_EXAMPLE -> 1.0 / (referenceExamples + 1);
      case POOLED -> live / (live + reference);
      case REFERENCE_ONLY -> 0;
    };
  }

  private interface Visit {
    void at(int i, int example, int feature, boolean counted);
  }

  /** All elements of a batch, in the order of its memory. */
  private void forEach(HostTensor batch, boolean @Nullable [] counts, Visit visit) {
    long[] axes = batch.shape();
    int before = 1;
    for (int axis = 1; axis < workload.config().featureAxis(); axis++) {
      before *= (int) axes[axis];
    }
    int rows = (int) axes[0] * before;
    int after = batch.size() / rows / features;
    int i = 0;
    for (int row = 0; row < rows; row++) {
      for (int feature = 0; feature < features; feature++) {
        for (int a = 0; a < after; a++) {
          visit.at(i++, row / before, feature, counts == null || counts[row * after + a]);
        }
      }
    }
  }

  private int group(int example, int feature) {
    return perExample ? example * features + feature : feature;
  }

  private void moments(
      HostTensor batch,
      int groups,
      boolean @Nullable [] counts,
      double[] means,
      double[] variances,
      double[] numbers) {
    boolean one = groups == 1;
    forEach(batch, counts, (i, example, feature, counted) -> {
      if (counted) {
        int group = one ? feature : group(example, feature);
        means[group] += batch.get(i);
        numbers[group]++;
      }
    });
    for (int i = 0; i < means.length; i++) {
      means[i] /= numbers[i];
    }
    forEach(batch, counts, (i, example, feature, counted) -> {
      if (counted) {
        int group = one ? feature : group(example, feature);
        double d = batch.get(i) - means[group];
        variances[group] += d * d;
      }
    });
    for (int i = 0; i < means.length; i++) {
      variances[i] /= numbers[i];
    }
  }

  /**
   * Compares results with the right ones.
   *
   * @throws IllegalStateException if one differs
   */
  void check(Pass pass, List<HostTensor> results) {
    List<String> names = pass.results();
    if (results.size() != names.size()) {
      throw new IllegalStateException(
          "gives " + results.size() + " results; expected " + String.join(", ", names));
    }
    for (int i = 0; i < results.size(); i++) {
      String name = names.get(i);
      Worst worst = new Worst(name, results.get(i));
      switch (name) {
        case "y", "dx" -> check(name.equals("y"), worst);
        default -> {
          double[] expected = new double[features];
          double[] ofGroups = name.equals("dgamma") ? sumsAround : sums;
          for (int group = 0; group < ofGroups.length; group++) {
            expected[group % features] += ofGroups[group];
          }
          for (int feature = 0; feature < features; feature++) {
            worst.compare(feature, expected[feature]);
          }
        }
      }
      worst.check();
    }
  }

  private void check(boolean output, Worst worst) {
    HostTensor x = workload.x();
    HostTensor dy = workload.upstream();
    HostTensor gamma = workload.gamma();
    HostTensor beta = workload.beta();
    forEach(x, workload.counts(), (i, example, feature, counted) -> {
      int group = group(example, feature);
      double normalized = (x.get(i) - mean[group]) / deviation[group];
      double expected = output
          ? gamma.get(feature) * normalized + beta.get(feature)
          : gamma.get(feature)
              / deviation[group]
              * (dy.get(i)
                  - weight / elements[group] * (sums[group] + normalized * sumsAround[group]));
      worst.compare(i, counted ? expected : 0);
    });
  }

  /** The element that is farthest off. */
  private static final class Worst {
    private final String name;
    private final HostTensor actual;
    private double distance;
    private double largest;
    private double expected;
    private int index;

    Worst(String name, HostTensor actual) {
      this.name = name;
      this.actual = actual;
    }

    void compare(int i, double value) {
      double off = Math.abs(actual.get(i) - value);
      if (!(off <= distance) && !Double.isNaN(distance)) { // NaN too, which stays
        distance = off;
        expected = value;
        index = i;
      }
      largest = Math.max(largest, Math.abs(value));
    }

    void check() {
      double tolerance = actual.dtype() == DType.FLOAT64 ? TOLERANCE_OF_64_BITS : TOLERANCE;
      if (!(distance <= tolerance * largest)) {
        throw new IllegalStateException("is wrong: " + name + "[" + index + "] is "
            + actual.get(index) + "; expected " + expected);
      }
    }
  }
}
