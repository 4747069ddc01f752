package dev.vbn.conformance;

import dev.vbn.Variant;
import dev.vbn.VbnConfig;
import dev.vbn.conformance.Manner.Into;
import dev.vbn.conformance.Manner.Passes;
import dev.vbn.conformance.Manner.Source;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** One tensor in the place of several arguments. */
abstract class AliasRules extends Rules {
  private static final List<Argument> BATCHES = List.of(
      Argument.X,
      Argument.UPSTREAM,
      Argument.REFERENCE,
      Argument.REFERENCE_UPSTREAM,
      Argument.SECOND_DX);
  private static final List<Argument> VECTORS = List.of(
      Argument.GAMMA,
      Argument.BETA,
      Argument.MEAN,
      Argument.VARIANCE,
      Argument.SECOND_DGAMMA,
      Argument.SECOND_DBETA);

  /** Means that are their own variances, in whatever arithmetic: counts are powers of two. */
  private static final double[] MEANS = {1, 4, 0.25};

  private static final int POSITIONS = 8;
  private static final int[] SIGNS = {1, 1, -1, 1, -1, -1, 1, -1};

  AliasRules(VbnConformance kit) {
    super(kit);
  }

  /** By any two of them, and by all. */
  @ParameterizedTest
  @EnumSource(Variant.class)
  @Checks(Rule.ALIASES)
  final void oneTensorMayBeSeveralArguments(Variant variant) {
    holds(() -> {
      VbnConfig config =
          VbnConfig.of(3).withVariant(variant).withReferenceGradient(ReferenceGradient.ATTACHED);
      for (DType dtype : subject().dtypes()) {
        for (Passes passes : Passes.values()) {
          Manner manner = new Manner(Into.NEW, Into.NEW, Source.MOMENTS, passes);
          check(subject(), channelsFirst(config), dtype, manner);
          check(subject(), channelsLast(config.withFeatureAxis(-1)), dtype, manner);
        }
      }
    });
  }

  private static Case channelsFirst(VbnConfig config) {
    double[] values = new double[4 * 3 * POSITIONS];
    Arrays.setAll(values, i -> value(i / POSITIONS % 3, i + i / (3 * POSITIONS)));
    return ofOneBatch(config, HostTensor.of(values, 4, 3, POSITIONS));
  }

  private static Case channelsLast(VbnConfig config) {
    double[] values = new double[4 * POSITIONS * 3];
    Arrays.setAll(values, i -> value(i % 3, i / 3 + i / (3 * POSITIONS)));
    return ofOneBatch(config, HostTensor.of(values, 4, POSITIONS, 3));
  }

  private static double value(int feature, int position) {
    return MEANS[feature] + SIGNS[position % POSITIONS] * Math.sqrt(MEANS[feature]);
  }

  /** All batches are this one, and every tensor of one number per feature is its means. */
  private static Case ofOneBatch(VbnConfig config, HostTensor batch) {
    HostTensor means = HostTensor.of(MEANS, 3);
    return new Case(config, batch, batch, means, means, batch, batch)
        .withSecond(new GradientUpstream<>(batch, means, means));
  }

  private static <T> void check(Subject<T> subject, Case c, DType dtype, Manner manner) {
    Computed apart = right(subject, c, dtype, manner);
    for (Set<Argument> sharing : sharing(dtype)) {
      try (SharedTensors<T> made = new SharedTensors<>(subject.backend, sharing)) {
        assertEqualBits(
            ", of one tensor for " + sharing + ", " + c.describe() + ", in " + dtype + ", by "
                + manner.passes(),
            apart,
            subject.run(c, dtype, manner, made),
            "Take each argument for what it holds: none is known by the place of another.");
      }
    }
  }

  private static List<Set<Argument>> sharing(DType dtype) {
    List<Set<Argument>> all = new ArrayList<>();
    all.add(EnumSet.allOf(Argument.class));
    if (dtype == DType.FLOAT32) {
      for (List<Argument> arguments : List.of(BATCHES, VECTORS)) {
        for (Argument one : arguments) {
          for (Argument other : arguments) {
            if (one.compareTo(other) < 0) {
              all.add(EnumSet.of(one, other));
            }
          }
        }
      }
    }
    return all;
  }
}
