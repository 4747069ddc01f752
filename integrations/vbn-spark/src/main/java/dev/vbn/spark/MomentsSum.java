package dev.vbn.spark;

import dev.vbn.ExactMoments;
import dev.vbn.ReferenceMoments;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.io.Serializable;
import org.jspecify.annotations.Nullable;

/**
 * What a {@link MomentsAggregator} carries from row to row and from task to task. Not for users:
 * Spark asks for a public class.
 *
 * <p>Exact sums that know the number of features from their first example, because Spark starts one
 * for each partition before it has seen any. As with {@link ExactMoments}, the bits are the same in
 * any order.
 */
public final class MomentsSum implements Serializable {
  private static final long serialVersionUID = 1L;

  /** What the examples are in, for messages. */
  private final String source;

  private @Nullable ExactMoments sum;

  MomentsSum(String source) {
    this.source = source;
  }

  /** @param example shape {@code [1, features]} or {@code [1, positions, features]} */
  MomentsSum add(HostTensor example) {
    long[] shape = example.shape();
    ExactMoments features = sum((int) shape[shape.length - 1]);
    if (shape.length > 2) {
      features.add(example, -1);
    } else if (example.dtype() == DType.FLOAT32) {
      features.add(example.floats());
    } else {
      features.add(example.doubles());
    }
    return this;
  }

  MomentsSum add(double[] example) {
    sum(example.length).add(example);
    return this;
  }

  MomentsSum add(float[] example) {
    sum(example.length).add(example);
    return this;
  }

  MomentsSum merge(MomentsSum other) {
    if (other.sum != null) {
      sum(other.sum.features()).merge(other.sum);
    }
    return this;
  }

  private ExactMoments sum(int features) {
    if (sum == null) {
      if (features == 0) {
        throw new IllegalArgumentException(
            source + " has an example without values; expected one of each feature");
      }
      sum = new ExactMoments(features);
    } else if (sum.features() != features) {
      throw new IllegalArgumentException(source + " has examples of " + sum.features()
          + " features and of " + features + "; expected the same number in all");
    }
    return sum;
  }

  /** The statistics, which may not be finite; null if there was no example. */
  @Nullable
  ReferenceMoments result() {
    return sum == null || sum.examples() == 0 ? null : sum.result();
  }

  /**
   * The statistics, checked for use as those of a reference batch.
   *
   * @throws IllegalArgumentException if there was no example, or NaN or infinity in one
   */
  ReferenceMoments finiteResult() {
    ReferenceMoments result = result();
    if (sum == null || result == null) {
      throw noExample(source);
    }
    long[] counts = sum.nonFinite();
    double[] variance = result.variance();
    for (int i = 0; i < counts.length; i++) {
      if (counts[i] > 0) {
        throw new IllegalArgumentException(source + " has NaN or infinity in feature " + i + " ("
            + counts[i] + " of " + result.elements()
            + " elements); expected finite numbers in a reference batch");
      }
      if (!Double.isFinite(variance[i])) {
        throw new IllegalArgumentException(source + " has a variance beyond the largest double in"
            + " feature " + i + "; expected a finite variance");
      }
    }
    return result;
  }

  static IllegalArgumentException noExample(String source) {
    return new IllegalArgumentException(
        source + " has no example that counts; expected a reference batch of at least one");
  }
}
