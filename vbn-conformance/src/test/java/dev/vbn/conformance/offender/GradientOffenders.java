package dev.vbn.conformance.offender;

import static dev.vbn.conformance.offender.Offender.breaking;

import dev.vbn.Gradients;
import dev.vbn.conformance.Rule;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import java.util.List;
import org.jspecify.annotations.Nullable;

/** Faults in the backward pass. */
final class GradientOffenders {
  private GradientOffenders() {}

  static List<Offender> all() {
    return List.of(
        breaking(
                Rule.INPUT_GRADIENT,
                "w dropped from the backward",
                "dx = gamma/s*(dy - w/n*(A + xh*B))",
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
                    return super.inputGradient(dy, xh, g, s, w == 0 ? 0 : 1, n, a, b);
                  }
                })
            .alsoFailing(Rule.SLOPES, Rule.CONSTANTS, Rule.ANY_SHAPE),
        breaking(
                Rule.INPUT_GRADIENT,
                "n of the batch where a group is one example",
                "n elements of the group",
                () -> new Altered() {
                  @Override
                  Gradients<Strided> altered(
                      Gradients<Strided> g,
                      Strided x,
                      Strided dy,
                      Normalization how,
                      @Nullable Moments<Strided> r,
                      @Nullable Strided gamma) {
                    if (how.scope() != Scope.EXAMPLE) {
                      return g;
                    }
                    // dx is direct + through/n; the direct part is what weight 0 leaves.
                    Strided direct = none(x, dy, how, r, gamma).input();
                    double share = 1.0 / how.geometry().batch();
                    for (int i = 0; i < direct.size(); i++) {
                      double through = g.input().get(i) - direct.get(i);
                      g.input().set(i, direct.get(i) + share * through);
                    }
                    return g;
                  }
                })
            .alsoFailing(Rule.COMPANIONS, Rule.SLOPES, Rule.CONSTANTS, Rule.ANY_SHAPE, Rule.SIZE),
        breaking(
                Rule.INPUT_GRADIENT,
                "upstream gradients narrowed to 32 bits",
                "dx = gamma/s*(dy - w/n*(A + xh*B))",
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
                    return super.inputGradient((float) dy, xh, g, s, w, n, a, b);
                  }
                })
            .alsoFailing(Rule.REFERENCE_PASS_GRADIENT, Rule.ANY_SHAPE),
        breaking(
                Rule.GAMMA_GRADIENT,
                "dgamma without the normalisation of x",
                "dgamma = sum(dy*xh)",
                () -> new Altered() {
                  @Override
                  Gradients<Strided> altered(
                      Gradients<Strided> g,
                      Strided x,
                      Strided dy,
                      Normalization how,
                      @Nullable Moments<Strided> r,
                      @Nullable Strided gamma) {
                    Strided dgamma = Strided.zeros(g.gamma().dtype(), g.gamma().shape());
                    for (int i = 0; i < x.size(); i++) {
                      int f = ForwardOffenders.feature(how.geometry(), i);
                      dgamma.set(f, dgamma.get(f) + dy.get(i) * x.get(i));
                    }
                    return r == null
                        ? g
                        : new Gradients<>(g.input(), dgamma, g.beta(), g.reference());
                  }
                })
            .alsoFailing(
                Rule.REFERENCE_PASS_GRADIENT,
                Rule.SLOPES,
                Rule.OFFSET,
                Rule.NOT_A_NUMBER,
                Rule.INFINITY,
                Rule.ANY_SHAPE,
                Rule.SIZE),
        breaking(
            Rule.GAMMA_GRADIENT,
            "dgamma summed over the wrong axis where two are equally long",
            "along the feature axis",
            () -> new Altered() {
              @Override
              Gradients<Strided> altered(
                  Gradients<Strided> g,
                  Strided x,
                  Strided dy,
                  Normalization how,
                  @Nullable Moments<Strided> r,
                  @Nullable Strided gamma) {
                Geometry geometry = how.geometry();
                if (geometry.after() != geometry.features() || geometry.features() == 1) {
                  return g;
                }
                Normalization flipped = new Normalization(
                    new Geometry(geometry.batch(), geometry.features(), geometry.after(), 1),
                    how.scope(),
                    how.weight(),
                    how.epsilon(),
                    how.referenceGradient());
                Gradients<Strided> other = plain(x, dy, flipped, r, gamma);
                return new Gradients<>(g.input(), other.gamma(), g.beta(), g.reference());
              }
            }),
        breaking(Rule.BETA_GRADIENT, "dbeta as a mean", "dbeta = sum(dy)", () -> new Altered() {
              @Override
              Gradients<Strided> altered(
                  Gradients<Strided> g,
                  Strided x,
                  Strided dy,
                  Normalization how,
                  @Nullable Moments<Strided> r,
                  @Nullable Strided gamma) {
                double n = how.geometry().elementsPerFeature();
                for (int i = 0; r != null && i < g.beta().size(); i++) {
                  g.beta().set(i, g.beta().get(i) / n);
                }
                return g;
              }
            })
            .alsoFailing(Rule.REFERENCE_PASS_GRADIENT, Rule.SLOPES, Rule.ANY_SHAPE, Rule.SIZE),
        breaking(
                Rule.REFERENCE_GRADIENT,
                "reference gradient lost where attached",
                "dr = dmr/(R*Pr)",
                () -> new PlainBackend() {
                  @Override
                  public Strided referenceGradient(
                      Strided r,
                      Geometry geometry,
                      Moments<Strided> statistics,
                      Moments<Strided> gradient,
                      long elements) {
                    super.referenceGradient(r, geometry, statistics, gradient, elements);
                    return Strided.zeros(r.dtype(), r.shape());
                  }
                })
            .alsoFailing(Rule.SLOPES, Rule.NOT_A_NUMBER, Rule.INFINITY, Rule.ANY_SHAPE),
        breaking(
                Rule.REFERENCE_GRADIENT,
                "the distance of the means forgotten in dmr",
                "2*w*(1-w)*d*dv",
                () -> new PlainBackend() {
                  @Override
                  double meanGradient(double w, double d, double dm, double dv) {
                    return (1 - w) * dm;
                  }
                })
            .alsoFailing(Rule.SLOPES, Rule.ANY_SHAPE),
        breaking(
            Rule.REFERENCE_GRADIENT,
            "a chunk's gradient divided by the chunk's elements",
            "Divide by the elements of the whole reference batch",
            () -> new PlainBackend() {
              @Override
              public Strided referenceGradient(
                  Strided r,
                  Geometry geometry,
                  Moments<Strided> statistics,
                  Moments<Strided> gradient,
                  long elements) {
                return super.referenceGradient(
                    r, geometry, statistics, gradient, geometry.elementsPerFeature());
              }
            }),
        breaking(
            Rule.DETACHED,
            "reference gradient kept where detached",
            "expected none where they are detached",
            () -> new PlainBackend() {
              @Override
              public Gradients<Strided> backward(
                  Strided x,
                  Strided upstream,
                  Normalization how,
                  @Nullable Moments<Strided> reference,
                  @Nullable Strided gamma,
                  @Nullable Strided dx) {
                Normalization attached = new Normalization(
                    how.geometry(),
                    how.scope(),
                    how.weight(),
                    how.epsilon(),
                    how.scope() == Scope.NONE
                        ? how.referenceGradient()
                        : ReferenceGradient.ATTACHED);
                return super.backward(x, upstream, attached, reference, gamma, dx);
              }
            }),
        breaking(
            Rule.DETACHED,
            "live statistics taken for constants where the reference is detached",
            "Attaching the reference batch changes no other gradient",
            () -> new Altered() {
              @Override
              Gradients<Strided> altered(
                  Gradients<Strided> g,
                  Strided x,
                  Strided dy,
                  Normalization how,
                  @Nullable Moments<Strided> r,
                  @Nullable Strided gamma) {
                return r != null && how.referenceGradient() == ReferenceGradient.DETACHED
                    ? none(x, dy, how, r, gamma)
                    : g;
              }
            }),
        breaking(
            Rule.REFERENCE_PASS_GRADIENT,
            "a reference pass whose statistics are constants though attached",
            "Attached: the backward of batch norm",
            () -> new Altered() {
              @Override
              Gradients<Strided> altered(
                  Gradients<Strided> g,
                  Strided x,
                  Strided dy,
                  Normalization how,
                  @Nullable Moments<Strided> r,
                  @Nullable Strided gamma) {
                return r == null ? none(x, dy, how, statistics(x, how.geometry()), gamma) : g;
              }
            }),
        breaking(
            Rule.REFERENCE_PASS_GRADIENT,
            "no dbeta of the reference pass",
            "dbeta = sum(dy)",
            () -> new Altered() {
              @Override
              Gradients<Strided> altered(
                  Gradients<Strided> g,
                  Strided x,
                  Strided dy,
                  Normalization how,
                  @Nullable Moments<Strided> r,
                  @Nullable Strided gamma) {
                Strided zeros = Strided.zeros(g.beta().dtype(), g.beta().shape());
                return r == null ? new Gradients<>(g.input(), g.gamma(), zeros, null) : g;
              }
            }),
        breaking(
                Rule.SLOPES,
                "the live variance taken for a constant",
                "slope of sum(dy*y)",
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
                    return super.inputGradient(dy, xh, g, s, w, n, a, 0);
                  }
                })
            .alsoFailing(
                Rule.INPUT_GRADIENT, Rule.REFERENCE_PASS_GRADIENT, Rule.CONSTANTS, Rule.ANY_SHAPE),
        breaking(Rule.GRADIENT_FORM, "dgamma as a row", "shape of the dgamma", () -> new Altered() {
          @Override
          Gradients<Strided> altered(
              Gradients<Strided> g,
              Strided x,
              Strided dy,
              Normalization how,
              @Nullable Moments<Strided> r,
              @Nullable Strided gamma) {
            Strided row = Strided.zeros(g.gamma().dtype(), 1, g.gamma().size());
            System.arraycopy(g.gamma().data(), 0, row.data(), 0, row.size());
            return new Gradients<>(g.input(), row, g.beta(), g.reference());
          }
        }));
  }

  private abstract static class Altered extends PlainBackend {
    abstract Gradients<Strided> altered(
        Gradients<Strided> right,
        Strided x,
        Strided dy,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma);

    @Override
    public Gradients<Strided> backward(
        Strided x,
        Strided upstream,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma,
        @Nullable Strided dx) {
      Gradients<Strided> g =
          altered(plain(x, upstream, how, reference, gamma), x, upstream, how, reference, gamma);
      if (dx == null) {
        return g;
      }
      // Last, since what is altered follows from x and dy.
      for (int i = 0; i < dx.size(); i++) {
        dx.set(i, g.input().get(i));
      }
      return new Gradients<>(dx, g.gamma(), g.beta(), g.reference());
    }

    /** What is right. */
    final Gradients<Strided> plain(
        Strided x,
        Strided upstream,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma) {
      return super.backward(x, upstream, how, reference, gamma, null);
    }

    /** The gradients as if m and v were constants, with the right sums. */
    final Gradients<Strided> none(
        Strided x,
        Strided upstream,
        Normalization how,
        @Nullable Moments<Strided> reference,
        @Nullable Strided gamma) {
      PlainBackend constant = new PlainBackend() {
        @Override
        double inputGradient(
            double dy, double xh, double g, double s, double w, int n, double a, double b) {
          return g / s * dy;
        }
      };
      return constant.backward(x, upstream, how, reference, gamma, null);
    }
  }
}
