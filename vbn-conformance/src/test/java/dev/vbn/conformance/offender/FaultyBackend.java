package dev.vbn.conformance.offender;

import dev.vbn.conformance.offender.Call.Pass;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.tensor.DType;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** A right backend with one fault under one condition. */
final class FaultyBackend extends PlainBackend {
  /** What a run of the kit has seen of the fault, on all backends that it opened. */
  static final class Trace {
    /** The conditions that calls have met. */
    final Set<Condition> met = ConcurrentHashMap.newKeySet();

    /** Whether a number came out wrong by more than rounding. */
    final AtomicBoolean altered = new AtomicBoolean();
  }

  private final Fault fault;
  private final Condition condition;
  private final Trace trace;
  private final Map<Pass, AtomicInteger> calls = new EnumMap<>(Pass.class);
  private final ThreadLocal<Boolean> faulty = ThreadLocal.withInitial(() -> false);
  private volatile double lastFirst = Double.NaN;

  FaultyBackend(Fault fault, Condition condition, Trace trace) {
    this.fault = fault;
    this.condition = condition;
    this.trace = trace;
    for (Pass pass : Pass.values()) {
      calls.put(pass, new AtomicInteger());
    }
  }

  private interface Kernel<R> {
    R run();
  }

  private <R> R run(Call call, Kernel<R> kernel) {
    for (Condition each : Condition.values()) {
      if (each.holds(call)) {
        trace.met.add(each);
      }
    }
    faulty.set(condition.holds(call));
    try {
      return kernel.run();
    } finally {
      faulty.set(false);
    }
  }

  private Call call(
      Pass pass,
      Geometry geometry,
      @Nullable Scope scope,
      double epsilon,
      boolean attached,
      @Nullable Strided gamma,
      @Nullable Strided result,
      Strided... inputs) {
    return new Call(
        pass,
        geometry,
        scope,
        inputs[0].dtype(),
        epsilon,
        gamma,
        attached,
        result != null,
        result != null && Arrays.stream(inputs).anyMatch(input -> sharesMemory(input, result)),
        Arrays.stream(inputs).anyMatch(input -> !input.dense()),
        calls.get(pass).getAndIncrement());
  }

  private static boolean sharesMemory(Strided input, Strided result) {
    return input.memory().overlaps(result.memory());
  }

  private boolean does(Fault one) {
    return fault == one && faulty.get();
  }

  /** The wrong number; remembers that it is one. */
  private double wrong(double right, double wrong) {
    boolean same =
        Math.abs(wrong - right) <= 1e-2 * Math.abs(right) || Double.compare(right, wrong) == 0;
    if (!same) {
      trace.altered.set(true);
    }
    return wrong;
  }

  @Override
  double[] liveStatistics(double[] x) {
    double[] right = super.liveStatistics(x);
    if (does(Fault.VARIANCE_UNBIASED) && x.length > 1) {
      double unbiased = right[1] * x.length / (x.length - 1);
      return new double[] {right[0], wrong(right[1], unbiased)};
    }
    if (does(Fault.LAST_ELEMENT_NOT_SUMMED) && x.length > 1) {
      return of(right, super.liveStatistics(Arrays.copyOf(x, x.length - 1)));
    }
    if (does(Fault.FIRST_ELEMENT_SUMMED_TWICE)) {
      double[] more = Arrays.copyOf(x, x.length + 1);
      more[x.length] = x[0];
      return of(right, super.liveStatistics(more));
    }
    if (does(Fault.SUMS_IN_32_BITS)) {
      float sum = 0;
      float squares = 0;
      for (double each : x) {
        sum += (float) each;
        squares += (float) each * (float) each;
      }
      float mean = sum / x.length;
      return of(right, new double[] {mean, Math.max(0, squares / x.length - mean * mean)});
    }
    return right;
  }

  private double[] of(double[] right, double[] wrong) {
    wrong(right[0], wrong[0]);
    wrong(right[1], wrong[1]);
    return wrong;
  }

  @Override
  Mixed mix(double mr, double vr, double ma, double va, double w) {
    Mixed right = super.mix(mr, vr, ma, va, w);
    Mixed wrong = right;
    if (does(Fault.WEIGHT_OF_ONE_EXAMPLE_MORE)) {
      wrong = super.mix(mr, vr, ma, va, w / (1 + w));
    } else if (does(Fault.DISTANCE_OF_MEANS_LEFT_OUT)) {
      wrong = new Mixed(right.d(), right.m(), (1 - w) * vr + w * va);
    }
    wrong(right.m(), wrong.m());
    wrong(right.v(), wrong.v());
    return wrong;
  }

  @Override
  double deviation(double v, double epsilon) {
    double right = super.deviation(v, epsilon);
    if (does(Fault.EPSILON_OUTSIDE_THE_ROOT)) {
      return wrong(right, Math.sqrt(v) + epsilon);
    }
    return does(Fault.EPSILON_THE_DEFAULT) ? wrong(right, super.deviation(v, 1e-5)) : right;
  }

  @Override
  double output(double xh, double gamma, double beta) {
    double right = super.output(xh, gamma, beta);
    return switch (fault) {
      case GAMMA_SQUARED -> faulty.get() ? wrong(right, gamma * gamma * xh + beta) : right;
      case GAMMA_LEFT_OUT -> faulty.get() ? wrong(right, xh + beta) : right;
      case BETA_LEFT_OUT -> faulty.get() ? wrong(right, gamma * xh) : right;
      case NORMALISED_ROUNDED_TO_8_BITS ->
        faulty.get() ? rounded(right, gamma * DType.BFLOAT16.round(xh) + beta) : right;
      case NAN_LOST -> faulty.get() && Double.isNaN(right) ? wrong(right, 0) : right;
      default -> right;
    };
  }

