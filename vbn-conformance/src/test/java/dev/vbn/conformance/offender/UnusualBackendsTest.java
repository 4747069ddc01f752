package dev.vbn.conformance.offender;

import static java.util.Objects.requireNonNull;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.vbn.VbnBackend;
import dev.vbn.conformance.VbnConformance;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Kernels;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.VbnProvider;
import dev.vbn.tensor.DType;
import dev.vbn.tensor.HostTensor;
import java.util.Collections;
import java.util.EnumSet;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Supplier;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

/** What is right passes, however unusual it is. */
class UnusualBackendsTest {
  private static KitRun assertPasses(Class<?> kit) {
    KitRun run = KitRun.of(kit, Map.of());
    assertTrue(run.green(), () -> run.failures + " " + run.failuresBeside);
    assertTrue(run.tests > 100, () -> "tests are " + run.tests);
    return run;
  }

  /** A kit on a plain backend that is unusual in one way. */
  abstract static class Unusual extends VbnConformance {
    private final Set<Capability> capabilities;

    Unusual(Set<Capability> capabilities) {
      this.capabilities = capabilities;
    }

    abstract Kernels<Strided> kernels();

    @Override
    protected VbnProvider<?> provider() {
      return new PlainProvider(this::kernels);
    }

    @Override
    protected Set<Capability> capabilities() {
      return capabilities;
    }

    @Override
    protected List<?> views(VbnBackend<?> backend, HostTensor host, DType dtype) {
      return List.of(Strided.view(host, dtype));
    }

    @Override
    protected boolean overwrite(VbnBackend<?> backend, Object tensor, HostTensor host) {
      return Strided.overwrite(tensor, host);
    }

    @Override
    protected List<?> parts(VbnBackend<?> backend, HostTensor host, DType dtype, int axis) {
      return Strided.parts(host, dtype, axis);
    }
  }

  /**
   * Multiplies and adds with one rounding wherever it can, and sums a batch in another order where
   * only its statistics are asked for.
   */
  static final class OtherRoundings extends Unusual {
    OtherRoundings() {
      super(PlainBackend.CAPABILITIES);
    }

    @Override
    Kernels<Strided> kernels() {
      return new PlainBackend() {
        @Override
        double output(double xh, double gamma, double beta) {
          return Math.fma(gamma, xh, beta);
        }

        @Override
        Mixed mix(double mr, double vr, double ma, double va, double w) {
          double d = ma - mr;
          double v = Math.fma(w * (1 - w) * d, d, Math.fma(w, va - vr, vr));
          return new Mixed(d, Math.fma(w, d, mr), v);
        }

        @Override
        double inputGradient(
            double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
          double share = w == 0 ? 0 : Math.fma(xh, b, a) * (w / n);
          return Math.fma(gamma / s, dy, -(gamma / s) * share);
        }

        @Override
        public Moments<Strided> statistics(Strided x, Geometry geometry, Scope scope) {
          Moments<Strided> moments = super.statistics(x, geometry, scope);
          boolean rounded =
              tensors().dtype(x) == DType.FLOAT32 && geometry.elementsPerFeature() > 4;
          for (int i = 0; rounded && i < moments.mean().size(); i++) {
            double deviation = Math.sqrt(moments.variance().get(i));
            if (Double.isFinite(deviation)) { // an eighth of the rounding of 32 bits
              moments.mean().set(i, moments.mean().get(i) + 0x1p-27 * deviation);
            }
          }
          return moments;
        }

        @Override
        public Normalized<Strided> reference(
            Strided x, Normalization how, @Nullable Strided gamma, @Nullable Strided beta) {
          Strided output = super.reference(x, how, gamma, beta).output();
          return new Normalized<>(output, super.statistics(x, how.geometry(), Scope.BATCH));
        }
      };
    }
  }

  @Test
  void fusedMultiplyAddAndStatisticsInAnotherOrder() {
    assertPasses(OtherRoundings.class);
  }

  /** Every number has 32 bits, statistics and intermediate results too. */
  static final class ThirtyTwoBits extends Unusual {
    ThirtyTwoBits() {
      super(EnumSet.of(
          Capability.CALLER_SUPPLIED_OUTPUT,
          Capability.SUBNORMALS,
          Capability.TENSORS_OUTLIVE_BACKEND));
    }

