package dev.vbn.reference;

import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Scope;
import dev.vbn.spi.SecondSlopes;
import dev.vbn.spi.SecondSums;
import dev.vbn.spi.TwiceDifferentiated;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/**
 * The gradients of a backward pass, by plain loops of 64 bits in memory order on the calling thread:
 * once for the sums, and once for what is written.
 */
final class SecondGradient {
  /** Additions of one partial sum: in 64 bits one running sum of a long batch is too coarse. */
  private static final int BLOCK = 64;

  // Places in the sums of a group.
  private static final int UPSTREAM = 0;
  private static final int UPSTREAM_INPUT = 1;
  private static final int SECOND = 2;
  private static final int SECOND_INPUT = 3;
  private static final int PRODUCT = 4;
  private static final int SUMS = 5;

  private final Normalization how;
  private final HostTensor x;
  private final HostTensor upstream;
  private final HostTensor v;
  private final int features;
  private final Mixture[] mixtures;

  /**
   * On a batch whose live statistics are known.
   *
   * @param live null in {@link Scope#NONE}
   */
  SecondGradient(
      HostTensor x,
      HostTensor upstream,
      HostTensor v,
      Normalization how,
      Moments<HostTensor> reference,
      @Nullable Moments<HostTensor> live) {
    this.how = how;
    this.x = x;
    this.upstream = upstream;
    this.v = v;
    features = (int) how.geometry().features();
    mixtures = new Mixture[(int) how.groups() * features];
    Arrays.setAll(mixtures, i -> {
      double mean = reference.mean().get(i % features);
      double variance = reference.variance().get(i % features);
      return live == null
          ? how.alone(mean, variance)
          : how.mix(mean, variance, live.mean().get(i), live.variance().get(i));
    });
  }

  /** Does something with a run: neighbouring elements of one group. */
  private interface RunAction {
    void accept(int group, int from, int to);
  }

  private void forEachRun(RunAction action) {
    Geometry geometry = how.geometry();
    boolean perExample = how.scope() == Scope.EXAMPLE;
    int after = (int) geometry.after();
    int at = 0;
    for (int example = 0; example < geometry.batch(); example++) {
      int first = perExample ? example * features : 0;
      for (long before = 0; before < geometry.before(); before++) {
        for (int feature = 0; feature < features; feature++) {
          action.accept(first + feature, at, at + after);
          at += after;
        }
      }
    }
  }

  /** The gradients, of {@code second} at the v that this was made with. */
  TwiceDifferentiated<HostTensor> compute(
      GradientUpstream<HostTensor> second, @Nullable HostTensor gamma) {
    double[] sums = sums();
    SecondSlopes[] slopes = new SecondSlopes[mixtures.length];
    HostTensor ofGamma = HostTensor.zeros(DType.FLOAT64, features);
    for (int i = 0; i < slopes.length; i++) {
      int feature = i % features;
      int at = i * SUMS;
      slopes[i] = how.secondSlopes(
          mixtures[i],
          gamma == null ? 1 : gamma.get(feature),
          new SecondSums(
              sums[at + UPSTREAM],
              sums[at + UPSTREAM_INPUT],
              sums[at + SECOND],
              sums[at + SECOND_INPUT],
              sums[at + PRODUCT]),
          valueOrZero(second.dgamma(), feature),
          valueOrZero(second.dbeta(), feature));
      ofGamma.doubles()[feature] += slopes[i].gamma();
    }
    HostTensor ofX = HostTensor.zeros(x.dtype(), x.shape());
    HostTensor ofUpstream = HostTensor.zeros(x.dtype(), x.shape());
    boolean alone = how.weight() == 0; // then x has no part in its own: 0 * NaN is NaN
    forEachRun((group, from, to) -> {
      SecondSlopes k = slopes[group];
      double mean = mixtures[group].mean();
      for (int i = from; i < to; i++) {
        double deviation = x.get(i) - mean;
        double shared = alone ? 0 : k.input() * v.get(i) + k.distance() * deviation;
        put(ofX, i, k.cross() * upstream.get(i) + shared + k.inputConstant());
        put(ofUpstream, i, k.upstream() * v.get(i) + k.cross() * deviation + k.upstreamConstant());
      }
    });
    return new TwiceDifferentiated<>(ofX, ofUpstream, ofGamma.to(x.dtype().parameterType()));
  }

  private static double valueOrZero(@Nullable HostTensor gradient, int feature) {
    return gradient == null ? 0 : gradient.get(feature);
  }

  private static void put(HostTensor tensor, int index, double value) {
    if (tensor.dtype() == DType.FLOAT64) {
      tensor.doubles()[index] = value;
    } else {
      tensor.floats()[index] = (float) value;
    }
  }

  /** The sums of each group, in the order of their elements. */
  private double[] sums() {
    double[] total = new double[mixtures.length * SUMS];
    double[] partial = new double[total.length];
    int[] additions = new int[mixtures.length];
    forEachRun((group, from, to) -> {
      int at = group * SUMS;
      double mean = mixtures[group].mean();
      double deviation = mixtures[group].deviation();
      for (int i = from; i < to; i++) {
        if (additions[group]++ == BLOCK) {
          additions[group] = 1;
          flush(partial, total, at);
        }
        double dy = upstream.get(i);
        double each = v.get(i);
        double xh = (x.get(i) - mean) / deviation;
        partial[at + UPSTREAM] += dy;
        partial[at + UPSTREAM_INPUT] += dy * xh;
        partial[at + SECOND] += each;
        partial[at + SECOND_INPUT] += each * xh;
        partial[at + PRODUCT] += dy * each;
      }
    });
    for (int at = 0; at < total.length; at += SUMS) {
      flush(partial, total, at);
    }
    return total;
  }

  private static void flush(double[] partial, double[] total, int at) {
    for (int i = at; i < at + SUMS; i++) {
      total[i] += partial[i];
      partial[i] = 0;
    }
  }
}
