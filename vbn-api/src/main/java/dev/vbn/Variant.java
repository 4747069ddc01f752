package dev.vbn;

import static java.util.Objects.requireNonNull;
import static java.util.stream.Collectors.joining;

import dev.vbn.spi.Scope;
import java.util.Arrays;
import java.util.Locale;

/**
 * The five functions that go by the name of virtual batch normalization. They are one formula with
 * a {@link Scope} for the live statistics and a weight for them.
 *
 * <p>N, R: examples in the live and the reference batch; P, Pr: positions of one example.
 */
public enum Variant {
  /** Statistics of the whole live batch, weight 1/(N+1). The default: SEGAN in PyTorch. */
  LIVE_BATCH(Scope.BATCH),
  /** Statistics of the whole live batch, weight 1/(R+1): SEGAN in TensorFlow, mlpack. */
  BATCH(Scope.BATCH),
  /** Statistics of each example, weight 1/(R+1): Salimans et al. (2016), TF-GAN. */
  PER_EXAMPLE(Scope.EXAMPLE),
  /**
   * Statistics of the whole live batch, weight N*P/(N*P+R*Pr): batch normalization over reference
   * and live batch together (torsh).
   */
  POOLED(Scope.BATCH),
  /** No live statistics, weight 0: evolution strategies (Salimans et al. 2017). */
  REFERENCE_ONLY(Scope.NONE);

  private final Scope scope;

  Variant(Scope scope) {
    this.scope = scope;
  }

  /** What the live statistics are taken over. */
  public Scope scope() {
    return scope;
  }

  /**
   * Weight of the live statistics in the mixed ones.
   *
   * @param liveExamples N
   * @param liveElements N*P, elements of one feature in the live batch
   * @param referenceExamples R
   * @param referenceElements R*Pr, elements of one feature in the reference batch
   */
  public double weight(
      long liveExamples, long liveElements, long referenceExamples, long referenceElements) {
    return switch (this) {
      case LIVE_BATCH -> 1.0 / (liveExamples + 1.0);
      case BATCH, PER_EXAMPLE -> 1.0 / (referenceExamples + 1.0);
      case POOLED -> liveElements / ((double) liveElements + referenceElements);
      case REFERENCE_ONLY -> 0;
    };
  }

  /** Whether the weight depends on the examples of the reference batch. */
  public boolean needsExamples() {
    return this == BATCH || this == PER_EXAMPLE;
  }

  /** Whether the weight depends on the elements of the reference batch. */
  public boolean needsElements() {
    return this == POOLED;
  }

  /**
   * The variant of a {@link #label()}.
   *
   * @throws IllegalArgumentException if there is none of that name
   */
  public static Variant of(String label) {
    requireNonNull(label, "label is null; expected the name of a variant");
    for (Variant variant : values()) {
      if (variant.label().equals(label)) {
        return variant;
      }
    }
    throw new IllegalArgumentException("variant is '" + label + "'; expected one of "
        + Arrays.stream(values()).map(Variant::label).collect(joining(", ")));
  }

  /** The name on the command line and in messages, for instance {@code live-batch}. */
  public String label() {
    return name().toLowerCase(Locale.ROOT).replace('_', '-');
  }
}