    @Override
    Kernels<Strided> kernels() {
      return new PlainBackend(capabilities()) {
        @Override
        double[] liveStatistics(double[] x) {
          float mean = (float) sum(x) / x.length;
          double[] squares = new double[x.length];
          for (int i = 0; i < x.length; i++) {
            float d = (float) x[i] - mean;
            squares[i] = d * d;
          }
          return new double[] {mean, (float) sum(squares) / x.length};
        }

        @Override
        double sum(double[] terms) {
          return sum(terms, 0, terms.length);
        }

        private float sum(double[] terms, int from, int to) {
          if (to - from == 1) {
            return (float) terms[from];
          }
          int middle = (from + to) >>> 1;
          return sum(terms, from, middle) + sum(terms, middle, to);
        }

        @Override
        Mixed mix(double mr, double vr, double ma, double va, double w) {
          float d = (float) ma - (float) mr;
          float v = (float) w;
          float rest = (float) (1 - w);
          return new Mixed(
              d, (float) mr + v * d, rest * (float) vr + v * (float) va + v * rest * d * d);
        }

        @Override
        double deviation(double v, double epsilon) {
          return (float) Math.sqrt((float) v + (float) epsilon);
        }

        @Override
        double output(double xh, double gamma, double beta) {
          return (float) gamma * (float) xh + (float) beta;
        }

        @Override
        double inputGradient(
            double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
          float through = w == 0 ? 0 : (float) w / n * ((float) a + (float) xh * (float) b);
          return (float) gamma / (float) s * ((float) dy - through);
        }
      };
    }
  }

  @Test
  void thirtyTwoBitsThroughout() {
    assertPasses(ThirtyTwoBits.class);
  }

  /** Takes subnormal numbers for 0. */
  static final class Flushing extends Unusual {
    Flushing() {
      super(EnumSet.of(Capability.FLOAT64_STATISTICS, Capability.TENSORS_OUTLIVE_BACKEND));
    }

    private static double flushed(double value) {
      return Math.abs(value) < Float.MIN_NORMAL ? 0 * value : value;
    }

    @Override
    Kernels<Strided> kernels() {
      return new PlainBackend(capabilities()) {
        @Override
        public TensorAccess<Strided> tensors() {
          return new Access() {
            @Override
            public Strided fromHost(HostTensor host, DType dtype) {
              Strided tensor = super.fromHost(host, dtype);
              if (dtype == DType.FLOAT32) {
                for (int i = 0; i < tensor.size(); i++) {
                  tensor.set(i, flushed(tensor.get(i)));
                }
              }
              return tensor;
            }
          };
        }

        @Override
        double output(double xh, double gamma, double beta) {
          return flushed(super.output(xh, gamma, beta));
        }

        @Override
        double inputGradient(
            double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
          return flushed(super.inputGradient(dy, xh, gamma, s, w, n, a, b));
        }
      };
    }
  }

  @Test
  void subnormalsFlushedToZero() {
    assertPasses(Flushing.class);
  }

  /** Counts its tensors, as libraries do that look for leaks. */
  static final class Counting extends Unusual {
    static final Set<Strided> OPEN =
        Collections.synchronizedSet(Collections.newSetFromMap(new IdentityHashMap<>()));

    Counting() {
      super(EnumSet.complementOf(EnumSet.of(Capability.TENSORS_OUTLIVE_BACKEND)));
    }

    @Override
    Kernels<Strided> kernels() {
      return new ConditionalBackend(capabilities(), null) {
        @Override
        Strided made(Strided tensor) {
          Strided counted = super.made(tensor);
          OPEN.add(counted);
          return counted;
        }

        @Override
        public TensorAccess<Strided> tensors() {
          return new Access() {
            @Override
            public void release(Strided tensor) {
              OPEN.remove(tensor);
              super.release(tensor);
            }
          };
        }
      };
    }
  }

  @Test
  void aLibraryThatCountsLeaks() {
    assertPasses(Counting.class);
    assertEquals(0, Counting.OPEN.size(), "tensors that the kit has not released");
  }

  /** A tensor that is computed when it is looked at. */
  static final class Lazy {
    private @Nullable Strided value;
    private final Supplier<Strided> compute;

    Lazy(Supplier<Strided> compute) {
      this.compute = compute;
    }

    synchronized Strided get() {
      if (value == null) {
        value = compute.get();
      }
      return value;
    }
  }

