package dev.vbn.conformance.offender;

import static dev.vbn.conformance.offender.Offender.breaking;

import dev.vbn.Gradients;
import dev.vbn.conformance.Rule;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Faults in outputs and mixed statistics. */
@SuppressWarnings("ThreadLocalUsage") // a fault of each backend
final class ForwardOffenders {
  private ForwardOffenders() {}

  static List<Offender> all() {
    return List.of(
        breaking(
                Rule.LIVE_BATCH,
                "weight from R where N is meant",
                "Look at the weight w",
                () -> new OwnWeight() {
                  @Override
                  double weight(Scope scope, double given, long n, long p, long r, long rp) {
                    return given == 1 / (n + 1.0) ? 1 / (r + 1.0) : given;
                  }
                })
            .alsoFailing(
                Rule.MIXED_STATISTICS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE),
        breaking(
                Rule.BATCH,
                "weight from N where R is meant, over the batch",
                "Look at the weight w",
                () -> new OwnWeight() {
                  @Override
                  double weight(Scope scope, double given, long n, long p, long r, long rp) {
                    return scope == Scope.BATCH && given == 1 / (r + 1.0) ? 1 / (n + 1.0) : given;
                  }
                })
            .alsoFailing(
                Rule.POOLED,
                Rule.MIXED_STATISTICS,
                Rule.LEAVE_ONE_OUT,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE,
                Rule.SIZE),
        breaking(
                Rule.PER_EXAMPLE,
                "weight from N where R is meant, per example",
                "Look at the weight w",
                () -> new OwnWeight() {
                  @Override
                  double weight(Scope scope, double given, long n, long p, long r, long rp) {
                    return scope == Scope.EXAMPLE ? 1 / (n + 1.0) : given;
                  }
                })
            .alsoFailing(
                Rule.MIXED_STATISTICS,
                Rule.LEAVE_ONE_OUT,
                Rule.COMPANIONS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE,
                Rule.SIZE),
        breaking(
                Rule.PER_EXAMPLE,
                "statistics per batch where per example is meant",
                "at the scope of ma and va",
                PerBatch::new)
            .alsoFailing(
                Rule.MIXED_STATISTICS,
                Rule.COMPANIONS,
                Rule.SLOPES,
                Rule.NOT_A_NUMBER,
                Rule.INFINITY,
                Rule.ANY_SHAPE),
        breaking(
                Rule.POOLED,
                "pooled by examples, whatever their positions",
                "Look at the weight w",
                () -> new OwnWeight() {
                  @Override
                  double weight(Scope scope, double given, long n, long p, long r, long rp) {
                    boolean pooled = given == n * p / ((double) n * p + r * rp);
                    return pooled && p != rp ? n / ((double) n + r) : given;
                  }
                })
            .alsoFailing(
                Rule.MIXED_STATISTICS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.ANY_SHAPE),
        breaking(
                Rule.REFERENCE_ONLY,
                "live statistics mixed in where there are none",
                "reference [1, 3]",
                LiveWhereNone::new)
            .alsoFailing(
                Rule.MIXED_STATISTICS,
                Rule.COMPANIONS,
                Rule.SLOPES,
                Rule.CONSTANTS,
                Rule.NOT_A_NUMBER,
                Rule.INFINITY,
                Rule.ANY_SHAPE),
        breaking(
                Rule.REFERENCE_PASS,
                "a reference pass of unbiased variance",
                "its own mean and biased variance",
                () -> new PlainBackend() {
                  @Override
                  public Normalized<Strided> forward(
                      Strided x,
                      Normalization how,
                      @Nullable Moments<Strided> reference,
                      @Nullable Strided gamma,
                      @Nullable Strided beta,
                      @Nullable Strided output) {
                    Normalized<Strided> result =
                        super.forward(x, how, reference, gamma, beta, output);
                    double n = how.geometry().elementsPerFeature();
                    for (int i = 0; reference == null && n > 1 && i < x.size(); i++) {
                      double offset = beta == null ? 0 : beta.get(feature(how.geometry(), i));
                      double y = result.output().get(i);
                      result.output().set(i, offset + (y - offset) * Math.sqrt((n - 1) / n));
                    }
                    return result;
                  }
                })
            .alsoFailing(Rule.POOLED, Rule.EPSILON, Rule.LEAVE_ONE_OUT, Rule.ANY_SHAPE),
        breaking(
                Rule.EPSILON,
                "epsilon outside the root",
                "sqrt(v + epsilon), not sqrt(v) + epsilon",
                () -> new PlainBackend() {
                  @Override
                  double deviation(double v, double epsilon) {
                    return Math.sqrt(v) + epsilon;
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.REFERENCE_PASS_GRADIENT,
                Rule.SLOPES,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE),
        breaking(
                Rule.EPSILON,
                "epsilon as a least variance",
                "not max(v, epsilon)",
                () -> new PlainBackend() {
                  @Override
                  double deviation(double v, double epsilon) {
                    return Math.sqrt(Math.max(v, epsilon));
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.REFERENCE_PASS_GRADIENT,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE),
        breaking(
            Rule.EPSILON,
            "an epsilon that is larger than it matters",
            "sqrt(v + epsilon)",
            () -> new PlainBackend() {
              @Override
              double deviation(double v, double epsilon) {
                return Math.sqrt(v + Math.min(epsilon, 1));
              }
            }),
        breaking(
                Rule.MIXED_STATISTICS,
                "live statistics returned in place of the mixed ones",
                "Live calls return (m, v)",
                () -> new OtherMoments() {
                  @Override
                  Moments<Strided> moments(
                      Strided x,
                      Normalization how,
                      @Nullable Moments<Strided> reference,
                      Moments<Strided> m) {
                    return reference != null && how.scope() == Scope.BATCH
                        ? statistics(x, how.geometry())
                        : m;
                  }
                })
            .alsoFailing(Rule.NOT_A_NUMBER, Rule.INFINITY, Rule.ANY_SHAPE),
        breaking(
                Rule.MIXED_STATISTICS,
                "the mean square returned for the variance",
                "Live calls return (m, v)",
                () -> new OtherMoments() {
                  @Override
                  Moments<Strided> moments(
                      Strided x,
                      Normalization how,
                      @Nullable Moments<Strided> reference,
                      Moments<Strided> m) {
                    for (int i = 0; reference != null && i < m.mean().size(); i++) {
                      double mean = m.mean().get(i);
                      m.variance().set(i, m.variance().get(i) + mean * mean);
                    }
                    return m;
                  }
                })
            .alsoFailing(Rule.ANY_SHAPE),
        breaking(
                Rule.SCALE_AND_CENTER,
                "gamma and beta swapped",
                "y = gamma*xh + beta",
                () -> new PlainBackend() {
                  @Override
                  double output(double xh, double gamma, double beta) {
                    return beta * xh + gamma;
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.SLOPES,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE),
        breaking(
                Rule.SCALE_AND_CENTER,
                "beta added before gamma multiplies",
                "y = gamma*xh + beta",
                () -> new PlainBackend() {
                  @Override
                  double output(double xh, double gamma, double beta) {
                    return gamma * (xh + beta);
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.SLOPES,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE),
        breaking(
            Rule.SCALE_AND_CENTER,
            "no beta where there is no gamma",
            "gamma is 1 and beta 0 where null",
            () -> new PlainBackend() {
              @Override
              public Normalized<Strided> forward(
                  Strided x,
                  Normalization how,
                  @Nullable Moments<Strided> reference,
                  @Nullable Strided gamma,
                  @Nullable Strided beta,
                  @Nullable Strided output) {
                return super.forward(x, how, reference, gamma, gamma == null ? null : beta, output);
              }
            }),
        breaking(
                Rule.LEAVE_ONE_OUT,
                "a batch of one example left unmixed",
                "live rows of batch norm",
                () -> new OwnWeight() {
                  @Override
                  double weight(Scope scope, double given, long n, long p, long r, long rp) {
                    return n == 1 && p > 1 ? 0 : given;
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.MIXED_STATISTICS,
                Rule.COMPANIONS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.ANY_SHAPE),
        breaking(
                Rule.LEAVE_ONE_OUT,
                "the live example leaks into the reference",
                "live rows of batch norm",
                () -> new PlainBackend() {
                  @Override
                  Mixed mix(double mr, double vr, double ma, double va, double w) {
                    Mixed leaked = super.mix(mr, vr, ma, va, w);
                    return super.mix(leaked.m(), leaked.v(), ma, va, w);
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.MIXED_STATISTICS,
                Rule.INPUT_GRADIENT,
                Rule.GAMMA_GRADIENT,
                Rule.REFERENCE_GRADIENT,
                Rule.SLOPES,
                Rule.CONSTANTS,
                Rule.ANY_SHAPE),
        breaking(
            Rule.COMPANIONS,
            "another last bit in company",
            "never see another example",
            () -> new PlainBackend() {
              @Override
              public Normalized<Strided> forward(
                  Strided x,
                  Normalization how,
                  @Nullable Moments<Strided> reference,
                  @Nullable Strided gamma,
                  @Nullable Strided beta,
                  @Nullable Strided output) {
                Normalized<Strided> result = super.forward(x, how, reference, gamma, beta, output);
                Strided y = result.output();
                boolean vectorized = how.scope() == Scope.EXAMPLE
                    && how.geometry().batch() > 1
                    && x.dtype() == DType.FLOAT32;
                for (int i = 0; vectorized && i < y.size(); i++) {
                  y.set(i, Math.nextUp((float) y.get(i)));
                }
                return result;
              }
            }),
        breaking(
            Rule.LAYOUT,
            "the feature axis guessed by its length",
            "along the feature axis, whatever its place",
            () -> new OtherGeometry() {
              @Override
              Geometry geometry(Geometry g) {
                boolean square = g.after() == 1 && g.before() == g.features() * g.features();
                return square ? new Geometry(g.batch(), 1, g.features(), g.before()) : g;
              }
            }),
        breaking(
                Rule.LAYOUT,
                "gamma and beta along the last axis where two are equally long",
                "along the feature axis, whatever its place",
                GammaAlongLastAxis::new)
            .alsoFailing(
                Rule.LIVE_BATCH,
                Rule.BATCH,
                Rule.PER_EXAMPLE,
                Rule.POOLED,
                Rule.REFERENCE_ONLY,
                Rule.REFERENCE_PASS,
                Rule.ANY_SHAPE),
        breaking(
                Rule.PERMUTATION,
                "recent examples count for more",
                "The order of examples carries no meaning",
                () -> new PlainBackend() {
                  @Override
                  public Normalized<Strided> forward(
                      Strided x,
                      Normalization how,
                      @Nullable Moments<Strided> reference,
                      @Nullable Strided gamma,
                      @Nullable Strided beta,
                      @Nullable Strided output) {
                    Normalized<Strided> result =
                        super.forward(x, how, reference, gamma, beta, output);
                    if (reference != null
                        && how.geometry().batch() == 5
                        && how.geometry().positions() == 4) {
                      result.output().set(0, result.output().get(0) * 1.01);
                    }
                    return result;
                  }
                })
            .alsoFailing(
                Rule.LIVE_BATCH, Rule.BATCH, Rule.PER_EXAMPLE, Rule.POOLED, Rule.REFERENCE_ONLY),
        breaking(
            Rule.RESULT_FORM,
            "statistics of examples in one long vector",
            "shape of the mixed mean",
            () -> new OtherMoments() {
              @Override
              Moments<Strided> moments(
                  Strided x,
                  Normalization how,
                  @Nullable Moments<Strided> reference,
                  Moments<Strided> m) {
                return new Moments<>(flat(m.mean()), flat(m.variance()));
              }
            }),
        breaking(
            Rule.RESULT_FORM,
            "an output of two axes, whatever the input's",
            "shape of the output",
            () -> new PlainBackend() {
              @Override
              public Normalized<Strided> forward(
                  Strided x,
                  Normalization how,
                  @Nullable Moments<Strided> reference,
                  @Nullable Strided gamma,
                  @Nullable Strided beta,
                  @Nullable Strided output) {
                Normalized<Strided> result = super.forward(x, how, reference, gamma, beta, output);
                boolean own = output == null && how.geometry().before() > 1;
                return own ? new Normalized<>(flat(result.output()), result.moments()) : result;
              }
            }));
  }

  static int feature(Geometry geometry, int index) {
    return (int) (index / geometry.after() % geometry.features());
  }

  static Strided flat(Strided tensor) {
    return new Strided(tensor.dtype(), new long[] {tensor.size()}, tensor.data(), 0, new int[] {1});
  }

  /** Uses a weight of its own, from what it remembers of the last reference batch. */
  abstract static class OwnWeight extends PlainBackend {
    private final ThreadLocal<Geometry> last =
        ThreadLocal.withInitial(() -> new Geometry(1, 1, 1, 1));

    abstract double weight(Scope scope, double given, long n, long p, long r, long rp);

    @Override
    public Moments<Strided> statistics(Strided x, Geometry geometry) {
      last.set(geometry);
      return super.statistics(x, geometry);
    }

    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      if (reference == null) {
        last.set(how.geometry());
      }
      return super.forward(x, own(how, reference), reference, gamma, beta, output);
    }

    @Override
    public Gradients<Strided> backward(
        Strided x,
        Strided upstream,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided dx) {
      return super.backward(x, upstream, own(how, reference), reference, gamma, dx);
    }

    private Normalization own(Normalization how, @Nullable Moments<Strided> reference) {
      if (reference == null || how.scope() == Scope.NONE) {
        return how;
      }
      Geometry live = how.geometry();
      Geometry ref = last.get();
      double weight = weight(
          how.scope(), how.weight(), live.batch(), live.positions(), ref.batch(), ref.positions());
      return new Normalization(live, how.scope(), weight, how.epsilon(), how.referenceGradient());
    }
  }

  private static final class PerBatch extends PlainBackend {
    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      if (how.scope() != Scope.EXAMPLE) {
        return super.forward(x, how, reference, gamma, beta, output);
      }
      Normalization whole = new Normalization(
          how.geometry(), Scope.BATCH, how.weight(), how.epsilon(), how.referenceGradient());
      Normalized<Strided> result = super.forward(x, whole, reference, gamma, beta, output);
      Strided mean = result.moments().mean();
      long[] shape = {how.geometry().batch(), mean.size()};
      Moments<Strided> all =
          new Moments<>(Strided.zeros(mean.dtype(), shape), Strided.zeros(mean.dtype(), shape));
      for (int i = 0; i < all.mean().size(); i++) {
        all.mean().set(i, mean.get(i % mean.size()));
        all.variance().set(i, result.moments().variance().get(i % mean.size()));
      }
      return new Normalized<>(result.output(), all);
    }
  }

  private static final class LiveWhereNone extends PlainBackend {
    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      Normalization mixing = how.scope() != Scope.NONE
          ? how
          : new Normalization(
              how.geometry(),
              Scope.BATCH,
              1 / (how.geometry().batch() + 1.0),
              how.epsilon(),
              how.referenceGradient());
      return super.forward(x, mixing, reference, gamma, beta, output);
    }
  }

  private abstract static class OtherMoments extends PlainBackend {
    abstract Moments<Strided> moments(
        Strided x, Normalization how, @Nullable Moments<Strided> reference, Moments<Strided> mixed);

    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      Strided before = Strided.of(x.toHost(), x.dtype()); // x may be the output
      Normalized<Strided> result = super.forward(x, how, reference, gamma, beta, output);
      return new Normalized<>(result.output(), moments(before, how, reference, result.moments()));
    }
  }

  /** Takes a batch for one of another layout, in live calls. */
  private abstract static class OtherGeometry extends PlainBackend {
    abstract Geometry geometry(Geometry given);

    @Override
    List<Group> groups(Geometry geometry, Scope scope) {
      return super.groups(geometry(geometry), scope);
    }
  }

  private static final class GammaAlongLastAxis extends PlainBackend {
    @Override
    public Normalized<Strided> forward(
        Strided x,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided beta,
        @Nullable Strided output) {
      int features = (int) how.geometry().features();
      int last = (int) x.shape()[x.shape().length - 1];
      if (gamma == null || beta == null || last != features || how.geometry().after() == 1) {
        return super.forward(x, how, reference, gamma, beta, output);
      }
      Normalized<Strided> plain = super.forward(x, how, reference, null, null, output);
      for (int i = 0; i < x.size(); i++) {
        double xh = plain.output().get(i);
        plain.output().set(i, gamma.get(i % last) * xh + beta.get(i % last));
      }
      return plain;
    }
  }
}
