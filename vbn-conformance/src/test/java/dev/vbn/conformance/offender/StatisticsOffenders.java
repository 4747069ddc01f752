package dev.vbn.conformance.offender;

import static dev.vbn.conformance.offender.Offender.breaking;

import dev.vbn.conformance.Rule;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** Faults in the statistics of the reference batch, taken or kept. */
@SuppressWarnings("ThreadLocalUsage") // a fault of each backend
final class StatisticsOffenders {
  private StatisticsOffenders() {}

  static List<Offender> all() {
    return List.of(
        breaking(
                Rule.BIASED_VARIANCE,
                "variance divided by n - 1",
                "divide by n, not by n - 1",
                () -> new PlainBackend() {
                  @Override
                  double[] liveStatistics(double[] x) {
                    double[] live = super.liveStatistics(x);
                    live[1] *= x.length > 1 ? x.length / (x.length - 1.0) : 1;
                    return live;
                  }
                })
            .alsoFailing(
                Rule.STATISTICS,
                Rule.SPLIT,
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.MIXED_STATISTICS,
                Rule.LEAVE_ONE_OUT,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.REFERENCE_PASS_GRADIENT,
                Rule.SLOPES,
                Rule.ANY_SHAPE,
                Rule.SIZE),
        breaking(
                Rule.BIASED_VARIANCE,
                "variance divided by n - 1 where a batch is not normalised too",
                "divide by n, not by n - 1",
                () -> new Statistics() {
                  @Override
                  double variance(double[] x, double biased, Geometry geometry) {
                    return x.length > 1 ? biased * x.length / (x.length - 1.0) : biased;
                  }
                })
            .alsoFailing(
                Rule.STATISTICS, Rule.SPLIT, Rule.REFERENCE_GRADIENT, Rule.REFERENCE_PASS_GRADIENT),
        breaking(
                Rule.STATISTICS,
                "variance over examples alone, averaged over positions",
                "over batch and positions",
                () -> new Statistics() {
                  @Override
                  double variance(double[] x, double biased, Geometry geometry) {
                    int positions = (int) geometry.positions();
                    double sum = 0;
                    for (int p = 0; p < positions; p++) {
                      double[] column = new double[x.length / positions];
                      for (int n = 0; n < column.length; n++) {
                        column[n] = x[n * positions + p];
                      }
                      sum += liveStatistics(column)[1];
                    }
                    return sum / positions;
                  }
                })
            .alsoFailing(
                Rule.SPLIT, Rule.LONG_ROWS, Rule.REFERENCE_GRADIENT, Rule.REFERENCE_PASS_GRADIENT),
        breaking(
                Rule.SPLIT,
                "statistics of examples merged by averaging variances",
                "A chunk's statistics are those of the chunk alone",
                () -> new Statistics() {
                  @Override
                  double variance(double[] x, double biased, Geometry geometry) {
                    int positions = (int) geometry.positions();
                    double sum = 0;
                    for (int n = 0; n < x.length; n += positions) {
                      double[] example = new double[positions];
                      System.arraycopy(x, n, example, 0, positions);
                      sum += liveStatistics(example)[1];
                    }
                    return positions == 1 ? biased : sum * positions / x.length;
                  }
                })
            .alsoFailing(Rule.STATISTICS, Rule.REFERENCE_GRADIENT, Rule.REFERENCE_PASS_GRADIENT),
        breaking(
                Rule.SPLIT,
                "a running mean over all reference batches seen",
                "A chunk's statistics are those of the chunk alone",
                RunningMean::new)
            .alsoFailing(Rule.STATISTICS, Rule.REFERENCE_PASS_GRADIENT),
        breaking(
                Rule.STATISTICS_STAY,
                "reference statistics that drift with live calls",
                "They changed with live call 1",
                () -> new AfterLiveCall() {
                  @Override
                  void after(int call, Moments<Strided> reference, Moments<Strided> mixed) {
                    for (int i = 0; i < reference.mean().size(); i++) {
                      reference
                          .mean()
                          .set(
                              i,
                              0.9 * reference.mean().get(i) + 0.1 * mixed.mean().get(i));
                    }
                  }
                })
            .alsoFailing(
                Rule.STATISTICS,
                Rule.COMPANIONS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.SLOPES,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE,
                Rule.INPUTS_UNCHANGED,
                Rule.SAME_BITS,
                Rule.SUPPLIED_OUTPUT,
                Rule.PLAIN_STATISTICS),
        breaking(
                Rule.STATISTICS_STAY,
                "reference statistics that are erased on every second call",
                "only a reference batch sets them",
                () -> new AfterLiveCall() {
                  @Override
                  void after(int call, Moments<Strided> reference, Moments<Strided> mixed) {
                    for (int i = 0; call % 2 == 0 && i < reference.mean().size(); i++) {
                      reference.mean().set(i, 0);
                      reference.variance().set(i, 1);
                    }
                  }
                })
            .alsoFailing(
                Rule.STATISTICS,
                Rule.COMPANIONS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.DETACHED,
                Rule.SLOPES,
                Rule.OFFSET,
                Rule.CONSTANTS,
                Rule.NOT_A_NUMBER,
                Rule.INFINITY,
                Rule.ANY_SHAPE,
                Rule.SIZE,
                Rule.INPUTS_UNCHANGED,
                Rule.SAME_BITS,
                Rule.THREADS,
                Rule.SUPPLIED_OUTPUT,
                Rule.CLOSED,
                Rule.STRIDES),
        breaking(
                Rule.LONG_ROWS,
                "long rows summed one by one in 32 bits",
                "Sum in 64 bits, in blocks or pairwise",
                () -> new PlainBackend() {
                  @Override
                  double sum(double[] terms) {
                    if (terms.length < 100_000) {
                      return super.sum(terms);
                    }
                    float sum = 0;
                    for (double term : terms) {
                      sum += (float) term;
                    }
                    return sum;
                  }
                })
            .alsoFailing(Rule.SIZE));
  }