  /** Kernels that only note what is to be computed. */
  static final class LazyKernels implements Kernels<Lazy> {
    private final PlainBackend plain = new PlainBackend();

    @Override
    public Set<Capability> capabilities() {
      return LazyKit.CAPABILITIES;
    }

    @Override
    public TensorAccess<Lazy> tensors() {
      TensorAccess<Strided> access = plain.tensors();
      return new TensorAccess<>() {
        @Override
        public long[] shape(Lazy tensor) {
          return access.shape(tensor.get());
        }

        @Override
        public DType dtype(Lazy tensor) {
          return access.dtype(tensor.get());
        }

        @Override
        public Lazy fromHost(HostTensor host, DType dtype) {
          Strided value = access.fromHost(host, dtype);
          return new Lazy(() -> value);
        }

        @Override
        public HostTensor toHost(Lazy tensor) {
          return access.toHost(tensor.get());
        }
      };
    }

    private static Moments<Lazy> lazy(Supplier<Moments<Strided>> compute) {
      Once<Moments<Strided>> once = new Once<>(compute);
      return new Moments<>(
          new Lazy(() -> once.get().mean()), new Lazy(() -> once.get().variance()));
    }

    private static Moments<Strided> now(Moments<Lazy> moments) {
      return new Moments<>(moments.mean().get(), moments.variance().get());
    }

    private static @Nullable Strided now(@Nullable Lazy tensor) {
      return tensor == null ? null : tensor.get();
    }

    @Override
    public Moments<Lazy> statistics(Lazy x, Geometry geometry, Scope scope) {
      return lazy(() -> plain.statistics(x.get(), geometry, scope));
    }

    @Override
    public Normalized<Lazy> reference(
        Lazy x, Normalization how, @Nullable Lazy gamma, @Nullable Lazy beta) {
      return new Normalized<>(
          new Lazy(() -> plain.reference(x.get(), how, now(gamma), now(beta)).output()),
          statistics(x, how.geometry(), Scope.BATCH));
    }

    @Override
    public Lazy forward(
        Lazy x,
        Normalization how,
        Moments<Lazy> reference,
        @Nullable Lazy gamma,
        @Nullable Lazy beta,
        @Nullable Lazy output) {
      return new Lazy(
          () -> plain.forward(x.get(), how, now(reference), now(gamma), now(beta), null));
    }

    @Override
    public Differentiated<Lazy> backward(
        Lazy x,
        Lazy upstream,
        Normalization how,
        Moments<Lazy> reference,
        @Nullable Lazy gamma,
        @Nullable Lazy dx) {
      Once<Differentiated<Strided>> once = new Once<>(
          () -> plain.backward(x.get(), upstream.get(), how, now(reference), now(gamma), null));
      return new Differentiated<>(
          new Lazy(() -> once.get().dx()),
          new Lazy(() -> once.get().dgamma()),
          new Lazy(() -> once.get().dbeta()),
          how.referenceGradient() == ReferenceGradient.DETACHED
              ? null
              : lazy(() -> requireNonNull(once.get().dreference())));
    }

    @Override
    public Lazy referenceGradient(
        Lazy r,
        Geometry geometry,
        Moments<Lazy> statistics,
        Moments<Lazy> gradient,
        long elements) {
      return new Lazy(() ->
          plain.referenceGradient(r.get(), geometry, now(statistics), now(gradient), elements));
    }

    @Override
    public void close() {
      plain.close();
    }
  }

  /** Computes once, when asked first. */
  private static final class Once<V> {
    private final Supplier<V> compute;
    private @Nullable V value;

    Once(Supplier<V> compute) {
      this.compute = compute;
    }

    synchronized V get() {
      V known = value;
      if (known == null) {
        known = compute.get();
        value = known;
      }
      return known;
    }
  }

  static final class LazyKit extends VbnConformance {
    static final Set<Capability> CAPABILITIES = EnumSet.of(
        Capability.FLOAT64,
        Capability.FLOAT64_STATISTICS,
        Capability.SUBNORMALS,
        Capability.TENSORS_OUTLIVE_BACKEND);

    @Override
    protected VbnProvider<?> provider() {
      return new LazyProvider();
    }

    @Override
    protected Set<Capability> capabilities() {
      return CAPABILITIES;
    }
  }

  @Test
  void lazyEvaluation() {
    assertPasses(LazyKit.class);
  }
}
