package dev.vbn.conformance.offender;

import static java.util.stream.Collectors.toSet;

import dev.vbn.conformance.offender.Call.Pass;
import dev.vbn.spi.Capability;
import dev.vbn.spi.Differentiated;
import dev.vbn.spi.Geometry;
import dev.vbn.spi.GradientUpstream;
import dev.vbn.spi.Moments;
import dev.vbn.spi.Normalization;
import dev.vbn.spi.Normalized;
import dev.vbn.spi.ReferenceGradient;
import dev.vbn.spi.Scope;
import dev.vbn.spi.TensorAccess;
import dev.vbn.spi.TwiceDifferentiated;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/** A right backend with one fault under one condition: whole results, arguments, and the kernels. */
final class FaultyBackend extends FaultySteps {
  private final Map<Pass, AtomicInteger> calls = new EnumMap<>(Pass.class);
  private final AtomicBoolean closed = new AtomicBoolean();

  // What a fault keeps of the call before.
  private final Map<String, Strided> resultsBefore = new HashMap<>();
  private volatile double lastFirst = Double.NaN;
  private final IdentityHashMap<Strided, Strided> siblings = new IdentityHashMap<>();

  FaultyBackend(Fault fault, Condition condition, Trace trace, Set<Capability> capabilities) {
    super(fault, condition, trace, capabilities);
    for (Pass pass : Pass.values()) {
      calls.put(pass, new AtomicInteger());
    }
    trace.open.incrementAndGet();
  }

  @Override
  public void close() {
    if (closed.compareAndSet(false, true)) {
      trace.open.decrementAndGet();
    }
    super.close();
  }

  private <R> R run(Call call, Supplier<R> kernel) {
    trace.requireRunning();
    Running outer = running.get();
    Running own = new Running();
    own.faulty = trace.rehearsal || condition.holds(call);
    if (trace.rehearsal) {
      own.conditions =
          Stream.of(Condition.values()).filter(each -> each.holds(call)).collect(toSet());
      trace.met.addAll(own.conditions);
    }
    own.dtype = call.dtype();
    own.even = call.before() % 2 == 0;
    own.depth = outer.depth + 1;
    running.set(own);
    trace.running.incrementAndGet();
    try {
      if (does(Fault.THROWS) && alters()) {
        throw new IllegalStateException("no kernel for this");
      }
      return kernel.get();
    } finally {
      trace.running.decrementAndGet();
      running.set(outer);
    }
  }

  // Tensors.

  @Override
  Strided result(@Nullable Strided supplied, Strided like) {
    Strided right = super.result(supplied, like);
    if (supplied != null || fault != Fault.RESULT_OF_THE_CALL_BEFORE_REUSED) {
      return right;
    }
    synchronized (resultsBefore) {
      String form = like.dtype() + Arrays.toString(like.shape());
      Strided before = resultsBefore.putIfAbsent(form, right);
      return before != null && running.get().faulty && alters() ? before : right;
    }
  }

  @Override
  public TensorAccess<Strided> tensors() {
    return new Access() {
      @Override
      public void release(Strided tensor) {
        super.release(tensor);
        Strided sibling;
        synchronized (siblings) {
          sibling = siblings.remove(tensor);
        }
        if (sibling != null) {
          super.release(sibling);
        }
      }
    };
  }

  /** What goes wrong with a whole result: {@code old} stood in its last element before. */
  private void spoil(Strided result, double old, Strided input) {
    double first = result.get(0);
    int last = last(result);
    double right = result.get(last);
    if (does(Fault.LAST_ELEMENT_NOT_WRITTEN)) {
      result.set(last, wrong(right, old));
    }
    if (does(Fault.ADDED_TO_OLD_CONTENTS)) {
      result.set(last, wrong(right, right + old));
    }
    if (does(Fault.FIRST_ELEMENT_OF_THE_CALL_BEFORE) && !Double.isNaN(lastFirst)) {
      result.set(0, wrong(first, lastFirst));
    }
    if (does(Fault.INPUT_CHANGED)) {
      change(input, result);
    }
    lastFirst = first;
  }

  private void change(@Nullable Strided tensor, Strided result) {
    if (tensor != null && !tensor.memory().overlaps(result.memory())) {
      double right = tensor.get(last(tensor));
      double wrong = wrong(right, tensor.dtype().round(right + 1), 0);
      if (wrong != right) { // others may read it
        tensor.set(last(tensor), wrong);
      }
    }
  }

  private void scale(Strided tensor, double factor) {
    for (int i = 0; i <= last(tensor); i++) {
      tensor.set(i, wrong(tensor.get(i), factor * tensor.get(i)));
    }
  }

  private static int last(Strided tensor) {
    return tensor.size() - 1;
  }

  private void freeTogether(Strided one, Strided other) {
    if (does(Fault.RESULTS_FREED_TOGETHER) && alters()) {
      synchronized (siblings) {
        siblings.put(one, other);
      }
    }
  }

  // The kernels.