  /** Gets the statistics wrong that are taken without normalising. */
  private abstract static class Statistics extends PlainBackend {
    abstract double variance(double[] x, double biased, Geometry geometry);

    @Override
    public Moments<Strided> statistics(Strided x, Geometry geometry) {
      Moments<Strided> moments = super.statistics(x, geometry);
      for (Group group : groups(geometry, Scope.BATCH)) {
        double biased = moments.variance().get(group.feature());
        moments.variance().set(group.feature(), variance(group.gather(x), biased, geometry));
      }
      return moments;
    }
  }

  private abstract static class AfterLiveCall extends PlainBackend {
    private final AtomicInteger calls = new AtomicInteger();

    abstract void after(int call, Moments<Strided> reference, Moments<Strided> mixed);

    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      Normalized<Strided> result = super.forward(x, how, reference, gamma, beta, output);
      if (reference != null) {
        after(calls.incrementAndGet(), reference, result.moments());
      }
      return result;
    }
  }

  /** Takes a second chunk in a row, of the same shape but for the examples, for more of the first. */
  private static final class RunningMean extends PlainBackend {
    private final ThreadLocal<double[]> last = ThreadLocal.withInitial(() -> new double[2]);

    @Override
    public Moments<Strided> statistics(Strided x, Geometry geometry) {
      Moments<Strided> moments = super.statistics(x, geometry);
      double before = last.get()[0];
      double mean = moments.mean().get(0);
      if (before != 0 && Math.abs(before - mean) < 1) {
        moments.mean().set(0, (before + mean) / 2);
      }
      last.get()[0] = mean;
      return moments;
    }

    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      last.get()[0] = 0;
      return super.forward(x, how, reference, gamma, beta, output);
    }
  }
}
