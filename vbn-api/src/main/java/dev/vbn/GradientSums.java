package dev.vbn;

import static java.util.Objects.requireNonNull;

import java.io.InvalidObjectException;
import java.io.ObjectInputStream;
import java.io.Serializable;
import java.util.Arrays;

/**
 * The sums over a part of a live batch that its gradients are made of, {@code sum(gamma*dy)} and
 * {@code sum(gamma*dy*xh)} per feature, as plain numbers: what workers that share live statistics
 * add up in a backward pass.
 *
 * <p>Immutable and safe to share between threads.
 */
public final class GradientSums implements Serializable {
  private static final long serialVersionUID = 1L;

  private final double[] upstream;
  private final double[] upstreamInput;

  GradientSums(double[] upstream, double[] upstreamInput) {
    this.upstream = upstream;
    this.upstreamInput = upstreamInput;
  }

  /** Number of features. */
  public int features() {
    return upstream.length;
  }

  /** The sum of {@code gamma*dy} per feature; a copy. */
  public double[] upstream() {
    return upstream.clone();
  }

  /** The sum of {@code gamma*dy*xh} per feature; a copy. */
  public double[] upstreamInput() {
    return upstreamInput.clone();
  }

  /**
   * The sums over both parts. Up to rounding their order does not matter; the same order gives the
   * same bits.
   *
   * @throws IllegalArgumentException if the other has a different number of features
   */
  public GradientSums merge(GradientSums other) {
    requireNonNull(other, "other is null; expected the sums of another part");
    if (other.features() != features()) {
      throw new IllegalArgumentException("sums of " + other.features()
          + " features were to be added to those of " + features() + "; expected as many");
    }
    double[] a = upstream.clone();
    double[] b = upstreamInput.clone();
    for (int i = 0; i < a.length; i++) {
      a[i] += other.upstream[i];
      b[i] += other.upstreamInput[i];
    }
    return new GradientSums(a, b);
  }

  private void readObject(ObjectInputStream in) throws InvalidObjectException {
    throw new InvalidObjectException("stream holds GradientSums; expected their serialized form");
  }

  private Object writeReplace() {
    return new Serialized(upstream, upstreamInput);
  }

  /** What a stream holds. */
  private record Serialized(double[] upstream, double[] upstreamInput) implements Serializable {
    private Object readResolve() throws InvalidObjectException {
      if (upstream == null || upstreamInput == null || upstream.length != upstreamInput.length) {
        throw new InvalidObjectException("stream does not hold two sums for each feature");
      }
      return new GradientSums(upstream, upstreamInput);
    }
  }

  /** Whether the other holds the same numbers. */
  @Override
  public boolean equals(Object object) {
    return object instanceof GradientSums other
        && Arrays.equals(upstream, other.upstream)
        && Arrays.equals(upstreamInput, other.upstreamInput);
  }

  @Override
  public int hashCode() {
    return 31 * Arrays.hashCode(upstream) + Arrays.hashCode(upstreamInput);
  }

  /** Number of features. */
  @Override
  public String toString() {
    return "GradientSums(features=" + features() + ")";
  }
}
