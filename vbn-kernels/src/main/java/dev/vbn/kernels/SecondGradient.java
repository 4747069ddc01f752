package dev.vbn.kernels;

import dev.vbn.spi.Counted;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Mixture;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Scope;
import dev.vbn.spi.SecondSlopes;
import dev.vbn.spi.SecondSums;
import java.util.Arrays;

/**
 * The gradients of a backward pass, by plain loops of 64 bits in memory order on the calling
 * thread: once for the sums, and once for what is written.
 */
final class SecondGradient {
  /**
   * Additions of one partial sum: even in 64 bits, one running sum over a long batch is too coarse.
   */
  private static final int BLOCK = 64;

  // Places in the sums of a group.
  private static final int UPSTREAM = 0;
  private static final int UPSTREAM_INPUT = 1;
  private static final int SECOND = 2;
  private static final int SECOND_INPUT = 3;
  private static final int PRODUCT = 4;
  private static final int SUMS = 5;

  private final Normalization how;
  private final Elements<?> input;
  private final Elements<?> upstream;
  private final Elements<?> second;
  private final int features;

  /** Of each group and feature. */
  private final Mixture[] mixtures;

  private final double[] x = new double[Elements.LONGEST_COPY];
  private final double[] dy = new double[Elements.LONGEST_COPY];
  private final double[] v = new double[Elements.LONGEST_COPY];

  SecondGradient(
      Normalization how,
      Elements<?> input,
      Elements<?> upstream,
      Elements<?> second,
      Mixture[] mixtures) {
    this.how = how;
    this.input = input;
    this.upstream = upstream;
    this.second = second;
    this.mixtures = mixtures;
    features = Math.toIntExact(how.geometry().features());
  }

  private interface RunAction {
    /** Takes neighbours of one group and feature, from one index of the arrays to another. */
    void accept(int group, int from, int to);
  }

  private interface CopyAction {
    /** Takes what has been copied, whose first element was at {@code at}. */
    void accept(long at, int count);
  }

  /**
   * Copies the batch in pieces: the first action takes each run of one, then the second all of it.
   */
  private void forEachPiece(RunAction ofRun, CopyAction ofPiece) {
    Geometry geometry = how.geometry();
    long after = geometry.after();
    long example = geometry.positions() * features;
    for (long at = 0; at < geometry.size(); at += x.length) {
      int count = (int) Math.min(x.length, geometry.size() - at);
      input.read(at, count, x);
      upstream.read(at, count, dy);
      second.read(at, count, v);
      for (int from = 0; from < count; ) {
        long run = (at + from) / after;
        int to = (int) Math.min(count, (run + 1) * after - at);
        int first = how.scope() == Scope.EXAMPLE ? (int) ((at + from) / example) * features : 0;
        int group = first + (int) (run % features);
        if (geometry.counted() == null) {
          ofRun.accept(group, from, to);
        } else {
          forEachSpan(geometry.counted(), run / features, at - run * after, group, from, to, ofRun);
        }
        from = to;
      }
      ofPiece.accept(at, count);
    }
  }

  /**
   * Goes through what counts in a run of a row. What does not is 0 afterwards.
   *
   * @param offset from an index of the arrays to a position of the run
   */
  private void forEachSpan(
      Counted counted, long row, long offset, int group, int from, int to, RunAction ofRun) {
    int next = from;
    for (int span = 0; span < counted.spans(row); span++) {
      int begin = (int) Math.max(next, counted.from(row, span) - offset);
      int end = (int) Math.min(to, counted.to(row, span) - offset);
      if (begin < end) {
        clear(next, begin);
        ofRun.accept(group, begin, end);
        next = end;
      }
    }
    clear(next, to);
  }

  private void clear(int from, int to) {
    Arrays.fill(x, from, to, 0);
    Arrays.fill(dy, from, to, 0);
  }

  /**
   * Writes both gradients, and returns that of gamma.
   *
   * @param gamma of each feature
   * @param vgamma upstream gradients of dgamma
   * @param vbeta upstream gradients of dbeta
   */
  double[] compute(
      double[] gamma,
      double[] vgamma,
      double[] vbeta,
      Elements<?> ofInput,
      Elements<?> ofUpstream) {
    double[] sums = sums();
    SecondSlopes[] slopes = new SecondSlopes[mixtures.length];
    double[] ofGamma = new double[features];
    for (int i = 0; i < slopes.length; i++) {
      int feature = i % features;
      int at = i * SUMS;
      if (how.elementsPerGroup(i / features) == 0) {
        continue;
      }
      slopes[i] = how.secondSlopes(
          mixtures[i],
          gamma[feature],
          how.elementsPerGroup(i / features),
          new SecondSums(
              sums[at + UPSTREAM],
              sums[at + UPSTREAM_INPUT],
              sums[at + SECOND],
              sums[at + SECOND_INPUT],
              sums[at + PRODUCT]),
          vgamma[feature],
          vbeta[feature]);
      ofGamma[feature] += slopes[i].gamma();
    }
    boolean alone = how.weight() == 0; // then x has no part in its own: 0 * NaN is NaN
    forEachPiece(
        (group, from, to) -> {
          SecondSlopes k = slopes[group];
          double mean = mixtures[group].mean();
          for (int i = from; i < to; i++) {
            double deviation = x[i] - mean;
            double shared = alone ? 0 : k.input() * v[i] + k.distance() * deviation;
            x[i] = k.cross() * dy[i] + shared + k.inputConstant();
            dy[i] = k.upstream() * v[i] + k.cross() * deviation + k.upstreamConstant();
          }
        },
        (at, count) -> {
          ofInput.write(at, count, x);
          ofUpstream.write(at, count, dy);
        });
    return ofGamma;
  }

  /** The sums of each group, in the order of their elements. */
  private double[] sums() {
    double[] total = new double[mixtures.length * SUMS];
    double[] partial = new double[total.length];
    int[] additions = new int[mixtures.length];
    forEachPiece(
        (group, from, to) -> {
          int at = group * SUMS;
          double mean = mixtures[group].mean();
          double deviation = mixtures[group].deviation();
          for (int i = from; i < to; i++) {
            if (additions[group]++ == BLOCK) {
              additions[group] = 1;
              flush(partial, total, at);
            }
            double xh = (x[i] - mean) / deviation;
            partial[at + UPSTREAM] += dy[i];
            partial[at + UPSTREAM_INPUT] += dy[i] * xh;
            partial[at + SECOND] += v[i];
            partial[at + SECOND_INPUT] += v[i] * xh;
            partial[at + PRODUCT] += dy[i] * v[i];
          }
        },
        (at, count) -> {});
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
