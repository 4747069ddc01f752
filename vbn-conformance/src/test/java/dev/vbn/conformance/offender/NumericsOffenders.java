package dev.vbn.conformance.offender;

import static dev.vbn.conformance.offender.Offender.breaking;

import dev.vbn.conformance.Rule;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Faults that ordinary numbers and ordinary sizes do not show. */
final class NumericsOffenders {
  private NumericsOffenders() {}

  static List<Offender> all() {
    return List.of(
        breaking(
                Rule.OFFSET,
                "textbook variance, E[x^2] - m^2",
                "E[x^2]-m^2",
                () -> new PlainBackend() {
                  @Override
                  double[] liveStatistics(double[] x) {
                    double mean = sum(x) / x.length;
                    double[] squares =
                        Arrays.stream(x).map(value -> value * value).toArray();
                    return new double[] {mean, sum(squares) / x.length - mean * mean};
                  }
                })
            .alsoFailing(Rule.ANY_SHAPE),
        breaking(
                Rule.OFFSET,
                "textbook variance in 32 bits far from 0, cut off at 0",
                "loses the deviations",
                () -> new PlainBackend() {
                  @Override
                  double[] liveStatistics(double[] x) {
                    double[] live = super.liveStatistics(x);
                    if (Math.abs(live[0]) > 0x1p19 && Math.abs(live[0]) < 0x1p21) {
                      float square = (float) (live[1] + live[0] * live[0]);
                      live[1] = Math.max(0, square - (float) live[0] * (float) live[0]);
                    }
                    return live;
                  }
                })
            .alsoFailing(Rule.LONG_ROWS, Rule.ANY_SHAPE),
        breaking(
                Rule.OFFSET,
                "statistics held in 32 bits",
                "a mean held in 32 bits",
                () -> new PlainBackend() {
                  @Override
                  public DType statisticsType(DType dtype) {
                    return DType.FLOAT32;
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
                Rule.MIXED_STATISTICS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.REFERENCE_PASS_GRADIENT,
                Rule.SLOPES,
                Rule.LARGEST,
                Rule.SMALLEST,
                Rule.ANY_SHAPE),
        breaking(
                Rule.CONSTANTS,
                "no epsilon where the variance is 0",
                "Mean and constant cancel exactly",
                () -> new PlainBackend() {
                  @Override
                  double deviation(double v, double epsilon) {
                    return v == 0 ? 0 : Math.sqrt(v + epsilon);
                  }
                })
            .alsoFailing(
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.ANY_SHAPE,
                Rule.STRIDES),
        breaking(
                Rule.CONSTANTS,
                "a constant taken for 0, whatever the mean",
                "Mean and constant cancel exactly",
                () -> new PlainBackend() {
                  @Override
                  double deviation(double v, double epsilon) {
                    return v == 0 ? 1 : Math.sqrt(v + epsilon);
                  }
                })
            .alsoFailing(
                Rule.REFERENCE_ONLY,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT),
        breaking(
            Rule.LARGEST,
            "squares that overflow in 32 bits",
            "Squares of finite floats",
            () -> new PlainBackend() {
              @Override
              double[] liveStatistics(double[] x) {
                double[] live = super.liveStatistics(x);
                live[1] = live[1] > Float.MAX_VALUE ? Double.POSITIVE_INFINITY : live[1];
                return live;
              }
            }),
        breaking(
            Rule.NOT_A_NUMBER,
            "NaN left out of the statistics",
            "its group holds one, and it must show",
            () -> new PlainBackend() {
              @Override
              double[] liveStatistics(double[] x) {
                double[] numbers =
                    Arrays.stream(x).filter(value -> !Double.isNaN(value)).toArray();
                return super.liveStatistics(numbers.length == 0 ? x : numbers);
              }
            }),
        breaking(
                Rule.NOT_A_NUMBER,
                "NaN swallowed by a comparison, in output",
                "its group holds one, and it must show",
                () -> new PlainBackend() {
                  @Override
                  double output(double xh, double gamma, double beta) {
                    double y = super.output(xh, gamma, beta);
                    return Double.isNaN(y) ? 0 : y;
                  }
                })
            .alsoFailing(Rule.INFINITY),
        breaking(
                Rule.NOT_A_NUMBER,
                "a variance of NaN cut off at 0",
                "reference variance",
                () -> new PlainBackend() {
                  @Override
                  double[] liveStatistics(double[] x) {
                    double[] live = super.liveStatistics(x);
                    live[1] = live[1] > 0 ? live[1] : 0;
                    return live;
                  }
                })
            .alsoFailing(Rule.INFINITY),
        breaking(
            Rule.NOT_A_NUMBER,
            "NaN that spreads to other groups",
            "it is in another group",
            () -> new Spreading() {
              @Override
              boolean spreads(double value) {
                return Double.isNaN(value);
              }
            }),
        breaking(
                Rule.NOT_A_NUMBER,
                "weight 0 times NaN",
                "it is in another group",
                () -> new PlainBackend() {
                  @Override
                  double inputGradient(
                      double dy,
                      double xh,
                      double g,
                      double s,
                      double w,
                      int n,
                      double a,
                      double b) {
                    return g / s * (dy - w / n * (a + xh * b));
                  }
                })
            .alsoFailing(Rule.INFINITY),
        breaking(
            Rule.INFINITY,
            "infinity that spreads to other groups",
            "it is in another group",
            () -> new Spreading() {
              @Override
              boolean spreads(double value) {
                return Double.isInfinite(value);
              }
            }),
        breaking(
            Rule.INFINITY,
            "infinity taken for the largest number",
            "its group holds one, and it must show",
            () -> new PlainBackend() {
              @Override
              double[] liveStatistics(double[] x) {
                return super.liveStatistics(Arrays.stream(x)
                    .map(value -> Math.max(-1e150, Math.min(1e150, value)))
                    .toArray());
              }

              @Override
              double output(double xh, double gamma, double beta) {
                double y = super.output(xh, gamma, beta);
                return Double.isInfinite(y) ? Math.copySign(1e30, y) : y;
              }
            }),
        breaking(
            Rule.SMALLEST,
            "subnormal numbers flushed to 0",
            "where these are ordinary numbers",
            () -> new PlainBackend() {
              @Override
              public Normalized<Strided> forward(
                  Strided x,
                  Normalization how,
                  @Nullable Moments<Strided> reference,
                  @Nullable Strided gamma,
                  @Nullable Strided beta,
                  @Nullable Strided output) {
                boolean subnormal = Arrays.stream(x.data())
                    .anyMatch(value -> value != 0 && Math.abs(value) < Float.MIN_NORMAL);
                Strided flushed = subnormal ? Strided.zeros(x.dtype(), x.shape()) : x;
                return super.forward(flushed, how, reference, gamma, beta, output);
              }
            }),
        breaking(
            Rule.ANY_SHAPE,
            "the last element of a row dropped at a multiple of 127",
            "-Dvbn.conformance.seed=",
            () -> new PlainBackend() {
              @Override
              double[] liveStatistics(double[] x) {
                boolean dropped = x.length % 127 == 0;
                return super.liveStatistics(dropped ? Arrays.copyOf(x, x.length - 1) : x);
              }
            }),
        breaking(
            Rule.SIZE,
            "features counted in 16 bits",
            "counts and indexes of 16 bits",
            () -> new PlainBackend() {
              @Override
              List<Group> groups(Geometry geometry, Scope scope) {
                List<Group> groups = new ArrayList<>(super.groups(geometry, scope));
                groups.removeIf(group -> group.feature() > 0xffff);
                return groups;
              }
            }),
        breaking(
            Rule.SIZE,
            "a grid of at most 65535 examples",
            "limits of a grid",
            () -> new PlainBackend() {
              @Override
              List<Group> groups(Geometry geometry, Scope scope) {
                List<Group> groups = new ArrayList<>(super.groups(geometry, scope));
                groups.removeIf(group -> group.firstExample() > 0xffff);
                return groups;
              }
            }),
        breaking(
            Rule.SIZE,
            "output right at small sizes only",
            "sums in 32 bits",
            () -> new PlainBackend() {
              @Override
              double[] liveStatistics(double[] x) {
                double[] live = super.liveStatistics(x);
                live[1] *= x.length > 1 << 20 && live[1] < 100 && live[1] != 0.25 ? 1.001 : 1;
                return live;
              }
            }));
  }

  /** One such number in a batch, and the other groups take part in it. */
  private abstract static class Spreading extends PlainBackend {
    abstract boolean spreads(double value);

    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      boolean spreads = Arrays.stream(x.data()).anyMatch(this::spreads);
      Normalized<Strided> result = super.forward(x, how, reference, gamma, beta, output);
      for (int i = 0; spreads && i < x.size(); i++) {
        result.output().set(i, Double.NaN);
      }
      return result;
    }
  }
}