  /** Of eight bits a difference of half a percent is more than any rounding. */
  private double rounded(double right, double wrong) {
    if (Math.abs(wrong - right) > 1e-3 * Math.max(1, Math.abs(right))) {
      trace.altered.set(true);
    }
    return wrong;
  }

  @Override
  double inputGradient(
      double dy, double xh, double gamma, double s, double w, int n, double a, double b) {
    double right = super.inputGradient(dy, xh, gamma, s, w, n, a, b);
    return switch (fault) {
      case GRADIENT_WITHOUT_SUM_OF_UPSTREAM ->
        faulty.get() ? wrong(right, super.inputGradient(dy, xh, gamma, s, w, n, 0, b)) : right;
      case GRADIENT_WITHOUT_SUM_WITH_INPUT ->
        faulty.get() ? wrong(right, super.inputGradient(dy, xh, gamma, s, w, n, a, 0)) : right;
      case GRADIENT_WITHOUT_GAMMA ->
        faulty.get() ? wrong(right, super.inputGradient(dy, xh, 1, s, w, n, a, b)) : right;
      default -> right;
    };
  }

  @Override
  double meanGradient(double w, double d, double dm, double dv) {
    double right = super.meanGradient(w, d, dm, dv);
    return does(Fault.DMR_WITHOUT_DISTANCE_OF_MEANS)
        ? wrong(right, super.meanGradient(w, 0, dm, dv))
        : right;
  }

  @Override
  public Moments<Strided> statistics(Strided x, Geometry geometry, Scope scope) {
    return run(
        call(Pass.STATISTICS, geometry, scope, 0, false, null, null, x),
        () -> super.statistics(x, geometry, scope));
  }

  @Override
  public Normalized<Strided> reference(
      Strided x, Normalization how, @Nullable Strided gamma, @Nullable Strided beta) {
    return run(call(Pass.REFERENCE, how, gamma, null, x), () -> {
      // The statistics come by statistics(), which is a kernel of its own.
      boolean met = faulty.get();
      Normalized<Strided> right = super.reference(x, how, gamma, beta);
      faulty.set(met);
      spoil(right.output(), 0, x);
      return right;
    });
  }

  @Override
  public Strided forward(
      Strided x,
      Normalization how,
      Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided beta,
      @Nullable Strided output) {
    return run(call(Pass.FORWARD, how, gamma, output, x), () -> {
      double old = output == null ? 0 : output.get(last(output));
      Strided y = super.forward(x, how, reference, gamma, beta, output);
      spoil(y, old, x);
      return y;
    });
  }

  @Override
  public Differentiated<Strided> backward(
      Strided x,
      Strided upstream,
      Normalization how,
      Moments<Strided> reference,
      @Nullable Strided gamma,
      @Nullable Strided dx) {
    Pass pass = how.weight() == 1 ? Pass.REFERENCE_BACKWARD : Pass.BACKWARD;
    return run(call(pass, how, gamma, dx, x, upstream), () -> {
      double old = dx == null ? 0 : dx.get(last(dx));
      Differentiated<Strided> result = super.backward(x, upstream, how, reference, gamma, dx);
      spoil(result.dx(), old, upstream);
      if (does(Fault.DGAMMA_DOUBLED)) {
        scale(result.dgamma(), 2);
      }
      if (does(Fault.DBETA_LEFT_OUT)) {
        scale(result.dbeta(), 0);
      }
      if (does(Fault.DVR_DOUBLED) && result.dreference() != null) {
        scale(result.dreference().variance(), 2);
      }
      return result;
    });
  }

  @Override
  public Strided referenceGradient(
      Strided r,
      Geometry geometry,
      Moments<Strided> statistics,
      Moments<Strided> gradient,
      long elements) {
    return run(call(Pass.REFERENCE_GRADIENT, geometry, null, 0, true, null, null, r), () -> {
      Strided dr = super.referenceGradient(r, geometry, statistics, gradient, elements);
      spoil(dr, 0, r);
      return dr;
    });
  }

  private Call call(
      Pass pass,
      Normalization how,
      @Nullable Strided gamma,
      @Nullable Strided result,
      Strided... inputs) {
    return call(
        pass,
        how.geometry(),
        how.scope(),
        how.epsilon(),
        how.referenceGradient() == ReferenceGradient.ATTACHED,
        gamma,
        result,
        inputs);
  }

  /** What goes wrong with a whole result: {@code old} stood in its last element before. */
  private void spoil(Strided result, double old, Strided input) {
    double first = result.get(0);
    if (does(Fault.LAST_ELEMENT_NOT_WRITTEN)) {
      result.set(last(result), wrong(result.get(last(result)), old));
    }
    if (does(Fault.FIRST_ELEMENT_OF_THE_LAST_CALL) && !Double.isNaN(lastFirst)) {
      result.set(0, wrong(first, lastFirst));
    }
    if (does(Fault.INPUT_CHANGED) && !sharesMemory(input, result)) {
      double right = input.get(last(input));
      input.set(last(input), wrong(right, right + 1));
    }
    lastFirst = first;
  }

  private void scale(Strided tensor, double factor) {
    for (int i = 0; i <= last(tensor); i++) {
      tensor.set(i, wrong(tensor.get(i), factor * tensor.get(i)));
    }
  }

  private static int last(Strided tensor) {
    return tensor.size() - 1;
  }
}