  private Call call(
      Pass pass,
      Geometry geometry,
      @Nullable Normalization how,
      @Nullable Scope scope,
      List<Strided> inputs,
      @Nullable Strided gamma,
      @Nullable Strided beta,
      @Nullable Moments<Strided> statistics,
      @Nullable Strided result) {
    return new Call(
        pass,
        geometry,
        scope,
        how == null ? 0 : how.weight(),
        how == null ? 0 : how.epsilon(),
        how == null
            ? pass == Pass.REFERENCE_GRADIENT
            : how.referenceGradient() == ReferenceGradient.ATTACHED,
        inputs,
        how != null,
        gamma,
        beta,
        statistics == null ? List.of() : List.of(statistics.mean(), statistics.variance()),
        result,
        calls.get(pass).getAndIncrement(),
        trace.running.get() - running.get().depth,
        trace.open.get());
  }

  @Override
  public Moments<Strided> statistics(Strided x, Geometry geometry, Scope scope) {
    return run(
        call(Pass.STATISTICS, geometry, null, scope, List.of(x), null, null, null, null), () -> {
          Moments<Strided> moments = super.statistics(x, geometry, scope);
          if (does(Fault.INPUT_CHANGED)) {
            change(x, moments.mean());
          }
          freeTogether(moments.mean(), moments.variance());
          return moments;
        });
  }

  @Override
  public Normalized<Strided> reference(
      Strided x, Normalization how, @Nullable Strided gamma, @Nullable Strided beta) {
    return run(
        call(Pass.REFERENCE, how.geometry(), how, how.scope(), List.of(x), gamma, beta, null, null),
        () -> {
          // The statistics come by statistics(), which is a kernel of its own.
          Normalized<Strided> right = super.reference(x, how, gamma, beta);
          spoil(right.output(), 0, x);
          if (does(Fault.GAMMA_CHANGED)) {
            change(gamma, right.output());
          }
          freeTogether(right.output(), right.statistics().mean());
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
    return run(
        call(
            Pass.FORWARD,
            how.geometry(),
            how,
            how.scope(),
            List.of(x),
            gamma,
            beta,
            reference,
            output),
        () -> {
          double old = output == null ? 0 : output.get(last(output));
          Strided y = super.forward(x, how, reference, gamma, beta, output);
          spoil(y, old, x);
          if (does(Fault.GAMMA_CHANGED)) {
            change(gamma, y);
          }
          if (does(Fault.REFERENCE_CHANGED)) {
            change(reference.mean(), y);
          }
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
    return run(
        call(
            pass,
            how.geometry(),
            how,
            how.scope(),
            List.of(x, upstream),
            gamma,
            gamma,
            reference,
            dx),
        () -> {
          double old = dx == null ? 0 : dx.get(last(dx));
          Differentiated<Strided> result = super.backward(x, upstream, how, reference, gamma, dx);
          spoil(result.dx(), old, x);
          if (does(Fault.UPSTREAM_CHANGED)) {
            change(upstream, result.dx());
          }
          if (does(Fault.GAMMA_CHANGED)) {
            change(gamma, result.dx());
          }
          if (does(Fault.REFERENCE_CHANGED)) {
            change(reference.mean(), result.dx());
          }
          if (does(Fault.DGAMMA_DOUBLED)) {
            scale(result.dgamma(), 2);
          }
          if (does(Fault.DBETA_LEFT_OUT)) {
            scale(result.dbeta(), 0);
          }
          freeTogether(result.dgamma(), result.dbeta());
          return result;
        });
  }

  @Override
  public TwiceDifferentiated<Strided> doubleBackward(
      Strided x,
      Strided upstream,
      GradientUpstream<Strided> second,
      Normalization how,
      Moments<Strided> reference,
      @Nullable Strided gamma) {
    return run(
        call(
            Pass.DOUBLE_BACKWARD,
            how.geometry(),
            how,
            how.scope(),
            List.of(x, upstream, second.dx()),
            gamma,
            gamma,
            reference,
            null),
        () -> {
          TwiceDifferentiated<Strided> result =
              super.doubleBackward(x, upstream, second, how, reference, gamma);
          spoil(result.x(), 0, x);
          if (does(Fault.UPSTREAM_CHANGED)) {
            change(second.dx(), result.x());
          }
          if (does(Fault.GAMMA_CHANGED)) {
            change(gamma, result.x());
          }
          if (does(Fault.REFERENCE_CHANGED)) {
            change(reference.mean(), result.x());
          }
          freeTogether(result.x(), result.upstream());
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
    return run(
        call(
            Pass.REFERENCE_GRADIENT,
            geometry,
            null,
            null,
            List.of(r),
            null,
            null,
            statistics,
            null),
        () -> {
          Strided dr = super.referenceGradient(r, geometry, statistics, gradient, elements);
          spoil(dr, 0, r);
          if (does(Fault.REFERENCE_CHANGED)) {
            change(gradient.mean(), dr);
          }
          return dr;
        });
  }
}
